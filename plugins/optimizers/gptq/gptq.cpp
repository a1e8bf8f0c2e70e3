// gptq: rounding with feedback from real inputs, on plain rows unless another format is asked for.
#include "feedback/feedback_optimizer.hpp"
#include "scale_search/scale_search.hpp"

namespace {

using namespace octavo;

constexpr octavo_param kParams[] = {
    feedback::kDamping,
    feedback::kBlockSize,
    bool_param("actorder", "false", "Round the columns with the largest Hessian diagonal first"),
    feedback::kPasses,
    scale_search::kParameter,
};

class Gptq final : public feedback::FeedbackOptimizer {
 public:
  static constexpr const char* default_format = "int8_tensorwise:scale=row";

  Gptq(const Host&, const Params& params) : FeedbackOptimizer(settings(params)) {}

 private:
  static feedback::Settings settings(const Params& params) {
    feedback::Settings made;
    feedback::set_damping(made, params.text("damping"));
    made.block = params.integer("block_size");
    made.order =
        params.flag("actorder") ? feedback::ColumnOrder::by_activity : feedback::ColumnOrder::natural;
    made.passes = params.integer("passes");
    made.scale_search = params.integer("scale_search");
    return made;
  }
};

}  // namespace

OCTAVO_OPTIMIZER_PLUGIN(Gptq,
                        {.id = "gptq",
                         .version = OCTAVO_PLUGIN_VERSION,
                         .summary = "Rounding with feedback from real inputs (GPTQ, LDLQ), on plain rows",
                         .params = kParams,
                         .links = OCTAVO_PLUGIN_LINKS})
