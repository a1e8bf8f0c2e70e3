// The options of `convert` and `plan`, in the order of the help.
#include "calibration_options.hpp"
#include "conversion.hpp"
#include "layer_options.hpp"
#include "lora_options.hpp"
#include "original_flags.hpp"

namespace octavo::cli {
namespace {

constexpr const char* kPlugins = "Plugins";
constexpr const char* kWhere = "Where work runs";
constexpr const char* kPolicies = "Policies";
constexpr const char* kKeys = "Keys and markers";
constexpr const char* kReport = "Report";
constexpr const char* kMeasuring = "Measuring";

std::vector<Option> plugin_options() {
  return {
      {.name = "format",
       .value = "ID[:NAME=VALUE,...]",
       .help = "how layers are stored (default: the optimizer's, else int8_convrot)",
       .group = kPlugins},
      {.name = "optimizer",
       .value = "ID[:NAME=VALUE,...]",
       .help = "what chooses the integers (default: nearest)",
       .group = kPlugins},
      {.name = "model",
       .value = "ID",
       .help = "filter that chooses the layers; auto detects, none takes every 2-D weight",
       .group = kPlugins,
       .repeats = true},
      {.name = "set",
       .value = "ID.NAME=VALUE",
       .help = "a plugin's parameter; octavo plugins lists them",
       .group = kPlugins,
       .repeats = true},
      {.name = "scaling-mode",
       .value = "MODE",
       .help = "tensor, row, block or axis scales of plain INT8; --format wins",
       .choices = {"tensor", "row", "block", "axis"},
       .group = kPlugins},
      {.name = "int8", .help = "INT8, which is the default", .group = kPlugins, .tail = true},
      {.name = "fp16", .help = "the same as --format fp16", .group = kPlugins},
  };
}

std::vector<Option> output_options() {
  return {
      {.name = "input",
       .letter = 'i',
       .value = "FILE",
       .help = "checkpoint: a file, an index.json, a folder"},
      {.name = "output",
       .letter = 'o',
       .value = "PATH",
       .help = "where to write (default: <stem>_<format>.safetensors beside the input)"},
      {.name = "force", .letter = 'f', .help = "replace an existing output"},
      {.name = "shards", .value = "N", .help = "write N files and an index into a folder"},
      {.name = "shard-size",
       .value = "SIZE",
       .help = "write files of at most this size and an index into a folder"},
      {.name = "verify",
       .value = "LEVEL",
       .help = "what is read again before the output gets its name",
       .choices = {"header", "sampled", "full"}},
  };
}

std::vector<Option> policy_options() {
  return {
      {.name = "nonfinite",
       .value = "POLICY",
       .help = "a layer with NaN or infinity: error, keep it as it is, or make such values zero",
       .choices = {"error", "keep", "zero"},
       .group = kPolicies},
      {.name = "fp16-overflow",
       .value = "POLICY",
       .help = "a tensor beyond 65504: keep it as it is, clamp, or error",
       .choices = {"keep", "clamp", "error"},
       .group = kPolicies},
      {.name = "keep-worst",
       .value = "P%|N",
       .help = "the worst share, or number, of the layers stays in high precision, by measuring all of them",
       .group = kPolicies},
      {.name = "min-sqnr",
       .value = "DB",
       .help = "layers that would be stored with a lower SQNR stay in high precision",
       .group = kPolicies},
      {.name = "target-size",
       .value = "SIZE",
       .help = "as many of the worst layers stay in high precision as the output has room for",
       .group = kPolicies},
      {.name = "manual-seed",
       .value = "N",
       .help = "seed of everything random (default: 0)",
       .group = kPolicies,
       .tail = true,
       .also = {{"--seed"}}},
      {.name = "comfy-quant",
       .help = "ComfyUI's keys and markers, which is the default; --no-comfy-quant: the legacy keys",
       .group = kKeys,
       .negatable = true},
      {.name = "full-precision-matrix-mult",
       .help = "markers ask the loader to multiply in full precision",
       .group = kKeys,
       .tail = true,
       .also = {{"-fpmm"}}},
      {.name = "input-scale", .help = "a unit activation scale for each layer", .group = kKeys, .tail = true},
      {.name = "save-quant-metadata",
       .help = "markers also in the file's metadata",
       .group = kKeys,
       .tail = true},
  };
}

std::vector<Option> run_options() {
  return {
      {.name = "device",
       .value = "DEVICE",
       .help = "auto, or a backend's id, or id:0 or id:0,2",
       .environment = "OCTAVO_DEVICE",
       .group = kWhere},
      {.name = "lanes",
       .value = "N",
       .help = "workers (default: what suits the device); never changes the bytes",
       .environment = "OCTAVO_LANES",
       .group = kWhere,
       .also = {{"--threads"}}},
      {.name = "max-ram",
       .value = "SIZE",
       .help = "memory for whole layers and factors; delays work, never changes it",
       .group = kWhere},
      {.name = "low-memory",
       .help = "the least memory: one lane on the CPU",
       .group = kWhere,
       .tail = true,
       .also = {{"-lm"}}},
      {.name = "tile-size",
       .value = "SIZE",
       .help = "bytes of source in a tile",
       .group = kMeasuring,
       .tail = true},
      {.name = "discard", .help = "compute everything and write nothing", .group = kMeasuring, .tail = true},
      {.name = "sink",
       .value = "KIND",
       .help = "how bytes reach the file",
       .choices = {"automatic", "mapping", "positioned"},
       .group = kMeasuring,
       .tail = true},
      {.name = "no-fsync",
       .help = "do not wait for the disk: the output may be lost or torn if the machine stops",
       .group = kMeasuring,
       .tail = true},
  };
}

std::vector<Option> report_options() {
  return {
      {.name = "report-quality", .help = "a table of all layers with their errors", .group = kReport},
      {.name = "quality-threshold",
       .value = "DB",
       .help = "layers below are flagged and counted in that table (default: 30)",
       .group = kReport,
       .tail = true},
  };
}

}  // namespace

std::vector<Option> conversion_options() {
  std::vector<Option> all;
  for (const auto& part :
       {output_options(), plugin_options(), layer_options(), policy_options(), lora_options(),
        calibration_options(), run_options(), report_options(), original_options()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace octavo::cli
