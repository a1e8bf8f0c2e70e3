// What a conversion takes beside plain weights: layers that are quantized already, and LoRAs.
#pragma once

#include "calibration/calibration.hpp"
#include "checkpoint/reader.hpp"
#include "conversion.hpp"
#include "lora/merge_plan.hpp"
#include "plan/row_origin.hpp"
#include "plugin/format.hpp"
#include "session.hpp"
#include "stored/survey.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

// A plan that was made with changes() refers to it.
class ConversionSources {
 public:
  // Recognises quantized layers, if there is a trace of any, and opens LoRAs and calibration files. Throws as
  // these do.
  ConversionSources(const Conversion& conversion, const checkpoint::Checkpoint& source, Session& session);
  ConversionSources(const ConversionSources&) = delete;
  ConversionSources& operator=(const ConversionSources&) = delete;

  // The settings of the conversion, with what the LoRAs add to the provenance.
  const plan::Settings& settings() const { return settings_; }
  plan::SourceChanges changes() const { return {&stored_, &merges_, calibration()}; }
  // nullptr where nothing is known about the inputs of layers.
  const calibration::Calibration* calibration() const { return calibration_ ? &*calibration_ : nullptr; }

  // Files that are read beside the checkpoint.
  std::vector<FileIdentity> other_inputs() const;
  // Looks again at those of them that are read while the run goes on (Calibration::verify_unchanged).
  void verify_unchanged() const;
  // One sentence for each LoRA, and for entries that are left out.
  std::vector<std::string> notes() const;
  const std::vector<std::string>& warnings() const { return warnings_; }
  nlohmann::ordered_json json() const;  // of the LoRAs, in their order
  // How many layers of the plan something is known about. There is a calibration.
  nlohmann::ordered_json calibration_json(const plan::Plan& plan) const;

 private:
  void open_calibration(const CalibrationRequest& request, const checkpoint::Checkpoint& source);

  plan::Settings settings_;
  std::vector<std::unique_ptr<plugin::Format>> formats_;
  stored::Survey stored_;
  lora::MergePlan merges_;
  std::optional<calibration::Calibration> calibration_;
  std::vector<std::string> warnings_;
};

// The plan, with the notes and warnings of the sources.
plan::Plan make_plan(const ConversionSources& sources, const checkpoint::Checkpoint& source, Session& session,
                     const plan::Unfit* unfit = nullptr);

// Where programs do not load what the plan makes. Throws Error io or bad_input if a marker of the source
// cannot be read.
std::vector<std::string> loading_warnings(const plan::Plan& plan, const checkpoint::Checkpoint& source);

}  // namespace octavo::cli
