// The kernels of one iteration on an NVIDIA GPU. Matrices are row-major and contiguous; 16-bit ones are IEEE
// halves. Every sum is made in one fixed order.
#pragma once

#include <cstdint>

namespace octavo::descent::gpu {

// A layer and what an iteration remembers about it, in device memory.
struct Layer {
  std::int64_t rows, cols;
  std::int64_t width;    // of the subspaces, a multiple of 8
  const float* weights;  // [rows, cols]: weight / scale
  std::int8_t* codes;    // [rows, cols]
  const float* scales;   // of element (r, c): scales[r * scale_row + c * scale_col], in units
  const float* steps;    // the same, 0 where no step may be taken
  std::int64_t scale_row, scale_col;
  std::int32_t least_code, largest_code;
  std::uint16_t* distance;     // [rows, cols]: code - weight / scale
  std::uint16_t* offset;       // [rows, cols]: how far the rule has moved each weight
  std::uint16_t* mean;         // [rows, cols], or null for rules without moments
  float* square;               // [rows, cols]: what it gains in one iteration is too little for 16 bits
  const std::uint16_t* right;  // [cols, width]
  const float* left_squares;   // [rows]: |u_r|^2
  const float* right_squares;  // [cols]: |v_c|^2
  void* stream;                // a cudaStream_t: of everything that is launched for the layer
};

// The steps of the batch that is being tried: for each row a list, by ascending column.
struct Batch {
  std::int64_t capacity;   // of a row's list
  std::int32_t* elements;  // [rows, capacity]: 2 * column, plus 1 for a step up
  std::int32_t* counts;    // [rows]
  double* linear;          // [rows]: of the change of f
  double* error;           // [rows]: change of |E|^2
  std::uint16_t* image;    // [rows, width]: D V
};

// How a rule makes a direction of the gradient g (each row to a root mean square of 1) and the offset o:
//   without moments  g + weight_decay o
//   with them        m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, then
//                    factor m mean_factor / (sqrt(v square_factor) + epsilon) + weight_decay o, or with
//                    by_row_size m / rms of the row's m + weight_decay o
struct Direction {
  bool moments = false;
  bool by_row_size = false;
  float beta1 = 0, beta2 = 0, epsilon = 0;
  float mean_factor = 1, square_factor = 1, factor = 1;
  float weight_decay = 0;
};

struct Proposal {
  const std::uint16_t* gradient;  // [rows, cols], times gradient_scale
  float gradient_scale;
  float rate;
  float error_weight;
  double share;  // of the steps that lower f by themselves
  std::int64_t iteration;
};

// What a batch does: results[0] the sum of linear, [1] of error, [2] steps, [3] |trial|^2.
constexpr int kResults = 4;

// The device of what the calling thread launches from now on.
void use_device(int index);

// distance from weights and codes; errors (16 bits) = distance * scale; [rows] sums of its squares in f64.
void residual(const Layer& layer, std::uint16_t* errors, double* sums);
// Moves the weights, and lists the steps that lower f by themselves. Steps beyond a list's capacity wait.
void propose(const Layer& layer, const Direction& direction, const Proposal& proposal, const Batch& batch);
// Keeps a share of the steps.
void thin(const Layer& layer, const Batch& batch, std::int64_t iteration, double share);
// linear, error and image of the steps listed.
void project(const Layer& layer, const Proposal& proposal, const Batch& batch);
// trial = projection + change, [width, width]; then results, by way of `partial`, [width].
void sum_up(const Layer& layer, const Batch& batch, const double* projection, const float* change,
            double* trial, double* partial, double* results);
void accept(const Layer& layer, const Batch& batch);

// Of one of the above since the last call, or null.
const char* failure();

}  // namespace octavo::descent::gpu
