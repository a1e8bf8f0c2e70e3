#include "lora/targets.hpp"

namespace octavo::lora {
namespace {

std::string_view base_of(std::string_view key) {
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (key.ends_with(ending) && key.size() > ending.size()) return key.substr(0, key.size() - ending.size());
  }
  return key;
}

std::string index_of(const std::string& part, std::string_view name) { return part + '|' + folded(name); }

}  // namespace

void Targets::put(Names& names, const std::string& name, const FoundLayer& layer) {
  const auto [place, is_new] = names.emplace(name, Entry{layer});
  if (!is_new && place->second.layer.base != layer.base) place->second.ambiguous = true;
}

Targets::Targets(const checkpoint::Checkpoint& source) {
  std::set<std::string> seen;
  for (const checkpoint::TensorRef& tensor : source.tensors()) {
    const std::string base(base_of(tensor.info.name));
    if (!seen.insert(base).second) continue;
    const NetworkName network = network_of_tensor(base);
    if (network.name != base) parts_.insert(network.part);
    put(names_, index_of(network.part, network.name), {base});
    // A checkpoint without prefixes holds one network, and a LoRA may call it any of its text encoders.
    if (network.name == base) put(names_, index_of("?", base), {base});
    for (const Alias& alias : aliases(network.name))
      put(aliases_, index_of(network.part, alias.name), {base, alias.slice});
    if (!network.part.empty()) continue;
    for (size_t dot = network.name.find('.'); dot != std::string::npos; dot = network.name.find('.', dot + 1))
      put(endings_, index_of("", network.name.substr(dot + 1)), {base});
  }
}

std::optional<FoundLayer> Targets::find(const NetworkName& wanted) const {
  const auto look = [&](const Names& names, const std::string& part) -> const Entry* {
    const auto found = names.find(index_of(part, wanted.name));
    return found == names.end() ? nullptr : &found->second;
  };
  const Entry* found = look(names_, wanted.part);
  if (found == nullptr) found = look(aliases_, wanted.part);
  if (found == nullptr && !wanted.part.empty()) found = look(names_, "?");
  if (found == nullptr && wanted.part.empty()) found = look(endings_, "");
  if (found == nullptr || found->ambiguous) return std::nullopt;
  return found->layer;
}

}  // namespace octavo::lora
