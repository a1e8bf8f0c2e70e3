// The quality of a conversion as one HTML page that needs nothing else: numbers, charts as SVG, a table with
// the worst layer first.
#pragma once

#include "report/compare.hpp"
#include "report/output_error.hpp"

#include <optional>
#include <string>
#include <vector>

namespace octavo::cli {

// Errors of a layer's outputs on real inputs, relative to the outputs.
struct PageOutputs {
  bool has_w8a8 = false;
  double weight = 0;  // of the squares: |error|^2 / |output|^2
  double activation = 0;
  double total = 0;          // of W8A8, or of W8A16 where there is no W8A8
  double nearest = 0;        // the same of nearest on the same grid
  double nearest_parts = 0;  // its weights and activations, added
  bool is_nearest = false;
  int64_t samples = 0;
};

struct PageLayer {
  std::string name;
  std::string format;
  int64_t rows = 0;
  int64_t cols = 0;
  std::optional<double> sqnr_db;  // nothing: exact
  double max_error = 0;
  std::optional<PageOutputs> outputs;
};

struct QualityPage {
  std::string judged;     // a name
  std::string reference;  // a name
  std::optional<double> total_db;
  std::vector<PageLayer> layers;  // in the order of the model
};

PageOutputs page_outputs(const report::LayerOutputs& layer);

// Numbers in names count as numbers, so that block 10 comes after block 9.
void sort_by_model(std::vector<PageLayer>& layers);

// By the error of outputs, the largest first; layers without inputs after them, by SQNR. Of equal ones by
// their order in the page.
std::vector<const PageLayer*> worst_first(const QualityPage& page);

// The whole document. Names are escaped; the same data give the same bytes.
std::string html_of(const QualityPage& page);

}  // namespace octavo::cli
