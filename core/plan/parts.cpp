#include "plan/parts.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace octavo::plan {
namespace {

constexpr std::array<std::string_view, 2> kVae = {"first_stage_model.", "vae."};
constexpr std::array<std::string_view, 4> kNetwork = {"model.diffusion_model.", "model.model.", "net.",
                                                      "model."};
constexpr std::size_t kEnoughKeys = 6;

// "text_encoders.t5xxl." of "text_encoders.t5xxl.transformer.encoder...": the collection and one member.
std::string_view member_prefix(std::string_view key, std::string_view collection) {
  if (!key.starts_with(collection)) return {};
  const std::size_t dot = key.find('.', collection.size());
  return dot == std::string_view::npos ? std::string_view() : key.substr(0, dot + 1);
}

std::string_view text_encoder_prefix(std::string_view key) {
  for (const std::string_view collection : {"text_encoders.", "conditioner.embedders."}) {
    if (const auto prefix = member_prefix(key, collection); !prefix.empty()) return prefix;
  }
  constexpr std::string_view kSingle = "cond_stage_model.";
  return key.starts_with(kSingle) ? kSingle : std::string_view();
}

std::optional<Part> beside_the_network(std::string_view key) {
  if (const auto prefix = text_encoder_prefix(key); !prefix.empty())
    return Part{PartKind::text_encoder, std::string(prefix)};
  for (const std::string_view prefix : kVae) {
    if (key.starts_with(prefix)) return Part{PartKind::vae, std::string(prefix)};
  }
  return std::nullopt;
}

std::string network_prefix(const std::vector<std::string_view>& keys) {
  for (const std::string_view prefix : kNetwork) {
    const auto count = std::count_if(keys.begin(), keys.end(),
                                     [&](std::string_view key) { return key.starts_with(prefix); });
    if (static_cast<std::size_t>(count) >= kEnoughKeys) return std::string(prefix);
  }
  return {};
}

// Encoders are stored with what surrounds them: their network is below "transformer." then.
std::string encoder_prefix(const std::string& prefix, const checkpoint::Checkpoint& source) {
  const std::string inner = prefix + "transformer.";
  const bool has_inner = std::any_of(source.tensors().begin(), source.tensors().end(),
                                     [&](const auto& tensor) { return tensor.info.name.starts_with(inner); });
  return has_inner ? inner : prefix;
}

}  // namespace

Parts find_parts(const checkpoint::Checkpoint& source) {
  Parts found;
  found.parts.push_back({});
  found.of.assign(source.tensors().size(), 0);
  std::map<std::string, std::size_t> index;
  std::vector<std::string_view> network;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const std::string& key = source.tensors()[i].info.name;
    const std::optional<Part> part = beside_the_network(key);
    if (!part) {
      network.push_back(key);
      continue;
    }
    const auto [place, is_new] = index.emplace(part->prefix, found.parts.size());
    if (is_new) found.parts.push_back(*part);
    found.of[i] = place->second;
  }
  const bool only_one = found.parts.size() == 1 || (network.empty() && found.parts.size() == 2);
  if (only_one && (found.parts.size() == 1 || found.parts[1].kind == PartKind::text_encoder)) {
    return {{Part{}}, std::vector<std::size_t>(source.tensors().size(), 0)};
  }
  found.parts[0].prefix = network_prefix(network);
  for (Part& part : found.parts) {
    if (part.kind == PartKind::text_encoder) part.prefix = encoder_prefix(part.prefix, source);
  }
  return found;
}

}  // namespace octavo::plan
