// What gptq and quip let their users choose.
#pragma once

#include <octavo/plugin.hpp>

#include <cstdint>

namespace octavo::feedback {

// How much of the mean diagonal is added to the Hessian's diagonal.
enum class DampingRule {
  by_samples,  // 0.01 from 4 samples per column on, 0.1 from one half on, else 1
  fixed,
  search  // whichever of 0.01, 0.1 and 1 serves held-out samples best
};

enum class ColumnOrder {
  natural,
  by_activity,  // columns with the largest Hessian diagonal are rounded first
  automatic     // by activity in the plain basis; a rotation evens the diagonal out
};

struct Settings {
  DampingRule damping_rule = DampingRule::by_samples;
  double damping = 0.01;     // fixed
  std::int64_t block = 128;  // columns that are rounded between two matrix products
  ColumnOrder order = ColumnOrder::natural;
  std::int64_t passes = 0;        // greedy ones, after the feedback
  bool whole_factors = false;     // never implicit ones
  std::int64_t scale_search = 0;  // scales tried for each row beforehand
};

// "auto", "search", or a number in (0, 1000]. Throws PluginError OCTAVO_BAD_ARGUMENT.
void set_damping(Settings& settings, std::string_view text);
// "auto", "true" or "false".
void set_order(Settings& settings, std::string_view text);

// Declarations that both optimizers have.
inline constexpr octavo_param kDamping =
    text_param("damping", "auto",
               "Share of the mean diagonal added to the Hessian: a number; auto: by samples and columns; "
               "search: the best of 0.01, 0.1 and 1 on held-out samples");
inline constexpr octavo_param kBlockSize =
    integer_param("block_size", "128", 1, 1024,
                  "Columns between two matrix products, on a GPU as many blocks as 256 columns have; changes "
                  "codes at ties only");
inline constexpr octavo_param kPasses = integer_param(
    "passes", "0", 0, 100, "Greedy passes over all codes afterwards; each lowers the error or nothing");

}  // namespace octavo::feedback
