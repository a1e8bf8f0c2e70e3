// nlohmann's SAX parser calls EntryReader for every token; no tree is built, so memory stays near the
// entries' own size and a hostile nesting is refused at its ninth bracket. The reader is a small state
// machine: `place_` says which object or array of the format the parser is in, `field_` which value of an
// entry comes next. Two things are checked before the parser sees the text, because it forgives them: a byte
// order mark (it skips one) and NUL (it takes one for the end of the text).

#include "checkpoint/header_json.hpp"

#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <utility>

namespace octavo::checkpoint {
namespace {

constexpr size_t kMaxNotes = 20;
constexpr const char* kMetadataKey = "__metadata__";

enum class Place { before, root, metadata, entry_object, entry_array, shape, offsets, ignored, after };
enum class Field { none, dtype, shape, offsets, unknown };

class EntryReader {
 public:
  EntryReader(std::string file, Strictness strictness)
      : file_(std::move(file)), lenient_(strictness == Strictness::lenient) {}

  HeaderEntries take() {
    if (unknown_fields_ > kMaxNotes)
      note(fmt::format("{} more unknown fields were ignored", unknown_fields_ - kMaxNotes));
    if (tolerated_ > kMaxNotes)
      entries_.notes.push_back(tolerated(fmt::format("{} more places", tolerated_ - kMaxNotes)));
    return std::move(entries_);
  }

  // The interface that nlohmann::json::sax_parse calls. Everything wrong is thrown, so all return true.
  bool null() {
    if (place_ == Place::root && in_metadata_key_) {
      note("__metadata__ is null; taken as empty");
      in_metadata_key_ = false;
      return true;
    }
    return scalar("null");
  }
  bool boolean(bool) { return scalar("a boolean"); }
  bool number_integer(int64_t value);
  bool number_float(double, const std::string& text) {
    return scalar(fmt::format("the number {}", printable(text)));
  }
  bool number_unsigned(uint64_t value);
  bool string(std::string& value);
  bool binary(std::vector<uint8_t>&) { return scalar("binary data"); }
  bool start_object(size_t);
  bool end_object();
  bool start_array(size_t);
  bool end_array();
  bool key(std::string& key);
  bool parse_error(size_t position, const std::string& token, const nlohmann::json::exception& error);

 private:
  [[noreturn]] void refuse(const std::string& what) const { refuse_header(file_, what); }
  void note(std::string text) { entries_.notes.push_back({std::move(text)}); }
  void strictly(const std::string& what);
  std::string where() const;
  bool scalar(const std::string& kind);
  void enter();
  void value_done();
  void set_dtype(const std::string& text);
  void root_key(std::string& key);
  void entry_key(const std::string& key);
  void begin_entry();
  void end_entry();
  void once(bool& seen, const char* what);

