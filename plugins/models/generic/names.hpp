// What the name of a tensor says about its place in a network, architecture unknown.
//
// A name is read as components between dots and words between underscores, never as a plain string: "norm"
// would hit `norm_out.linear`, "shared" `shared_expert`, and "img_in" `img_in_patch`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::generic {

enum class Place { table, norm, fixed_head, output_head, ends };

struct NameReading {
  Place place;
  std::string component;  // what decided
};

// `name` without the part's prefix. Nothing if the name tells nothing: an ordinary layer.
std::optional<NameReading> read_name(std::string_view name, std::int64_t rows, std::int64_t cols);

}  // namespace octavo::generic
