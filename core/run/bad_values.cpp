#include "run/bad_values.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace octavo::run {
namespace {

[[noreturn]] void refuse_nonfinite(const plan::PlannedLayer& layer, int64_t row_begin, int64_t first,
                                   int64_t count) {
  const int64_t row = row_begin + first / layer.layer.cols;
  const int64_t col = first % layer.layer.cols;
  const bool rotated = layer.grid.basis == OCTAVO_BASIS_CONVROT;
  const bool incoherent = layer.grid.basis == OCTAVO_BASIS_INCOHERENT;
  throw Error(
      ErrorCode::bad_input,
      fmt::format("[convert] tensor {} holds {} value{} that {} not finite{}, first at [{}, {}] (element {})",
                  printable(layer.layer.key), count, count == 1 ? "" : "s", count == 1 ? "is" : "are",
                  rotated      ? " or not below 2^118, the limit of a rotated grid"
                  : incoherent ? " or not below 2^96, the limit of an incoherent grid"
                               : "",
                  row, col, row * layer.layer.cols + col),
      "--nonfinite keep leaves such layers as they are, --nonfinite zero makes such values 0");
}

}  // namespace

void check_values(const plan::Settings& settings, const plan::PlannedLayer& layer, const octavo_tile& tile,
                  const octavo_tile_result& result) {
  if (result.nonfinite_count > 0 && settings.nonfinite != plan::Nonfinite::zero)
    refuse_nonfinite(layer, tile.row_begin, result.nonfinite_first, result.nonfinite_count);
  if (result.overflow_count > 0 && settings.cast_overflow != plan::CastOverflow::clamp) {
    throw Error(
        ErrorCode::bad_input,
        fmt::format("[convert] tensor {} holds {} values that its stored dtype cannot hold",
                    printable(layer.layer.key), result.overflow_count),
        "--fp16-overflow keep leaves such tensors as they are, clamp stores the largest finite value");
  }
}

void check_values(const plan::Settings& settings, const plan::PlannedLayer& layer, const octavo_tile& tile,
                  const octavo_absmax_result& result) {
  if (result.nonfinite_count > 0 && settings.nonfinite != plan::Nonfinite::zero)
    refuse_nonfinite(layer, tile.row_begin, result.nonfinite_first, result.nonfinite_count);
}

}  // namespace octavo::run
