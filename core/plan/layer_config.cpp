// The text is read twice: into a tree for its values, and by a parser without a tree that notes the line of
// every key. That parser takes its characters through an iterator which counts lines, and calls key() as
// soon as it has read the key's last character.
#include "plan/layer_config.hpp"

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "plugin/spelling.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <iterator>
#include <map>
#include <utility>

namespace octavo::plan {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20;
constexpr const char* kDefault = "_default";
constexpr std::uint32_t kMinBlock = 1;
constexpr std::uint32_t kMaxBlock = 65536;

[[noreturn]] void refuse(const std::string& file, std::size_t line, const std::string& what,
                         std::string hint = {}) {
  throw Error(ErrorCode::bad_input,
              fmt::format("[layer config] {}, line {}: {}", printable(file), line, what), std::move(hint));
}

class LineCountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineCountingIterator(const char* at, std::size_t* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  LineCountingIterator& operator++() {
    if (*at_++ == '\n') ++*line_;
    return *this;
  }
  LineCountingIterator operator++(int) {
    const LineCountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const LineCountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const LineCountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* line_;
};

// Lines of the keys: entry and setting ("" for the entry itself) to line.
using Lines = std::map<std::pair<std::string, std::string>, std::size_t>;

// The interface of nlohmann's sax_parse.
class KeyLines {
 public:
  KeyLines(const std::string& file, const std::size_t& line) : file_(file), line_(line) {}

  Lines take() { return std::move(lines_); }

  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(std::int64_t) { return true; }
  bool number_unsigned(std::uint64_t) { return true; }
  bool number_float(double, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(std::vector<std::uint8_t>&) { return true; }
  bool start_object(std::size_t) { return ++depth_, true; }
  bool end_object() { return --depth_, true; }
  bool start_array(std::size_t) { return ++depth_, true; }
  bool end_array() { return --depth_, true; }
  bool key(std::string& name) {
    if (depth_ == 1) entry_ = name;
    if (depth_ > 2) return true;
    const auto [place, is_new] = lines_.emplace(std::pair(entry_, depth_ == 1 ? "" : name), line_);
    if (!is_new) {
      refuse(file_, line_,
             fmt::format("key '{}' is there already, in line {}", printable(name), place->second));
    }
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) {
    const std::string text = error.what();
    const std::size_t colon = text.find(": ", text.find("column"));
    refuse(file_, line_, "this is not JSON: " + printable(text.substr(colon == text.npos ? 0 : colon + 2)));
  }

 private:
  const std::string& file_;
  const std::size_t& line_;
  int depth_ = 0;
  std::string entry_;
  Lines lines_;
};

Lines find_lines(std::string_view text, const std::string& file) {
  std::size_t line = 1;
  KeyLines keys(file, line);
  const LineCountingIterator begin(text.data(), &line);
  const LineCountingIterator end(text.data() + text.size(), &line);
  Json::sax_parse(begin, end, &keys);
  return keys.take();
}

// Reads the settings of one entry.
class EntryReader {
 public:
  EntryReader(const std::string& file, const Lines& lines, std::string name)
      : file_(file), lines_(lines), name_(std::move(name)) {}

  LayerConfigEntry read(const Json& value, std::vector<std::string>& notes) {
    entry_.name = name_;
    entry_.line = line_of("");
    if (!value.is_object()) {
      refuse(
          file_, entry_.line,
          fmt::format("'{}' is {}; an object of settings is expected", printable(name_), value.type_name()),
          R"({"format": "int8"} is a format's id in place of int8; {"skip": true} keeps the layer)");
    }
    for (const auto& [key, setting] : value.items()) set(key, setting, notes);
    if (!entry_.skip && entry_.format.empty() && entry_.scaling_mode.empty()) {
      refuse(file_, entry_.line, fmt::format("'{}' has no format", printable(name_)),
             R"("format", "scaling_mode" or "skip": true is needed; octavo plugins lists the formats)");
    }
    return entry_;
  }

 private:
  std::size_t line_of(const std::string& key) const {
    const auto found = lines_.find({name_, key});
    return found == lines_.end() ? 0 : found->second;
  }

  [[noreturn]] void refuse_value(const std::string& key, const Json& value,
                                 const std::string& expected) const {
    refuse(file_, line_of(key),
           fmt::format("'{}' of '{}' is {}; expected {}", key, printable(name_), printable(value.dump()),
                       expected));
  }

  void set(const std::string& key, const Json& value, std::vector<std::string>& notes) {
    if (key == "skip") {
      entry_.skip = truth(key, value);
    } else if (key == "format") {
      entry_.format = text(key, value);
    } else if (key == "optimizer") {
      entry_.optimizer = text(key, value);
    } else if (key == "scaling_mode") {
      entry_.scaling_mode = scaling_mode(value);
    } else if (key == "block_size") {
      entry_.block_size = block_size(value);
    } else if (key == "simple") {
      entry_.simple = truth(key, value);
    } else if (key == "full_precision_matrix_mult") {
      entry_.full_precision_matmul = truth(key, value);
    } else if (!key.starts_with("_")) {
      note_unknown(key, notes);
    }
  }

  bool truth(const std::string& key, const Json& value) const {
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_null()) return false;
    if (value.is_number()) return value.get<double>() != 0;
    refuse_value(key, value, "true or false");
  }

  std::string text(const std::string& key, const Json& value) const {
    if (!value.is_string()) refuse_value(key, value, "a text");
    return value.get<std::string>();
  }

  std::string scaling_mode(const Json& value) const {
    std::string mode = text("scaling_mode", value);
    for (const char* known : {"tensor", "row", "block", "axis"}) {
      if (mode == known) return mode;
    }
    refuse_value("scaling_mode", value, "tensor, row, block or axis");
  }

  std::uint32_t block_size(const Json& value) const {
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() >= kMinBlock &&
                      value.get<std::uint64_t>() <= kMaxBlock;
    if (!fits)
      refuse_value("block_size", value, fmt::format("a whole number from {} to {}", kMinBlock, kMaxBlock));
    return value.get<std::uint32_t>();
  }

  void note_unknown(const std::string& key, std::vector<std::string>& notes) const {
    static const std::array<std::string, 7> known = {
        "skip", "format", "optimizer", "scaling_mode", "block_size", "simple", "full_precision_matrix_mult"};
    const std::string closest = plugin::closest_name(key, known);
    notes.push_back(fmt::format("{}, line {}: '{}' means nothing and is left out{}", printable(file_),
                                line_of(key), printable(key),
                                closest.empty() ? "" : fmt::format("; did you mean {}?", closest)));
  }

  const std::string& file_;
  const Lines& lines_;
  std::string name_;
  LayerConfigEntry entry_;
};

}  // namespace

LayerConfig parse_layer_config(std::string_view text, const std::string& file) {
  const Lines lines = find_lines(text, file);
  const Json tree = Json::parse(text);
  if (!tree.is_object()) {
    refuse(file, 1, fmt::format("this is {}; an object of patterns is expected", tree.type_name()));
  }
  LayerConfig config;
  config.file = file;
  config.hash = xxh3_128_hex(text);
  for (const auto& [name, value] : tree.items()) {
    if (name.starts_with("_") && name != kDefault) continue;
    LayerConfigEntry entry = EntryReader(config.file, lines, name).read(value, config.notes);
    if (name == kDefault) {
      config.otherwise = std::move(entry);
    } else {
      config.entries.push_back(std::move(entry));
    }
  }
  return config;
}

LayerConfig read_layer_config(const std::filesystem::path& path) {
  return parse_layer_config(read_text(File::open_to_read(path), kMaxBytes, "layer config"),
                            path.filename().string());
}

}  // namespace octavo::plan
