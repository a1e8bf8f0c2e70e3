// How one class of layers is converted: those of the run itself, those of --custom-layers, of --fallback, or
// of an entry of the layer config.
#pragma once

#include "plugin/params.hpp"

#include <cstdint>
#include <string>

namespace octavo::plan {

struct Treatment {
  plugin::Selection format;     // id empty: the optimizer's default format
  plugin::Selection optimizer;  // id never empty
  std::uint32_t block_size =
      0;                   // for a plugin with a parameter block_size that was given none; 0: its default
  bool heuristic = false;  // a layer that blocks of this size do not fit stays as it is
  bool bias_correction = true;         // where the mean of a layer's inputs is known
  bool full_precision_matmul = false;  // markers ask the loader to dequantize at every forward
  std::string origin = {};             // for messages: "--custom-type", "layers.json, line 4"
  bool from_file = false;              // origin is a file: a wrong value there is bad input
};

}  // namespace octavo::plan
