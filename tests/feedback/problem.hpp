// Small layers with inputs, and rounding with feedback written out in f64 from the definition.
#pragma once

#include "plugin/host_services.hpp"
#include "reference/operations.hpp"

#include <octavo/abi/optimizer.h>
#include <octavo/grid.hpp>
#include <octavo/lane.hpp>

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace octavo::test {

using Rows = std::vector<std::vector<double>>;

// A lane of no backend: the reference operations on ordinary memory.
struct ReferenceLane {
  ReferenceLane() : services(reference::operations()) {
    lane.struct_size = sizeof lane;
    lane.primary = 1;
    lane.operations = &reference::operations();
    lane.host = services.host();
  }
  plugin::HostServices services;
  octavo_lane lane{};
};

struct Values {
  Values(std::int64_t r, std::int64_t c) : rows(r), cols(c), data(static_cast<std::size_t>(r * c)) {}
  octavo_tensor view() { return tensor_view(data.data(), OCTAVO_F32, {rows, cols}); }
  float& at(std::int64_t r, std::int64_t c) { return data[static_cast<std::size_t>(r * cols + c)]; }
  float at(std::int64_t r, std::int64_t c) const { return data[static_cast<std::size_t>(r * cols + c)]; }

  std::int64_t rows;
  std::int64_t cols;
  std::vector<float> data;
};

inline Values gaussian(unsigned seed, std::int64_t rows, std::int64_t cols) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Values made(rows, cols);
  for (float& value : made.data) value = normal(engine);
  return made;
}

// Inputs whose neighbouring channels go together, so that feedback has something to feed back.
inline Values correlated(unsigned seed, std::int64_t samples, std::int64_t cols) {
  Values made = gaussian(seed, samples, cols);
  for (std::int64_t r = 0; r < samples; ++r) {
    for (std::int64_t c = 1; c < cols; ++c) made.at(r, c) = 0.9f * made.at(r, c - 1) + 0.45f * made.at(r, c);
  }
  return made;
}

inline octavo_inputs inputs_of(Values& samples) {
  octavo_inputs inputs{};
  inputs.struct_size = sizeof inputs;
  inputs.samples = samples.view();
  return inputs;
}

// H = X^T X scaled to a mean diagonal of 1, channels that are never active having 1, plus damping.
inline Rows hessian(const Values& samples, double damping) {
  const auto cols = static_cast<std::size_t>(samples.cols);
  Rows h(cols, std::vector<double>(cols, 0.0));
  for (std::int64_t s = 0; s < samples.rows; ++s) {
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t k = 0; k < cols; ++k)
        h[i][k] +=
            double{samples.at(s, static_cast<std::int64_t>(i))} * samples.at(s, static_cast<std::int64_t>(k));
    }
  }
  double trace = 0;
  for (std::size_t i = 0; i < cols; ++i) trace += h[i][i];
  for (std::size_t i = 0; i < cols; ++i) {
    for (std::size_t k = 0; k < cols; ++k) h[i][k] *= static_cast<double>(cols) / trace;
  }
  for (std::size_t i = 0; i < cols; ++i) h[i][i] = (h[i][i] == 0 ? 1 : h[i][i]) + damping;
  return h;
}

// Row and column k are those of order[k].
inline Rows in_order(const Rows& h, const std::vector<std::int64_t>& order) {
  Rows made = h;
  for (std::size_t i = 0; i < made.size(); ++i) {
    for (std::size_t k = 0; k < made.size(); ++k)
      made[i][k] = h[static_cast<std::size_t>(order[i])][static_cast<std::size_t>(order[k])];
  }
  return made;
}

// H = L D L^T, L of unit diagonal, by the textbook.
struct Ldl {
  Rows lower;
  std::vector<double> pivots;
};

inline Ldl factor(const Rows& h) {
  const std::size_t n = h.size();
  Ldl made{Rows(n, std::vector<double>(n, 0.0)), std::vector<double>(n)};
  for (std::size_t k = 0; k < n; ++k) {
    double pivot = h[k][k];
    for (std::size_t j = 0; j < k; ++j) pivot -= made.lower[k][j] * made.lower[k][j] * made.pivots[j];
    made.pivots[k] = pivot;
    made.lower[k][k] = 1;
    for (std::size_t i = k + 1; i < n; ++i) {
      double sum = h[i][k];
      for (std::size_t j = 0; j < k; ++j) sum -= made.lower[i][j] * made.lower[k][j] * made.pivots[j];
      made.lower[i][k] = sum / pivot;
    }
  }
  return made;
}

// D and L of a factor of H, whose row i begins at row_of(i)[0].
template <typename RowOf>
void check_triangle(const std::vector<float>& pivots, const Rows& h, RowOf row_of) {
  const Ldl expected = factor(h);
  for (std::size_t i = 0; i < h.size(); ++i) {
    BOOST_TEST(pivots[i] == expected.pivots[i], boost::test_tools::tolerance(1e-3));
    const auto row = row_of(static_cast<std::int64_t>(i));
    for (std::size_t k = 0; k <= i; ++k) BOOST_TEST(std::fabs(row[k] - expected.lower[i][k]) < 1e-3);
  }
}

// The codes of one row and how near to a tie the nearest call was, by the definition of LDLQ in f64.
struct LdlqRow {
  std::vector<int> codes;
  double nearest_tie = 1;
};

inline LdlqRow ldlq_row(const std::vector<double>& weight, const std::vector<double>& scales,
                        const Rows& lower) {
  LdlqRow made{std::vector<int>(weight.size()), 1};
  std::vector<double> left(weight.size());
  for (std::size_t k = weight.size(); k-- > 0;) {
    double f = weight[k];
    for (std::size_t i = k + 1; i < weight.size(); ++i) f += left[i] * lower[i][k];
    const double t = f / scales[k];
    made.nearest_tie = std::min(made.nearest_tie, std::fabs(t - std::floor(t) - 0.5));
    made.codes[k] = static_cast<int>(std::min(127.0, std::max(-127.0, std::nearbyint(t))));
    left[k] = weight[k] - made.codes[k] * scales[k];
  }
  return made;
}

// e H e^T.
inline double metric(const std::vector<double>& e, const Rows& h) {
  double sum = 0;
  for (std::size_t i = 0; i < e.size(); ++i) {
    for (std::size_t k = 0; k < e.size(); ++k) sum += e[i] * h[i][k] * e[k];
  }
  return sum;
}

inline octavo_layer layer_of(std::int64_t rows, std::int64_t cols) {
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_F32;
  layer.name = "layer";
  layer.key = "layer.weight";
  layer.rows = rows;
  layer.cols = cols;
  return layer;
}

}  // namespace octavo::test
