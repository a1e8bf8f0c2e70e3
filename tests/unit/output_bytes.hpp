// A small output for the tests of the writers: its layout, the bytes that belong into it, and the whole file.
#pragma once

#include "checkpoint/layout.hpp"
#include "checkpoint/writer.hpp"

#include <span>
#include <string>

namespace octavo::test {

// The byte at a place of the file; a sequence without short periods.
inline char byte_at(uint64_t offset) { return static_cast<char>((offset * 2654435761U) >> 11); }

inline std::string bytes_of(uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  for (uint64_t i = 0; i < size; ++i) bytes[i] = byte_at(offset + i);
  return bytes;
}

inline checkpoint::Layout small_layout() {
  return checkpoint::lay_out({{"k", "v"}},
                             {{"w", OCTAVO_I8, {30, 40}}, {"s", OCTAVO_F32, {30, 1}}, {"e", OCTAVO_U8, {0}}});
}

// Over several pieces of what is allocated ahead.
inline checkpoint::Layout large_layout() {
  return checkpoint::lay_out({}, {{"big", OCTAVO_I8, {70, 1 << 20}}, {"tail", OCTAVO_U8, {29}}});
}

inline std::string whole_file(const checkpoint::Layout& layout) {
  return layout.header_bytes +
         bytes_of(layout.header_bytes.size(), layout.file_bytes - layout.header_bytes.size());
}

inline void write_range(checkpoint::OutputFile& file, uint64_t offset, uint64_t size) {
  const std::string bytes = bytes_of(offset, size);
  file.write(offset, std::as_bytes(std::span(bytes)));
}

// Every tensor, in pieces of `piece` bytes, the last piece first.
inline void write_all(checkpoint::OutputFile& file, uint64_t piece) {
  for (const checkpoint::PlacedTensor& placed : file.layout().tensors) {
    const uint64_t pieces = (placed.bytes + piece - 1) / piece;
    for (uint64_t i = pieces; i-- > 0;)
      write_range(file, placed.offset + i * piece, std::min(piece, placed.bytes - i * piece));
  }
}

}  // namespace octavo::test
