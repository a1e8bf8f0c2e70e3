// Structs of the boundary that a plugin of another minor version made: they may be shorter or longer than
// this octavo's, but never shorter than they were in version 1.0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Bytes that STRUCT has up to and with LAST, the last member that it had in version 1.0.
#define OCTAVO_FIRST_SIZE(STRUCT, LAST) (offsetof(STRUCT, LAST) + sizeof(STRUCT::LAST))

namespace octavo::plugin {

// The members of `raw` that its writer knew, and zeros for the others.
template <typename Struct>
Struct known_part(const Struct& raw) {
  Struct made{};
  std::memcpy(&made, &raw, std::min<std::size_t>(raw.struct_size, sizeof made));
  made.struct_size = sizeof made;
  return made;
}

// Writes as much of `made` as `target`, of somebody else, has room for; its size stays what it was.
template <typename Struct>
void write_known_part(const Struct& made, Struct& target) {
  const std::uint32_t size = target.struct_size;
  std::memcpy(&target, &made, std::min<std::size_t>(size, sizeof made));
  target.struct_size = size;
}

}  // namespace octavo::plugin
