// krea2: Krea 2: keeps inputs, output, time and the text fusion.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("firs", "image latents in"),
    octavo::high_precision("las", "the output"),
    octavo::high_precision("tml", "time in, text in"),
    octavo::high_precision("txtfusion", "joins the text layers"),
    octavo::high_precision("last.modulatio", "modulation of the output"),
    octavo::high_precision("tpro", "modulation that all blocks share"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("first.weight"),
    octavo::required_key("last.linear.weight"),
    octavo::required_key("tmlp.0.weight"),
    octavo::required_key("tproj.1.weight"),
    octavo::required_key("txtfusion.projector.weight"),
    octavo::required_key("txtmlp.1.weight"),
    octavo::each_block("blocks.{}.attn.wq.weight"),
    octavo::each_block("blocks.{}.mlp.gate.weight"),
};

class Krea2 final : public octavo::PatternModel {
 public:
  Krea2(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Krea2, {.id = "krea2",
                            .version = OCTAVO_PLUGIN_VERSION,
                            .summary = "Krea 2: keeps inputs, output, time and the text fusion",
                            .flags = OCTAVO_MODEL_AUTO})
