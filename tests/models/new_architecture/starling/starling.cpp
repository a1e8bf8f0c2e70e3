// starling: an architecture that octavo has never heard of.
#include <octavo/model_patterns.hpp>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::high_precision("nest.in", "the input"),
    octavo::high_precision("song", "the output"),
};
constexpr octavo::SignatureKey kSignature[] = {
    octavo::required_key("nest.in.weight", 512, 64),
    octavo::required_key("song.weight"),
    octavo::each_block("wings.{}.feather.qkv.weight"),
};

class Starling final : public octavo::PatternModel {
 public:
  Starling(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature}) {}
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Starling, {.id = "starling",
                               .version = OCTAVO_PLUGIN_VERSION,
                               .summary = "Starling: keeps the input and the output",
                               .flags = OCTAVO_MODEL_AUTO})
