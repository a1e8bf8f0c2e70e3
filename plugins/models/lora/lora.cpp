// lora: LoRA files: keeps alpha and scale.
//
// Such a file has no key of its own to be known by: its keys are those of the network it was made for. So the
// share of tensors that are one half of a low-rank pair, or belong to one, is what counts.
#include <octavo/model_patterns.hpp>

#include <array>

namespace {

constexpr octavo::NamePattern kPatterns[] = {
    octavo::keep("alpha", "the strength of a pair"),
    octavo::keep("scale", "a scale"),
};
constexpr std::array<std::string_view, 6> kHalves = {"lora_A",    "lora_B",  "lora_up",
                                                     "lora_down", "lora.up", "lora.down"};
constexpr std::array<std::string_view, 4> kCompanions = {".alpha", ".dora_scale", ".diff", ".diff_b"};

bool is_half(std::string_view name) {
  return std::any_of(kHalves.begin(), kHalves.end(),
                     [&](std::string_view half) { return name.find(half) != std::string_view::npos; });
}
bool is_companion(std::string_view name) {
  return std::any_of(kCompanions.begin(), kCompanions.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

class Lora final : public octavo::PatternModel {
 public:
  Lora(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns}) {}

  // Nine of ten tensors have to fit: up to 1000, as the share.
  octavo::Detection detect(const octavo::ModelContext& context) const override {
    const std::uint64_t total = context.header.size();
    std::uint64_t halves = 0;
    std::uint64_t companions = 0;
    for (std::uint64_t i = 0; i < total; ++i) {
      const std::string_view name = context.header.tensor(i).name;
      halves += is_half(name) ? 1u : 0u;
      companions += !is_half(name) && is_companion(name) ? 1u : 0u;
    }
    const std::uint64_t fitting = halves + companions;
    octavo::Detection detection{0, std::to_string(fitting)};
    detection.reason.append(" of ").append(std::to_string(total)).append(" tensors belong to low-rank pairs");
    if (halves > 0 && fitting * 10 >= total * 9)
      detection.score = static_cast<std::uint32_t>(1000 * fitting / total);
    return detection;
  }
};

}  // namespace

OCTAVO_MODEL_PLUGIN(Lora, {.id = "lora",
                           .version = OCTAVO_PLUGIN_VERSION,
                           .summary = "LoRA files: keeps alpha and scale",
                           .flags = OCTAVO_MODEL_AUTO})
