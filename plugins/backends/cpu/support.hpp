// What the backend cannot do, kernels and reference together.
#pragma once

#include <octavo/abi/backend.h>

#include <span>
#include <string>

namespace octavo::cpu {

// The reason why an operation cannot be done on this grid (or nullptr) and these operands, the source first;
// "" if it can.
std::string refusal(octavo_operation operation, const octavo_grid* grid,
                    std::span<const octavo_tensor> operands);

}  // namespace octavo::cpu
