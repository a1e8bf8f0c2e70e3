// Sizes in bytes: arithmetic that notices an overflow, and their text form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace octavo {

// a + b and a * b, or nothing where the result does not fit 64 bits.
std::optional<uint64_t> checked_add(uint64_t a, uint64_t b);
std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b);

// "4096", "8G", "1.5 GiB", "512MiB" (powers of 1024), "11GB" (powers of 1000); upper or lower case.
// Throws Error usage, naming the text, for anything else and for what does not fit 64 bits.
uint64_t parse_bytes(std::string_view text);

// For people, in powers of 1000 and three figures: "0 B", "999 B", "1.00 kB", "11.8 GB".
std::string format_bytes(uint64_t bytes);

}  // namespace octavo
