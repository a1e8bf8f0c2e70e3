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

// Outputs of layers on real inputs; nothing: there were none.
using Outputs = std::optional<report::OutputReport>;

// nullptr: not judged.
const report::LayerOutputs* outputs_of(const Outputs& outputs, const std::string& name);

// Adds `worst_first`, and what is known about outputs, to a document with `layers`.
void add_outputs(const Outputs& outputs, const QualityPage& page, nlohmann::ordered_json& json);

// The worst layers, at most `shown`. Layers that could not be judged are the caller's business.
void print_outputs(Terminal& terminal, const Outputs& outputs, const QualityPage& page, size_t shown);

}  // namespace octavo::cli
