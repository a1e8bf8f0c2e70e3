// What `octavo compare` says about outputs on real inputs: JSON, a table, a page.
#pragma once

#include "page/quality_page.hpp"
#include "report/compare.hpp"
#include "report/output_error.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>

namespace octavo::cli {

// What is known about two files: their values, and (with inputs) what they do to outputs.
struct Verdict {
  report::Comparison comparison;
  std::optional<report::OutputReport> outputs;
  std::vector<FileIdentity> files = {};  // that were read

  const report::LayerOutputs* outputs_of(const std::string& name) const;  // nullptr: not judged
};

// `judged` and `reference`: the files' names.
QualityPage page_of(const Verdict& verdict, const std::string& judged, const std::string& reference);

// Adds `worst_first`, and what is known about outputs, to a document with `layers`.
void add_outputs(const Verdict& verdict, const QualityPage& page, nlohmann::ordered_json& json);

// The worst layers, at most `shown`. Layers that could not be judged are the caller's business.
void print_outputs(Terminal& terminal, const Verdict& verdict, const QualityPage& page, size_t shown);

}  // namespace octavo::cli
