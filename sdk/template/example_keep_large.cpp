// A model filter that keeps very large layers (embeddings, mostly) and quantizes the other 2-D weights.
//
// A filter sees names, dtypes and shapes, never data. It is asked for by name (`--model example_keep_large`);
// a filter for an architecture also answers detect() and sets the flag OCTAVO_MODEL_AUTO, so that it is found
// by itself.
#include <octavo/model.hpp>

#include <array>
#include <string>

namespace {

constexpr std::array kParams = {
    octavo::integer_param("limit", "100000000", 1, 1e15, "Layers with more values than this are kept"),
};

class KeepLarge final : public octavo::Model {
 public:
  KeepLarge(const octavo::Host&, const octavo::Params& params) : limit_(params.integer("limit")) {}

  octavo::Detection detect(const octavo::ModelContext&) const override {
    return {0, "it is for every architecture, so it is used only when asked for"};
  }

  octavo::Classification classify(const octavo::ModelContext&,
                                  const octavo::HeaderTensor& tensor) const override {
    if (tensor.shape.size() != 2) return {OCTAVO_DECISION_KEEP, "rank", "only 2-D weights are layers"};
    if (tensor.shape[0] > limit_ / (tensor.shape[1] > 0 ? tensor.shape[1] : 1))
      return {OCTAVO_DECISION_HIGH_PRECISION, "limit", "more than " + std::to_string(limit_) + " values"};
    return {OCTAVO_DECISION_QUANTIZE, "limit", "a layer of ordinary size"};
  }

 private:
  std::int64_t limit_;
};

}  // namespace

OCTAVO_MODEL_PLUGIN(KeepLarge, {.id = "example_keep_large",
                                .version = OCTAVO_PLUGIN_VERSION,
                                .summary = "Keeps layers beyond a size (an example)",
                                .params = kParams})
