// What a conversion was asked to do, as far as it decides bytes. Where and how fast it runs is not here.
#pragma once

#include "checkpoint/shards.hpp"
#include "plan/fragile.hpp"
#include "plan/pattern.hpp"
#include "plan/treatment.hpp"
#include "plugin/params.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::plan {

// What happens to a layer that holds NaN or infinity (on a rotated grid also |w| >= 2^118).
enum class Nonfinite { error, keep, zero };
// What happens to a tensor with values beyond the dtype it is cast to.
enum class CastOverflow { keep, clamp, error };

// Layers whose key a pattern is found in, and how they are converted.
struct CustomLayers {
  Pattern pattern;
  Treatment treatment;
};

// An entry of the layer config. A pattern is looked for in the key without ".weight".
struct ConfiguredLayers {
  std::optional<Pattern> pattern;      // nothing: every layer that no other entry matches
  std::string name;                    // as written in the file
  std::optional<Treatment> treatment;  // nothing: the layers stay as they are
};

struct LayerRules {
  std::vector<ConfiguredLayers> config;  // in the file's order
  std::string config_hash;               // XXH3-128 of the file; "" without one
  bool full_match = false;               // patterns of the config match the whole key
  std::optional<CustomLayers> custom;
  std::optional<Pattern> exclude;
  std::optional<Treatment> fallback;  // of layers that are excluded, by a filter or by `exclude`
};

// A LoRA as the provenance names it.
struct LoraTrace {
  std::string data_hash;
  uint64_t bytes = 0;  // of the file
  double strength = 1;
};

// Where nobody says another one, and where a search has no rows to judge by.
inline constexpr double kDefaultAlpha = 0.5;

// How much of an outlier's difficulty SmoothQuant moves from the activations into the weights.
struct SmoothingRequest {
  std::optional<double> alpha;  // in [0, 1], 1: all; nothing: the best of several, for each group of layers
};

// Calibration files as the provenance names them.
struct CalibrationTrace {
  std::string hash;    // of what they say (calibration.hpp)
  uint64_t bytes = 0;  // of the files
  int64_t rows = 0;    // kept of each layer's inputs, at most
};

struct Settings {
  plugin::Selection format;    // id empty: the optimizer's default format
  std::string default_format;  // where the optimizer has none
  plugin::Selection optimizer;
  std::vector<plugin::Setting> set;  // `--set id.name=value` for every plugin that is not asked for by name
  std::vector<std::string> models = {"auto"};  // ids of filters; "auto" detects, "none" quantizes every layer
  bool full_precision_matmul = false;          // markers ask the loader to dequantize at every forward
  std::uint32_t block_size = 0;                // as in Treatment
  bool heuristic = false;
  LayerRules rules;
  bool legacy_keys = false;                     // `.scale_weight`, no markers
  bool input_scale = false;                     // an activation scale for each layer: from its inputs, else 1
  bool static_activations = false;              // an activation scale for each layer whose inputs are known
  std::optional<SmoothingRequest> smoothing;    // only with calibration
  bool bias_correction = true;                  // where the mean of a layer's inputs is known
  bool save_quant_metadata = false;             // markers also in `__metadata__`
  std::optional<checkpoint::ShardRule> shards;  // nothing: one file
  Nonfinite nonfinite = Nonfinite::error;
  CastOverflow cast_overflow = CastOverflow::keep;
  FragileRequest fragile;  // layers that stay because they would lose the most
  uint64_t seed = 0;
  bool requantize = false;       // layers that are INT8 already are dequantized and quantized again
  std::vector<LoraTrace> loras;  // what is merged, in this order
  std::optional<CalibrationTrace> calibration;
};

}  // namespace octavo::plan
