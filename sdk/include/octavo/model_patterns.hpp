// SPDX-License-Identifier: Apache-2.0
// Model filters as data: a list of patterns and a list of signature keys, from which PatternModel makes a
// whole filter.
//
//   constexpr octavo::NamePattern kPatterns[] = {
//       octavo::high_precision("img_in", "input projection"),
//       octavo::keep("norm", "normalisation"),
//       octavo::leave_out("decoder", "not used by the loaders of this encoder"),
//   };
//   constexpr octavo::SignatureKey kSignature[] = {{"double_blocks.{}.img_attn.qkv.weight", 19}};
//   constexpr std::string_view kAbsent[] = {"distilled_guidance_layer.in_proj.weight"};
//   class Flux final : public octavo::PatternModel {
//    public:
//     Flux(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature, kAbsent}) {}
//   };
//
// A pattern is a substring of the full key (case matters), as the published lists are meant to be read. Where
// several match, leaving out comes first, then the first pattern of the list.
#pragma once

#include <octavo/model.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace octavo {

struct NamePattern {
  std::string_view text;
  octavo_decision decision;
  std::string_view reason;
};

constexpr NamePattern keep(std::string_view text, std::string_view reason) {
  return {text, OCTAVO_DECISION_KEEP, reason};
}
constexpr NamePattern high_precision(std::string_view text, std::string_view reason) {
  return {text, OCTAVO_DECISION_HIGH_PRECISION, reason};
}
constexpr NamePattern leave_out(std::string_view text, std::string_view reason) {
  return {text, OCTAVO_DECISION_REMOVE, reason};
}

// A key that the architecture has, without the part's prefix. `{}` stands for 0 .. blocks - 1 and makes as
// many keys. rows and cols, where not 0, are those of the weight.
struct SignatureKey {
  std::string_view key;
  std::int64_t blocks = 1;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

struct FilterData {
  std::span<const NamePattern> patterns;
  std::span<const SignatureKey> signature = {};   // empty: the filter is asked for by name
  std::span<const std::string_view> absent = {};  // one of these keys: another architecture
};

// The tensor can be a layer's weight by its key: it ends in ".weight" or is one half of a LoRA pair.
inline bool is_weight_key(std::string_view name) {
  return name.ends_with(".weight") || name.find("lora_A") != std::string_view::npos ||
         name.find("lora_B") != std::string_view::npos;
}

// Why a tensor cannot be a layer at all: rank, key or dtype. Nothing if it can.
inline std::optional<Classification> not_a_layer(const HeaderTensor& tensor) {
  const auto kept = [](const char* rule, std::string reason) {
    return Classification{OCTAVO_DECISION_KEEP, rule, std::move(reason)};
  };
  if (tensor.shape.size() != 2)
    return kept("rank", std::to_string(tensor.shape.size()) + " dimensions, not 2");
  if (!is_weight_key(tensor.name)) return kept("key", "the key is not a weight's");
  if (!is_weight_dtype(tensor.dtype)) return kept("dtype", "the values are not floats");
  if (tensor.shape[0] == 0 || tensor.shape[1] == 0) return kept("size", "no elements");
  return std::nullopt;
}

namespace detail {

inline std::string block_key(const ModelContext& context, std::string_view key, std::int64_t block) {
  std::string name = std::string(context.part_prefix) + std::string(key);
  if (const std::size_t place = name.find("{}"); place != std::string::npos)
    name.replace(place, 2, std::to_string(block));
  return name;
}

inline bool has_key(const ModelContext& context, const SignatureKey& key, std::int64_t block) {
  const std::optional<HeaderTensor> tensor = context.header.find(block_key(context, key.key, block));
  if (!tensor) return false;
  if (key.rows == 0 && key.cols == 0) return true;
  return tensor->shape.size() == 2 && (key.rows == 0 || tensor->shape[0] == key.rows) &&
         (key.cols == 0 || tensor->shape[1] == key.cols);
}

inline const NamePattern* first_match(const FilterData& data, std::string_view name, bool leaving_out) {
  const auto found =
      std::find_if(data.patterns.begin(), data.patterns.end(), [&](const NamePattern& pattern) {
        return (pattern.decision == OCTAVO_DECISION_REMOVE) == leaving_out &&
               name.find(pattern.text) != std::string_view::npos;
      });
  return found == data.patterns.end() ? nullptr : &*found;
}

inline Classification by_pattern(const NamePattern& pattern) {
  return {pattern.decision, std::string(pattern.text), std::string(pattern.reason)};
}

}  // namespace detail

// Counts the signature keys that are there. All: 900 and one more for each key up to 1000, so that of two
// filters that fit the more specific one wins; nine of ten: 1 to 500; fewer, or an absent key: 0.
inline Detection detect_by(const FilterData& data, const ModelContext& context) {
  for (const std::string_view key : data.absent) {
    if (detail::has_key(context, {key}, 0)) return {0, std::string(key) + " belongs to another architecture"};
  }
  std::uint64_t total = 0;
  std::uint64_t present = 0;
  for (const SignatureKey& key : data.signature) {
    for (std::int64_t block = 0; block < key.blocks; ++block) {
      ++total;
      present += detail::has_key(context, key, block) ? 1u : 0u;
    }
  }
  Detection detection{0, std::to_string(present) + " of " + std::to_string(total) + " signature keys"};
  if (total == 0 || present * 10 < total * 9) return detection;
  detection.score =
      static_cast<std::uint32_t>(present == total ? 900 + std::min<std::uint64_t>(total, 100)
                                                  : std::max<std::uint64_t>(1, 500 * present / total));
  return detection;
}

// Leave out; then whatever is not a layer; then the other patterns; all else is quantized.
inline Classification classify_by(const FilterData& data, const HeaderTensor& tensor) {
  if (const NamePattern* pattern = detail::first_match(data, tensor.name, true))
    return detail::by_pattern(*pattern);
  if (std::optional<Classification> reason = not_a_layer(tensor)) return *std::move(reason);
  if (const NamePattern* pattern = detail::first_match(data, tensor.name, false))
    return detail::by_pattern(*pattern);
  return {OCTAVO_DECISION_QUANTIZE, "layer", "no pattern matches"};
}

// A filter that is its data. The spans refer to arrays that live as long as the plugin.
class PatternModel : public Model {
 public:
  explicit PatternModel(const FilterData& data) : data_(data) {}
  Detection detect(const ModelContext& context) const override { return detect_by(data_, context); }
  Classification classify(const ModelContext&, const HeaderTensor& tensor) const override {
    return classify_by(data_, tensor);
  }

 private:
  FilterData data_;
};

}  // namespace octavo
