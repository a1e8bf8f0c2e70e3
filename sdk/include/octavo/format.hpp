// SPDX-License-Identifier: Apache-2.0
// Formats in C++: derive from octavo::Format, write OCTAVO_FORMAT_PLUGIN.
#pragma once

#include <octavo/abi/format.h>
#include <octavo/grid.hpp>
#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

// One tensor of a header, as values.
struct HeaderTensor {
  std::uint64_t index;
  std::string_view name;
  octavo_dtype dtype;
  std::vector<std::int64_t> shape;
};

// A checkpoint's header; refers to the host's for the length of a call.
class HeaderView {
 public:
  explicit HeaderView(const octavo_header* header) : header_(header) {}

  std::uint64_t size() const { return header_->count; }
  HeaderTensor tensor(std::uint64_t index) const {
    octavo_header_tensor raw{};
    raw.struct_size = sizeof raw;
    check(header_->tensor(header_->context, index, &raw), empty_error());
    return {index, raw.name, static_cast<octavo_dtype>(raw.dtype), {raw.shape, raw.shape + raw.rank}};
  }
  std::optional<HeaderTensor> find(const std::string& name) const {
    const std::int64_t index = header_->find(header_->context, name.c_str());
    if (index < 0) return std::nullopt;
    return tensor(static_cast<std::uint64_t>(index));
  }
  // Text of a marker tensor, or nothing if the tensor is not a small U8 one.
  std::optional<std::string_view> marker(std::uint64_t index) const {
    std::uint64_t size = 0;
    const std::uint8_t* bytes = header_->marker(header_->context, index, &size);
    if (bytes == nullptr) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(bytes), size);
  }
  std::optional<std::string_view> metadata(const std::string& key) const {
    const char* value = header_->metadata(header_->context, key.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string_view>(value);
  }

 private:
  const octavo_header* header_;
};

// How a layer is stored: the grid, or the reason why not.
struct Placement {
  std::optional<octavo_grid> grid;  // nothing: refused
  std::string stored_as;            // the format's name in the marker
  std::string note;                 // why it is refused, or what is out of the ordinary: in the report
  bool fallback = false;            // not as asked for; the note says why
};

// A tensor that a layer makes in the file.
struct Entry {
  octavo_role role;
  std::string key;
  octavo_dtype dtype;
  std::vector<std::int64_t> shape;
  std::string bytes = {};  // of a CONSTANT or MARKER
};

// A layer that recognise() found.
struct RecognisedLayer {
  std::string name;
  std::int64_t rows;
  std::int64_t cols;
  octavo_grid grid;
  std::vector<octavo_recognised_entry> entries;
  std::uint32_t flags = 0;
};

struct Finding {
  std::uint32_t severity;  // octavo_severity
  std::string code;
  std::string tensor;
  std::string message;
};

// Where recognise() puts what it finds.
class Recognition {
 public:
  explicit Recognition(const octavo_recognition* recognition) : recognition_(recognition) {}

  void layer(const RecognisedLayer& found) const {
    const octavo_recognised raw{sizeof raw, found.flags, found.name.c_str(),   found.rows,
                                found.cols, found.grid,  found.entries.data(), found.entries.size()};
    check(recognition_->layer(recognition_->context, &raw), empty_error());
  }
  void finding(const Finding& found) const {
    const octavo_finding raw{sizeof raw, found.severity, found.code.c_str(), found.tensor.c_str(),
                             found.message.c_str()};
    check(recognition_->finding(recognition_->context, &raw), empty_error());
  }

 private:
  const octavo_recognition* recognition_;
};

// A derived class has a constructor (const Host&, const Params&); members are const and may be called from
// any thread.
class Format {
 public:
  // True where encode and decode do something: codes or scales are packed, swizzled or transposed.
  static constexpr bool packs = false;

  virtual ~Format() = default;
  virtual Placement grid(const octavo_layer& layer) const = 0;
  // flags: OCTAVO_ENTRIES_*.
  virtual std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                                     std::uint32_t flags) const = 0;
  virtual void recognise(const HeaderView& header, const Recognition& recognition) const = 0;
  virtual void encode(const octavo_tile&, const octavo_storage&) const {}
  virtual void decode(const octavo_tile&, const octavo_storage&) const {}
};

namespace detail {

template <typename Plugin>
struct FormatTrampolines {
  static octavo_status grid(void* self, const octavo_layer* layer, octavo_placement* placement,
                            octavo_error* error) noexcept {
    bool refused = false;
    const octavo_status status = guard(error, [&] {
      const Placement made = static_cast<const Plugin*>(self)->grid(*layer);
      refused = !made.grid.has_value();
      if (made.grid) placement->grid = *made.grid;
      placement->fallback = made.fallback ? 1 : 0;
      copy_text(made.stored_as, placement->stored_as);
      copy_text(made.note, placement->note);
    });
    return status == OCTAVO_OK && refused ? OCTAVO_REFUSED : status;
  }
  static octavo_status entries(void* self, const octavo_layer* layer, const octavo_grid* grid,
                               std::uint32_t flags, octavo_entry_sink sink, void* context,
                               octavo_error* error) noexcept {
    return guard(error, [&] {
      for (const Entry& entry : static_cast<const Plugin*>(self)->entries(*layer, *grid, flags)) {
        octavo_entry raw{};
        raw.struct_size = sizeof raw;
        raw.role = entry.role;
        raw.key = entry.key.c_str();
        raw.dtype = entry.dtype;
        raw.rank = static_cast<std::uint32_t>(entry.shape.size());
        if (raw.rank > OCTAVO_MAX_RANK)
          throw PluginError(OCTAVO_BAD_ARGUMENT, "an entry has more than 8 dimensions");
        std::copy(entry.shape.begin(), entry.shape.end(), raw.shape);
        const bool fixed = entry.role == OCTAVO_ROLE_CONSTANT || entry.role == OCTAVO_ROLE_MARKER;
        raw.bytes = fixed ? entry.bytes.data() : nullptr;
        raw.bytes_size = entry.bytes.size();
        check(sink(context, &raw), empty_error());
      }
    });
  }
  static octavo_status encode(void* self, const octavo_tile* tile, const octavo_storage* storage,
                              octavo_error* error) noexcept {
    return guard(error, [&] { static_cast<const Plugin*>(self)->encode(*tile, *storage); });
  }
  static octavo_status decode(void* self, const octavo_tile* tile, const octavo_storage* storage,
                              octavo_error* error) noexcept {
    return guard(error, [&] { static_cast<const Plugin*>(self)->decode(*tile, *storage); });
  }
  static octavo_status recognise(void* self, const octavo_header* header,
                                 const octavo_recognition* recognition, octavo_error* error) noexcept {
    return guard(error, [&] {
      static_cast<const Plugin*>(self)->recognise(HeaderView(header), Recognition(recognition));
    });
  }

  static constexpr octavo_format_api api = {sizeof(octavo_format_api),
                                            0,
                                            create<Plugin>,
                                            destroy<Plugin>,
                                            grid,
                                            entries,
                                            Plugin::packs ? encode : nullptr,
                                            Plugin::packs ? decode : nullptr,
                                            recognise};
};

}  // namespace detail
}  // namespace octavo

#define OCTAVO_FORMAT_PLUGIN(CLASS, ...)                                                               \
  OCTAVO_DEFINE_PLUGIN(octavo::detail::descriptor(OCTAVO_KIND_FORMAT, octavo::Description __VA_ARGS__, \
                                                  &octavo::detail::FormatTrampolines<CLASS>::api))
