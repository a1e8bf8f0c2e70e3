// SPDX-License-Identifier: Apache-2.0
// Model filters as data: a list of patterns and a list of signature keys, from which PatternModel makes a
// whole filter.
//
//   constexpr octavo::NamePattern kPatterns[] = {
//       octavo::high_precision("img_in", "input projection"),
//       octavo::keep("norm", "normalisation"),
//       octavo::leave_out("decoder", "not used by the loaders of this encoder"),
//   };
//   constexpr octavo::SignatureKey kSignature[] = {
//       octavo::required_key("img_in.weight"),
//       octavo::each_block("double_blocks.{}.img_attn.qkv.weight"),
//   };
//   constexpr std::string_view kAbsent[] = {"distilled_guidance_layer.in_proj.weight"};
//   class Flux final : public octavo::PatternModel {
//    public:
//     Flux(const octavo::Host&, const octavo::Params&) : PatternModel({kPatterns, kSignature, kAbsent}) {}
//   };
//
// A pattern is a substring of the full key (case matters), as the published lists are meant to be read. Where
// several match, leaving out comes first, then the first pattern of the list.
//
// A signature key is written as the architecture's own code names the tensor. The same network is published
// bare and below several prefixes: where the host does not say which part of the file is looked at, every
// prefix of kPartPrefixes is tried, and the one that fits best counts.
#pragma once

#include <octavo/model.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
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

// Two lists in one, the first before the second: a published list that several filters begin with.
template <std::size_t First, std::size_t Second>
constexpr std::array<NamePattern, First + Second> join(const NamePattern (&first)[First],
                                                       const NamePattern (&second)[Second]) {
  std::array<NamePattern, First + Second> joined{};
  std::copy(first, first + First, joined.begin());
  std::copy(second, second + Second, joined.begin() + First);
  return joined;
}

constexpr std::int64_t kEveryBlock = 0;

// A key that the architecture has, without the part's prefix. `{}` stands for 0 .. blocks - 1 and makes as
// many keys; kEveryBlock: as many as the file has. `a|b`: either, where releases differ in a name. rows and
// cols, where not 0, are those of the weight. Without a required key it is another architecture.
struct SignatureKey {
  std::string_view key;
  std::int64_t blocks = 1;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  bool required = false;
};

constexpr SignatureKey required_key(std::string_view key, std::int64_t rows = 0, std::int64_t cols = 0) {
  return {key, 1, rows, cols, true};
}
constexpr SignatureKey each_block(std::string_view key) { return {key, kEveryBlock}; }

// A layout of the same weights that cannot be converted into a file that loads: recognised, so that the run
// ends with the reason and not with a file of no use.
struct RefusedLayout {
  std::span<const SignatureKey> signature = {};
  std::string_view reason = {};
};

// A layer whose inputs are the outputs of one norm or linear, and its weight: 1/s of SmoothQuant can be
// folded into it. Both as the architecture's own code names them, the layer without ".weight"; `{}` is the
// same number in both. Every layer that reads the target's output has to be in the list, and nothing else may
// read it (not a residual path); between the two there may only be what commutes with a factor for each
// channel: a product with another tensor, attention between values and their output, ReLU. A norm that
// multiplies by 1 + its weight is none.
struct Fold {
  std::string_view layer;
  std::string_view target;
};

struct FilterData {
  std::span<const NamePattern> patterns;
  std::span<const SignatureKey> signature = {};   // empty: the filter is asked for by name
  std::span<const std::string_view> absent = {};  // one of these keys: another architecture
  RefusedLayout refused = {};
  std::span<const Fold> folds = {};
};

// What published files put before the keys of a whole network.
inline constexpr std::string_view kPartPrefixes[] = {"",
                                                     "model.diffusion_model.",
                                                     "diffusion_model.",
                                                     "model.model.",
                                                     "net.",
                                                     "transformer.",
                                                     "video_model.",
                                                     "model.",
                                                     "model.language_model.",
                                                     "language_model.model."};

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

// One network within a header: what a signature is looked for in.
struct Part {
  const HeaderView& header;
  std::string_view prefix;
};

inline std::string block_key(std::string_view key, std::int64_t block) {
  std::string name(key);
  if (const std::size_t place = name.find("{}"); place != std::string::npos)
    name.replace(place, 2, std::to_string(block));
  return name;
}

inline bool has_shape(const HeaderTensor& tensor, const SignatureKey& key) {
  if (key.rows == 0 && key.cols == 0) return true;
  return tensor.shape.size() == 2 && (key.rows == 0 || tensor.shape[0] == key.rows) &&
         (key.cols == 0 || tensor.shape[1] == key.cols);
}

// Whether one of the key's alternatives is there, below the prefix or in another part of the file.
inline bool has_key(const Part& part, const SignatureKey& key, std::int64_t block) {
  for (std::string_view rest = key.key; !rest.empty();) {
    const std::size_t bar = std::min(rest.find('|'), rest.size());
    const std::string name = block_key(rest.substr(0, bar), block);
    rest.remove_prefix(std::min(bar + 1, rest.size()));
    for (const std::string& full : {std::string(part.prefix) + name, name}) {
      const std::optional<HeaderTensor> tensor = part.header.find(full);
      if (tensor && has_shape(*tensor, key)) return true;
    }
  }
  return false;
}

// "blocks." of "blocks.{}.attn.qkv.weight"
inline std::string_view block_stem(const SignatureKey& key) { return key.key.substr(0, key.key.find("{}")); }

