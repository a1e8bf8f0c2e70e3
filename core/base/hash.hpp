// Hashes: XXH3 inside octavo (identity, re-reading), SHA-256 for people who compare files.
#pragma once

#include "base/file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace octavo {

uint64_t xxh3_64(std::span<const std::byte> bytes);
// XXH3-128 as 32 lower-case hexadecimal digits, high half first (the canonical form that `xxhsum -H2`
// prints).
std::string xxh3_128_hex(std::span<const std::byte> bytes);
std::string xxh3_128_hex(std::string_view text);

// XXH3-64 of a range of a file, read in pieces of 1 MiB. Throws as File::read_at does.
uint64_t xxh3_64_of(const File& file, uint64_t offset, uint64_t bytes);

// SHA-256 of a whole file as 64 lower-case hexadecimal digits. Throws as File::open_to_read and read_at do.
std::string sha256_hex_of_file(const std::filesystem::path& path);

}  // namespace octavo
