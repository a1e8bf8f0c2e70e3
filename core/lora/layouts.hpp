// One network, several layouts: the names that diffusers gives to the layers of the published checkpoints.
//
// A LoRA that was trained on diffusers' form of a network names its layers, and often has three of them
// (query, key, value) where the checkpoint has one weight with the three below one another. Facts about
// names, taken from the state dicts of both forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::lora {

// The rows of a fused weight that a layer of another layout is.
enum class Slice {
  whole,
  query,  // of [query; key; value], key and value equally high
  key,
  value,
  square_query,  // of [query; key; value; rest], the first three as high as the weight is wide
  square_key,
  square_value,
  rest,
  swapped_halves,  // the upper half is the lower one: scale and shift in the other order
};

struct Alias {
  std::string name;
  Slice slice = Slice::whole;
};

// Other names of a layer of a checkpoint, `name` being without prefixes of its network and without ".weight".
std::vector<Alias> aliases(std::string_view name);

struct RowRange {
  int64_t begin = 0;
  int64_t rows = 0;
  int64_t from = 0;  // row of the update that lands on `begin`
};

// Where an update of `height` rows goes in a weight [rows, cols]; two ranges for swapped halves, none if the
// heights do not fit together.
std::vector<RowRange> rows_of(Slice slice, int64_t rows, int64_t cols, int64_t height);

}  // namespace octavo::lora