// Blocks of the stack that `key` belongs to: numbers from 0 on for which one of its signature keys is there.
// At least 1, so that a stack that is not there counts as missing.
inline std::int64_t count_blocks(const Part& part, std::span<const SignatureKey> signature,
                                 const SignatureKey& key) {
  if (key.blocks != kEveryBlock) return key.blocks;
  const auto has_block = [&](std::int64_t block) {
    return std::any_of(signature.begin(), signature.end(), [&](const SignatureKey& other) {
      return block_stem(other) == block_stem(key) && has_key(part, other, block);
    });
  };
  std::int64_t blocks = 0;
  while (has_block(blocks)) ++blocks;
  return std::max<std::int64_t>(blocks, 1);
}

struct KeyCount {
  std::uint64_t present = 0;
  std::uint64_t total = 0;
  bool complete = true;  // no required key is missing
};

inline KeyCount count_keys(const Part& part, std::span<const SignatureKey> signature) {
  KeyCount count;
  for (const SignatureKey& key : signature) {
    const std::int64_t blocks = count_blocks(part, signature, key);
    for (std::int64_t block = 0; block < blocks; ++block) {
      const bool present = has_key(part, key, block);
      ++count.total;
      count.present += present ? 1u : 0u;
      if (key.required && !present) count.complete = false;
    }
  }
  return count;
}

// All: 900 and one more for each key up to 1000, so that of two filters that fit the more specific one wins;
// nine of ten: 1 to 500; fewer, or a required key missing: 0.
inline std::uint32_t score_of(const KeyCount& count) {
  if (!count.complete || count.total == 0 || count.present * 10 < count.total * 9) return 0;
  if (count.present == count.total)
    return static_cast<std::uint32_t>(900 + std::min<std::uint64_t>(count.total, 100));
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, 500 * count.present / count.total));
}

inline Detection detect_part(const FilterData& data, const Part& part) {
  for (const std::string_view key : data.absent) {
    if (has_key(part, {key}, 0)) return {0, std::string("another architecture's key is there: ").append(key)};
  }
  const KeyCount count = count_keys(part, data.signature);
  return {score_of(count),
          std::to_string(count.present) + " of " + std::to_string(count.total) + " signature keys"};
}

// The best over the prefixes that come into question.
inline Detection detect_anywhere(const FilterData& data, const ModelContext& context) {
  Detection best = detect_part(data, {context.header, context.part_prefix});
  if (!context.part_prefix.empty()) return best;
  for (const std::string_view prefix : kPartPrefixes) {
    if (prefix.empty()) continue;
    Detection found = detect_part(data, {context.header, prefix});
    if (found.score > best.score) best = std::move(found);
  }
  return best;
}

// All keys of the refused layout are there, below one prefix. Asked for each tensor: ends at the first miss.
inline bool has_refused_layout(const FilterData& data, const ModelContext& context) {
  const std::span<const SignatureKey> keys = data.refused.signature;
  if (keys.empty()) return false;
  const auto fits = [&](std::string_view prefix) {
    const Part part{context.header, prefix};
    return std::all_of(keys.begin(), keys.end(),
                       [&](const SignatureKey& key) { return has_key(part, key, 0); });
  };
  if (!context.part_prefix.empty()) return fits(context.part_prefix);
  return std::any_of(std::begin(kPartPrefixes), std::end(kPartPrefixes), fits);
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

// The target's key for this layer; nothing where the name is not this fold's. What stands before the layer's
// own name (a part's prefix, which ends in a dot) stands before the target's too.
inline std::optional<std::string> target_of(const Fold& fold, std::string_view name) {
  const std::size_t hole = std::min(fold.layer.find("{}"), fold.layer.size());
  const std::string_view tail = fold.layer.substr(std::min(hole + 2, fold.layer.size()));
  if (!name.ends_with(tail)) return std::nullopt;
  std::string_view head = name.substr(0, name.size() - tail.size());
  std::string_view number;
  if (hole < fold.layer.size()) {
    const std::size_t last = head.find_last_not_of("0123456789");
    number = head.substr(last == std::string_view::npos ? 0 : last + 1);
    if (number.empty()) return std::nullopt;
    head.remove_suffix(number.size());
  }
  if (!head.ends_with(fold.layer.substr(0, hole))) return std::nullopt;
  const std::string_view prefix = head.substr(0, head.size() - hole);
  if (!prefix.empty() && prefix.back() != '.') return std::nullopt;
  std::string target(fold.target);
  if (const std::size_t place = target.find("{}"); place != std::string::npos)
    target.replace(place, 2, number);
  return target.insert(0, prefix);
}

}  // namespace detail

// How well the header fits: the share of the signature keys that are there (detail::score_of), 0 where an
// absent key is there. A refused layout is recognised too.
inline Detection detect_by(const FilterData& data, const ModelContext& context) {
  Detection detection = detail::detect_anywhere(data, context);
  if (detection.score == 0 && detail::has_refused_layout(data, context))
    return {900, std::string(data.refused.reason)};
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

// The first fold of the list that the layer's name fits; "" where none does.
inline std::string fold_target_by(const FilterData& data, std::string_view layer) {
  for (const Fold& fold : data.folds) {
    if (std::optional<std::string> target = detail::target_of(fold, layer)) return *std::move(target);
  }
  return {};
}

// A filter that is its data. The spans refer to arrays that live as long as the plugin.
class PatternModel : public Model {
 public:
  explicit PatternModel(const FilterData& data) : data_(data) {}
  Detection detect(const ModelContext& context) const override { return detect_by(data_, context); }
  Classification classify(const ModelContext& context, const HeaderTensor& tensor) const override {
    if (detail::has_refused_layout(data_, context))
      return {OCTAVO_DECISION_REFUSE, "layout", std::string(data_.refused.reason)};
    return classify_by(data_, tensor);
  }
  std::string fold_target(const ModelContext&, std::string_view layer) const override {
    return fold_target_by(data_, layer);
  }

 private:
  FilterData data_;
};

}  // namespace octavo
