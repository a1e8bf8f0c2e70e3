#include "names.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace octavo::generic {
namespace {

using Words = std::vector<std::string>;

constexpr std::array kEmbeddingWords = {"embed", "embeds", "embedding", "embeddings", "embedder"};
constexpr std::array kPositionWords = {"pos", "position", "positions", "positional"};
constexpr std::array kNormWords = {"norm", "norms", "layernorm", "rmsnorm", "groupnorm", "ln"};
constexpr std::array kTables = {"wte", "wpe", "emb", "relative_attention_bias"};
// Where a diffusion model takes its inputs in and lets its output out; kept by every converter that knows
// them.
constexpr std::array kEnds = {"img_in",      "txt_in",    "time_in",    "vector_in",
                              "guidance_in", "label_emb", "final_layer"};
// A vocabulary has many more entries than features.
constexpr std::int64_t kVocabularyRatio = 4;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Lower case, without trailing digits: "LayerNorm" and "norm1" are norms.
Words words_of(std::string_view component) {
  Words words = split(component, '_');
  for (std::string& word : words) {
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    while (!word.empty() && std::isdigit(static_cast<unsigned char>(word.back())) != 0) word.pop_back();
  }
  return words;
}

template <typename List>
bool holds(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

template <typename List>
bool shares_a_word(const List& list, const Words& words) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) { return holds(list, word); });
}

// The components that name modules: without "weight" and the halves of a LoRA pair.
std::vector<std::string> modules_of(std::string_view name) {
  std::vector<std::string> modules = split(name, '.');
  while (modules.size() > 1 && (modules.back() == "weight" || modules.back().starts_with("lora_")))
    modules.pop_back();
  return modules;
}

bool is_table(const std::string& last, const Words& words, std::int64_t rows, std::int64_t cols) {
  if (last == "shared") return rows > kVocabularyRatio * cols;
  return holds(kTables, last) || shares_a_word(kEmbeddingWords, words) ||
         shares_a_word(kPositionWords, words);
}

}  // namespace

std::optional<NameReading> read_name(std::string_view name, std::int64_t rows, std::int64_t cols) {
  const std::vector<std::string> modules = modules_of(name);
  const std::string& last = modules.back();
  const Words words = words_of(last);
  if (last == "text_projection" || (last == "lm_head" && modules.size() == 1))
    return NameReading{Place::fixed_head, last};
  if (last == "lm_head") return NameReading{Place::output_head, last};
  if (is_table(last, words, rows, cols)) return NameReading{Place::table, last};
  if (shares_a_word(kNormWords, words)) return NameReading{Place::norm, last};
  for (const std::string& module : modules) {
    if (holds(kEnds, module) || shares_a_word(kEmbeddingWords, words_of(module)))
      return NameReading{Place::ends, module};
  }
  return std::nullopt;
}

}  // namespace octavo::generic
