// quip: rounding with feedback from real inputs, in the incoherent basis that the format stores.
#include "feedback/feedback_optimizer.hpp"
#include "scale_search/scale_search.hpp"

namespace {

using namespace octavo;

constexpr octavo_param kParams[] = {
    feedback::kDamping,
    feedback::kBlockSize,
    choice_param("actorder", "auto", "auto|true|false",
                 "Round the columns with the largest Hessian diagonal first; auto: in the plain basis, "
                 "because a rotation "
                 "evens the diagonal out"),
    feedback::kPasses,
    scale_search::kParameter,
};

class Quip final : public feedback::FeedbackOptimizer {
 public:
  static constexpr const char* default_format = "int8_convrot";

  Quip(const Host&, const Params& params) : FeedbackOptimizer(settings(params)) {}

 private:
  static feedback::Settings settings(const Params& params) {
    feedback::Settings made;
    feedback::set_damping(made, params.text("damping"));
    made.block = params.integer("block_size");
    feedback::set_order(made, params.choice("actorder"));
    made.passes = params.integer("passes");
    made.scale_search = params.integer("scale_search");
    return made;
  }
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(Quip,
                        {.id = "quip",
                         .version = OCTAVO_PLUGIN_VERSION,
                         .summary = "Rounding with feedback from real inputs (LDLQ), in a rotated basis",
                         .params = kParams,
                         .links = OCTAVO_PLUGIN_LINKS})