  const std::string file_;
  const bool lenient_;
  HeaderEntries entries_;
  Place place_ = Place::before;
  Field field_ = Field::none;
  int depth_ = 0;
  size_t tolerated_ = 0;
  int ignored_from_ = 0;  // depth at which an ignored value began
  Place around_ignored_ = Place::before;
  Place entry_place_ = Place::entry_object;
  bool in_metadata_key_ = false;
  bool seen_metadata_ = false;
  bool seen_dtype_ = false, seen_shape_ = false, seen_offsets_ = false;
  size_t unknown_fields_ = 0;
  std::string metadata_key_;
  TensorInfo entry_;
  std::vector<uint64_t> offsets_;
};

std::string EntryReader::where() const {
  switch (place_) {
    case Place::metadata:
      return fmt::format("__metadata__ \"{}\"", printable(metadata_key_));
    case Place::shape:
      return fmt::format("tensor \"{}\", shape", printable(entry_.name));
    case Place::offsets:
      return fmt::format("tensor \"{}\", data_offsets", printable(entry_.name));
    case Place::entry_object:
    case Place::entry_array: {
      const char* field = field_ == Field::dtype     ? ", dtype"
                          : field_ == Field::shape   ? ", shape"
                          : field_ == Field::offsets ? ", data_offsets"
                                                     : "";
      return fmt::format("tensor \"{}\"{}", printable(entry_.name), field);
    }
    case Place::root:
      return in_metadata_key_ ? kMetadataKey : fmt::format("tensor \"{}\"", printable(entry_.name));
    default:
      return "the header";
  }
}

// Any value that is neither the right string nor the right number.
bool EntryReader::scalar(const std::string& kind) {
  if (place_ == Place::ignored) return true;
  if (field_ == Field::unknown) {
    value_done();
    return true;
  }
  refuse(fmt::format("{} is {}, which the format does not allow there", where(), kind));
}

// After a value inside an entry: an array entry goes on to its next field.
void EntryReader::value_done() {
  if (place_ == Place::entry_array)
    field_ = field_ == Field::dtype ? Field::shape : field_ == Field::shape ? Field::offsets : Field::none;
  else
    field_ = Field::none;
}

// A negative one: the others are unsigned.
bool EntryReader::number_integer(int64_t value) {
  if (place_ == Place::shape)
    refuse(fmt::format("{}: dimension {} is {}, which is negative", where(), entry_.shape.size(), value));
  if (place_ == Place::offsets)
    refuse(fmt::format("{}: number {} is {}, which is negative", where(), offsets_.size(), value));
  return scalar(fmt::format("the number {}", value));
}

bool EntryReader::number_unsigned(uint64_t value) {
  if (place_ == Place::shape) {
    if (value >= kDimLimit)
      strictly(fmt::format("{}: dimension {} is {}, the limit is 2^48", where(), entry_.shape.size(), value));
    if (entry_.shape.size() == kMaxRank)
      strictly(fmt::format("{}: more than {} dimensions", where(), kMaxRank));
    entry_.shape.push_back(value);
    return true;
  }
  if (place_ == Place::offsets) {
    if (offsets_.size() == 2) refuse(fmt::format("{} has more than 2 numbers", where()));
    offsets_.push_back(value);
    return true;
  }
  return scalar(fmt::format("the number {}", value));
}

bool EntryReader::string(std::string& value) {
  if (place_ == Place::metadata) {
    const auto [position, inserted] = entries_.metadata.insert_or_assign(metadata_key_, value);
    if (!inserted) strictly(fmt::format("__metadata__ has the key \"{}\" twice", printable(metadata_key_)));
    return true;
  }
  const bool in_entry = place_ == Place::entry_object || place_ == Place::entry_array;
  if (!in_entry || field_ != Field::dtype) return scalar(fmt::format("the text \"{}\"", printable(value)));
  set_dtype(value);
  value_done();
  return true;
}

void EntryReader::set_dtype(const std::string& text) {
  once(seen_dtype_, "dtype");
  const std::optional<octavo_dtype> dtype = dtype_from_name(text);
  if (!dtype)
    refuse(
        fmt::format("tensor \"{}\" has the unknown dtype \"{}\"", printable(entry_.name), printable(text)));
  entry_.dtype = *dtype;
}

void EntryReader::once(bool& seen, const char* what) {
  if (std::exchange(seen, true))
    refuse(fmt::format("tensor \"{}\" has {} twice", printable(entry_.name), what));
}

void EntryReader::enter() {
  const int limit = lenient_ ? kMaxLenientDepth : kMaxDepth;
  if (++depth_ > limit) refuse(fmt::format("nested deeper than {} levels", limit));
  if (lenient_ && depth_ == kMaxDepth + 1) strictly(fmt::format("nested deeper than {} levels", kMaxDepth));
}

// What the reference reader lets pass is refused, or said where the reader is lenient.
void EntryReader::strictly(const std::string& what) {
  if (!lenient_) refuse(what);
  if (++tolerated_ <= kMaxNotes) entries_.notes.push_back(tolerated(what));
}

bool EntryReader::start_object(size_t) {
  enter();
  if (place_ == Place::ignored) return true;
  if (place_ == Place::before) {
    place_ = Place::root;
  } else if (place_ == Place::root && in_metadata_key_) {
    place_ = Place::metadata;
  } else if (place_ == Place::root) {
    begin_entry();
    place_ = entry_place_ = Place::entry_object;
  } else if (field_ == Field::unknown) {
    around_ignored_ = std::exchange(place_, Place::ignored);
    ignored_from_ = depth_;
  } else {
    refuse(fmt::format("{} is an object, which the format does not allow there", where()));
  }
  return true;
}

bool EntryReader::end_object() {
  const int ended = depth_--;
  if (place_ == Place::ignored) {
    if (ended != ignored_from_) return true;
    place_ = around_ignored_;
    value_done();
  } else if (place_ == Place::entry_object) {
    end_entry();
  } else if (place_ == Place::metadata) {
    place_ = Place::root;
    in_metadata_key_ = false;
  } else {
    place_ = Place::after;
  }
  return true;
}

bool EntryReader::start_array(size_t) {
  enter();
  if (place_ == Place::ignored) return true;
  const bool in_entry = place_ == Place::entry_object || place_ == Place::entry_array;
  if (in_entry && field_ == Field::shape) {
    once(seen_shape_, "shape");
    place_ = Place::shape;
  } else if (in_entry && field_ == Field::offsets) {
    once(seen_offsets_, "data_offsets");
    place_ = Place::offsets;
  } else if (in_entry && field_ == Field::unknown) {
    around_ignored_ = std::exchange(place_, Place::ignored);
    ignored_from_ = depth_;
  } else if (place_ == Place::root && !in_metadata_key_ && lenient_) {
    strictly(fmt::format("tensor \"{}\" is written as an array", printable(entry_.name)));
    begin_entry();
    place_ = entry_place_ = Place::entry_array;
    field_ = Field::dtype;
  } else if (place_ == Place::before) {
    refuse("the header is an array, an object was expected");
  } else {
    refuse(fmt::format("{} is an array, which the format does not allow there", where()));
  }
  return true;
}

bool EntryReader::end_array() {
  const int ended = depth_--;
  if (place_ == Place::ignored) {
    if (ended != ignored_from_) return true;
    place_ = around_ignored_;
    value_done();
  } else if (place_ == Place::entry_array) {
    end_entry();
  } else {
    place_ = entry_place_;
    value_done();
  }
  return true;
}

bool EntryReader::key(std::string& key) {
  if (place_ == Place::root) {
    root_key(key);
  } else if (place_ == Place::metadata) {
    metadata_key_ = std::move(key);
  } else if (place_ == Place::entry_object) {
    entry_key(key);
  }
  return true;
}

void EntryReader::root_key(std::string& key) {
  in_metadata_key_ = key == kMetadataKey;
  if (!in_metadata_key_) {
    entry_.name = std::move(key);
    return;
  }
  if (std::exchange(seen_metadata_, true)) refuse("__metadata__ is there twice");
}

void EntryReader::entry_key(const std::string& key) {
  field_ = key == "dtype"          ? Field::dtype
           : key == "shape"        ? Field::shape
           : key == "data_offsets" ? Field::offsets
                                   : Field::unknown;
  if (field_ == Field::unknown && ++unknown_fields_ <= kMaxNotes)
    note(fmt::format("tensor \"{}\": unknown field \"{}\" ignored", printable(entry_.name), printable(key)));
}

void EntryReader::begin_entry() {
  if (entries_.tensors.size() == kMaxTensors) refuse(fmt::format("more than {} tensors", kMaxTensors));
  seen_dtype_ = seen_shape_ = seen_offsets_ = false;
  field_ = Field::none;
  entry_.shape.clear();
  offsets_.clear();
}

void EntryReader::end_entry() {
  const char* missing = !seen_dtype_     ? "dtype"
                        : !seen_shape_   ? "shape"
                        : !seen_offsets_ ? "data_offsets"
                                         : nullptr;
  if (missing != nullptr) refuse(fmt::format("tensor \"{}\" has no {}", printable(entry_.name), missing));
  if (offsets_.size() != 2)
    refuse(fmt::format("tensor \"{}\": data_offsets has {}, 2 were expected", printable(entry_.name),
                       plural(offsets_.size(), "number")));
  entry_.begin = offsets_[0];
  entry_.end = offsets_[1];
  entries_.tensors.push_back(entry_);
  place_ = Place::root;
  field_ = Field::none;
}

bool EntryReader::parse_error(size_t position, const std::string& token,
                              const nlohmann::json::exception& error) {
  // The library's text ends in what it expected; its prefix with the exception's number says nothing to a
  // user.
  const std::string_view text = error.what();
  const size_t prefix = text.find("] ");
  refuse(fmt::format("not valid JSON at byte {} near \"{}\": {}", position, printable(token),
                     printable(prefix == std::string_view::npos ? text : text.substr(prefix + 2))));
}

}  // namespace

void refuse_header(const std::string& file, const std::string& what, const std::string& hint) {
  throw Error(ErrorCode::bad_input, fmt::format("[header] {}: {}", printable(file), what), hint);
}

Note tolerated(const std::string& what) { return {"against the strict rules: " + what, true}; }

HeaderEntries read_entries(const std::string& json, const std::string& file, Strictness strictness) {
  if (json.starts_with("\xef\xbb\xbf")) refuse_header(file, "the header begins with a byte order mark");
  const size_t nul = json.find('\0');
  if (nul != std::string::npos) refuse_header(file, fmt::format("not valid JSON: NUL at byte {}", nul));
  EntryReader reader(file, strictness);
  const char* const begin = json.data();
  nlohmann::json::sax_parse(begin, begin + json.size(), &reader);
  return reader.take();
}

}  // namespace octavo::checkpoint
