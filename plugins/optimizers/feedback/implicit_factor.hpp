// The factor of a Hessian that is never formed: of few samples, H = diag(d) + X^T X has the rank of X and a
// diagonal, and so have its parts.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace octavo::feedback {

// H = L diag(pivots) L^T. With columns k < i of different groups L_ik = x_i . g_k, x_i and g_k being columns
// of `inputs` and `gains`; within a group L is in `squares`.
struct ImplicitFactor {
  at::Tensor squares;  // [cols, group]: row i has L_ik for the columns k of its group, in their order
  at::Tensor gains;    // as the inputs
  at::Tensor pivots;   // [cols]
};

// `inputs`: X [samples, cols], f32, or f16 on a device, whose products are f32 then; `diagonal`: d > 0,
// [cols], f32 or f64, which is what everything is computed in. Nothing where H has no factor in that; of one
// that is not finite the pivots are not.
std::optional<ImplicitFactor> factor_implicitly(const at::Tensor& inputs, const at::Tensor& diagonal,
                                                std::int64_t group);

// x L^-T for x [n, cols] in the squares' dtype.
at::Tensor solve_implicitly(const at::Tensor& squares, const at::Tensor& inputs, const at::Tensor& gains,
                            const at::Tensor& x);

}  // namespace octavo::feedback
