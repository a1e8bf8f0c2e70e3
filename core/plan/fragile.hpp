// Which layers stay in high precision because they would lose the most: chosen by what the run would store,
// measured before the plan is fixed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace octavo::plan {

// "5%" or "12": a share of the quantized layers, or a number of them.
struct WorstShare {
  double value = 0;
  bool is_percent = false;
  std::string text = {};  // as it was written

  // Of `layers` layers; a share is rounded to the nearest whole number, and is at least one layer.
  size_t of(size_t layers) const;
};

// Throws Error usage for text that is neither a percentage in (0, 100) nor a whole number from 1 on.
WorstShare parse_worst_share(const std::string& text);

// Everything that is asked for holds: a layer stays if any of the three says so.
struct FragileRequest {
  std::optional<double> min_sqnr_db;     // layers below stay
  std::optional<WorstShare> keep_worst;  // so many of the worst stay
  std::optional<uint64_t> target_bytes;  // of the output's files: the worst stay, as far as there is room

  bool empty() const { return !min_sqnr_db && !keep_worst && !target_bytes; }
};

// A layer as the run would store it.
struct MeasuredLayer {
  std::string name;
  double error = 0;   // sum of squares of what is lost: of the weights, or of the outputs on real inputs
  double signal = 0;  // of what should be there
  uint64_t bytes_more = 0;  // that it takes if it stays as it is

  double sqnr_db() const;  // 10 log10(signal / error); infinity where nothing is lost
};

struct FragileChoice {
  std::map<std::string, std::string, std::less<>> stay;  // base name to the reason
  uint64_t file_bytes = 0;                               // with these layers as they are: at most so many
};

// `file_bytes`: of the output with all layers quantized. The order is by SQNR, of equal ones by name; a layer
// that loses nothing never stays. For a target size the worst layer comes first; one that does not fit is
// passed over for the next. Throws Error unsupported where the target is below what the other two and
// the quantized layers need.
FragileChoice choose_fragile(const FragileRequest& request, std::vector<MeasuredLayer> layers,
                             uint64_t file_bytes);

}  // namespace octavo::plan
