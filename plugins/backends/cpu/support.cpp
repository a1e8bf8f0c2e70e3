#include "support.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

namespace octavo::cpu {
namespace {

bool is_cast(const octavo_grid& grid) { return grid.code == OCTAVO_CODE_CAST; }

bool is_product(octavo_operation operation) {
  return operation == OCTAVO_OP_MATMUL || operation == OCTAVO_OP_GRAM;
}

bool needs_codes(octavo_operation operation) {
  return operation == OCTAVO_OP_QUANTIZE_NEAREST || operation == OCTAVO_OP_DEQUANTIZE ||
         operation == OCTAVO_OP_ROUND_FEEDBACK;
}

bool is_power_of_four(std::int64_t value) {
  while (value > 1 && value % 4 == 0) value /= 4;
  return value == 1;
}

std::string basis_refusal(octavo_operation operation, const octavo_grid& grid) {
  if (grid.basis != OCTAVO_BASIS_CONVROT) return {};
  if (grid.basis_group < 4 || !is_power_of_four(grid.basis_group))
    return fmt::format("convrot in groups of {}; a power of 4 is needed", grid.basis_group);
  const bool finds_absmax = operation == OCTAVO_OP_QUANTIZE_NEAREST || operation == OCTAVO_OP_ABSMAX;
  if (finds_absmax && grid.basis_group > 256)
    return fmt::format("convrot in groups of {}; at most 256", grid.basis_group);
  return {};
}

std::string codes_refusal(octavo_operation operation, const octavo_grid& grid) {
  if (grid.code == OCTAVO_CODE_CODEBOOK) return "codebook codes";
  if (operation == OCTAVO_OP_ROUND_FEEDBACK) {
    if (grid.code == OCTAVO_CODE_INTEGER_ZERO || is_cast(grid)) return "feedback without symmetric codes";
    if (grid.scale_levels != 1) return "feedback with other than one level of scales";
    return {};
  }
  if (is_cast(grid)) {
    if (grid.basis != OCTAVO_BASIS_PLAIN) return "a cast in a basis other than plain";
    return is_weight_dtype(grid.stored_dtype) ? "" : fmt::format("a cast to dtype {}", grid.stored_dtype);
  }
  if (grid.scale_levels < 1 || grid.scale_levels > 2) return "codes without scales";
  if (grid.code == OCTAVO_CODE_INTEGER_ZERO &&
      (grid.scale_levels != 1 || grid.scales[0].granularity == OCTAVO_PER_TENSOR))
    return "zero points with two levels of scales or one for the whole tensor";
  return {};
}

bool is_source_dtype(octavo_operation operation, std::uint32_t dtype) {
  if (is_product(operation)) return dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16;
  if (needs_codes(operation) && operation != OCTAVO_OP_QUANTIZE_NEAREST) return true;
  return operation == OCTAVO_OP_MATMUL_INT8 || is_weight_dtype(dtype);
}

}  // namespace

std::string refusal(octavo_operation operation, const octavo_grid* grid,
                    std::span<const octavo_tensor> operands) {
  for (const octavo_tensor& operand : operands) {
    if (operand.memory == OCTAVO_MEMORY_DEVICE) return "operands in a device's memory";
  }
  if (!operands.empty() && !is_source_dtype(operation, operands[0].dtype))
    return fmt::format("a source of dtype {}", operands[0].dtype);
  if (grid == nullptr) return {};
  if (std::string why = basis_refusal(operation, *grid); !why.empty()) return why;
  return needs_codes(operation) ? codes_refusal(operation, *grid) : std::string();
}

}  // namespace octavo::cpu
