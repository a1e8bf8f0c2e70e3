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
  std::int8_t* distance;       // [rows, cols]: code - weight / scale, in 64ths
  std::uint16_t* offset;       // [rows, cols]: how far the rule has moved each weight
  std::int8_t* mean;           // [rows, cols]: the first moment, in 32nds, or null for rules without moments
  std::uint8_t* root;          // [rows, cols]: the root of the second one, corrected for its start, in 32nds
  const std::uint16_t* right;  // [cols, width]
  const float* left_squares;   // [rows]: |u_r|^2
  const std::uint16_t* right_squares;  // [cols]: |v_c|^2
  void* stream;                        // a cudaStream_t: of everything that is launched for the layer
};

// The steps of the batch that is being tried: for each row a list, by ascending column.
struct Batch {
  std::int64_t capacity;   // of a row's list
  std::int32_t* elements;  // [rows, capacity]: 2 * column, plus 1 for a step up
  std::int32_t* counts;    // [rows]
  double* cross;           // [rows]: the part of `error` that is linear in the steps
  double* error;           // [rows]: change of |E|^2
  std::uint16_t* image;    // [rows, width]: D V
};

// How a rule makes a direction of the gradient g (each row to a root mean square of 1) and the offset o:
//   without moments  g + weight_decay o
//   with them        m = beta1 m + (1 - beta1) g, v = v + square_gain (g^2 - v), then
//                    factor m mean_factor / (sqrt(v) + epsilon) + weight_decay o, or with
//                    by_row_size m / rms of the row's m + weight_decay o
struct Direction {
  bool moments = false;
  bool by_row_size = false;
  float beta1 = 0, square_gain = 1, epsilon = 0;
  float mean_factor = 1, factor = 1;
  float weight_decay = 0;
  float dither = 0;  // from -0.5 to 0.5: what is added before a moment is rounded, so that none gets stuck
};

// For the rows from first_row on.
struct Proposal {
  std::int64_t first_row, rows;
  const std::uint16_t* gradient;  // [rows, cols], times gradient_scale
  float gradient_scale;
  float rate;
  float error_weight;
  double share;  // of the steps that lower f by themselves
  std::int64_t iteration;
};

// What a batch does.
struct Results {
  double along;      // P . change of P
  double cross;      // sum of Batch::cross
  double error;      // sum of Batch::error
  double steps;      // how many
  double projected;  // |P + change|^2
};

constexpr std::int64_t kMostParts = 8;  // of the product U^T D V

// P and what a batch changes of it: all [width, width].
struct Trial {
  const double* before;
  const float* changes;  // [parts, width, width]: their sum is the change
  std::int64_t parts;
  double* after;
  std::uint16_t* halves;  // of after * half_factor
  float half_factor;
  Results* partial;   // [width]
  unsigned* arrived;  // 0 before and after
  Results* results;   // in memory that the host reads
};

// The device of what the calling thread launches from now on.
void use_device(int index);

// Of `rows` rows from first_row on: distance from weights and codes; errors (16 bits, [rows, cols]) =
// distance * scale; into sums[first_row ...] the sum of its squares in f64.
void residual(const Layer& layer, std::int64_t first_row, std::int64_t rows, std::uint16_t* errors,
              double* sums);
// Moves the weights, and lists the steps that lower f by themselves. Steps beyond a list's capacity wait.
void propose(const Layer& layer, const Direction& direction, const Proposal& proposal, const Batch& batch);
// Keeps a share of the steps.
void thin(const Layer& layer, const Batch& batch, std::int64_t iteration, double share);
// cross, error and image of the steps listed.
void project(const Layer& layer, const Batch& batch);
// `after` and the results of a batch.
void sum_up(const Layer& layer, const Batch& batch, const Trial& trial);
void accept(const Layer& layer, const Batch& batch);

// Of one of the above since the last call, or null.
const char* failure();

}  // namespace octavo::descent::gpu
