// What becomes of a tensor, and what decided it.
#pragma once

#include <cstddef>
#include <string>

namespace octavo::plan {

enum class Decision { quantize, keep, high_precision, remove };

const char* name(Decision decision);  // "quantize", "keep", "high_precision", "remove"

struct Verdict {
  Decision decision = Decision::keep;
  std::string rule;           // what decided: "model generic: norm", "--exclude-layers", "already quantized"
  std::string reason;         // for people
  std::size_t treatment = 0;  // quantize: index into Rules::treatments()
  bool fixed = false;         // keep: --fallback does not apply
};

}  // namespace octavo::plan
