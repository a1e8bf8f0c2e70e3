#include "feedback/settings.hpp"

#include <charconv>
#include <string>

namespace octavo::feedback {

void set_damping(Settings& settings, std::string_view text) {
  if (text == "auto" || text == "search") {
    settings.damping_rule = text == "auto" ? DampingRule::by_samples : DampingRule::search;
    return;
  }
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), settings.damping);
  if (failure != std::errc() || end != text.data() + text.size() ||
      !(settings.damping > 0.0 && settings.damping <= 1000.0)) {
    throw PluginError(OCTAVO_BAD_ARGUMENT,
                      "[options] damping is '" + std::string(text) +
                          "'; expected auto, search, or a number above 0 and up to 1000");
  }
  settings.damping_rule = DampingRule::fixed;
}

void set_order(Settings& settings, std::string_view text) {
  settings.order = text == "auto"   ? ColumnOrder::automatic
                   : text == "true" ? ColumnOrder::by_activity
                                    : ColumnOrder::natural;
}

}  // namespace octavo::feedback
