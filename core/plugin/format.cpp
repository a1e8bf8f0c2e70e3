#include "plugin/format.hpp"

#include "checkpoint/dtypes.hpp"
#include "plugin/carried.hpp"
#include "plugin/fault.hpp"
#include "plugin/grid_check.hpp"
#include "plugin/versions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace octavo::plugin {
namespace {

std::string required_text(const std::string& who, const char* operation, const char* text) {
  if (text == nullptr) throw_fault(who, operation, "a name is a null pointer");
  return text;
}

bool is_role(std::uint32_t role) { return role >= OCTAVO_ROLE_CODES && role <= OCTAVO_ROLE_MARKER; }

Entry checked_entry(const std::string& who, const octavo_entry& raw) {
  Entry made;
  if (raw.struct_size < OCTAVO_FIRST_SIZE(octavo_entry, bytes_size))
    throw_fault(who, "entries", fmt::format("an entry has {} bytes", raw.struct_size));
  made.key = required_text(who, "entries", raw.key);
  const auto refuse = [&](const std::string& what) {
    throw_fault(who, "entries", fmt::format("entry '{}' {}", printable(made.key), what));
  };
  if (!is_role(raw.role)) refuse(fmt::format("has the role {}", raw.role));
  if (raw.dtype >= OCTAVO_DTYPE_COUNT) refuse(fmt::format("has the dtype {}", raw.dtype));
  if (raw.rank > OCTAVO_MAX_RANK) refuse(fmt::format("has {} dimensions", raw.rank));
  made.role = static_cast<octavo_role>(raw.role);
  made.dtype = static_cast<octavo_dtype>(raw.dtype);
  made.shape.assign(raw.shape, raw.shape + raw.rank);
  if (std::any_of(made.shape.begin(), made.shape.end(), [](std::int64_t size) { return size < 0; }))
    refuse("has a negative dimension");
  const std::vector<std::uint64_t> shape(made.shape.begin(), made.shape.end());
  const auto bytes = checkpoint::byte_count(made.dtype, shape);
  if (!bytes) refuse("has a size that is no whole number of bytes, or too large");
  if (made.role != OCTAVO_ROLE_CONSTANT && made.role != OCTAVO_ROLE_MARKER) return made;
  if (raw.bytes_size != *bytes || (raw.bytes == nullptr && *bytes != 0))
    refuse(fmt::format("comes with {} bytes, its shape has {}", raw.bytes_size, *bytes));
  const auto* data = static_cast<const std::byte*>(raw.bytes);
  if (raw.bytes != nullptr) made.bytes.assign(data, data + raw.bytes_size);
  return made;
}

void check_entries(const std::string& who, const std::vector<Entry>& entries) {
  const auto is_codes = [](const Entry& entry) { return entry.role == OCTAVO_ROLE_CODES; };
  const auto codes = std::count_if(entries.begin(), entries.end(), is_codes);
  if (codes != 1)
    throw_fault(who, "entries", fmt::format("{} entries have the role codes, 1 was expected", codes));
}

RecognisedLayer checked_layer(const std::string& who, const Header& header, const octavo_recognised& raw) {
  RecognisedLayer made;
  if (raw.struct_size < OCTAVO_FIRST_SIZE(octavo_recognised, entries_count))
    throw_fault(who, "recognise", fmt::format("a layer has {} bytes", raw.struct_size));
  made.name = required_text(who, "recognise", raw.name);
  const auto refuse = [&](const std::string& what) {
    throw_fault(who, "recognise", fmt::format("layer '{}' {}", printable(made.name), what));
  };
  made.flags = raw.flags;
  made.rows = raw.rows;
  made.cols = raw.cols;
  made.grid = raw.grid;
  if (made.rows < 0 || made.cols < 0) refuse(fmt::format("has the shape {} x {}", made.rows, made.cols));
  const std::string fault = grid_fault(made.grid, made.rows, made.cols);
  if (!fault.empty()) refuse("has a grid that cannot be: " + fault);
  if (raw.entries == nullptr && raw.entries_count > 0) refuse("has entries behind a null pointer");
  bool has_codes = false;
  for (std::uint64_t i = 0; i < raw.entries_count; ++i) {
    const octavo_recognised_entry& entry = raw.entries[i];
    if (!is_role(entry.role)) refuse(fmt::format("has an entry with the role {}", entry.role));
    if (entry.tensor >= header.tensors().size())
      refuse(fmt::format("names tensor {} of the header", entry.tensor));
    has_codes = has_codes || entry.role == OCTAVO_ROLE_CODES;
    made.entries.push_back({static_cast<octavo_role>(entry.role), entry.tensor});
  }
  if (!has_codes) refuse("has no codes");
  return made;
}

// What the plugin's recognise() fills.
struct RecognitionTarget {
  const std::string& who;
  const Header& header;
  Recognised made;
  Carried carried;

  static octavo_status layer(void* context, const octavo_recognised* raw) {
    auto& target = *static_cast<RecognitionTarget*>(context);
    return target.carried.run(
        nullptr, [&] { target.made.layers.push_back(checked_layer(target.who, target.header, *raw)); });
  }
  static octavo_status finding(void* context, const octavo_finding* raw) {
    auto& target = *static_cast<RecognitionTarget*>(context);
    return target.carried.run(nullptr, [&] {
      const auto text = [&](const char* value) { return required_text(target.who, "recognise", value); };
      target.made.findings.push_back({std::min<std::uint32_t>(raw->severity, OCTAVO_SEVERITY_ERROR),
                                      text(raw->code), text(raw->tensor), text(raw->message)});
    });
  }
};

struct EntryTarget {
  const std::string& who;
  std::vector<Entry> made;
  Carried carried;

  static octavo_status sink(void* context, const octavo_entry* raw) {
    auto& target = *static_cast<EntryTarget*>(context);
    return target.carried.run(nullptr, [&] { target.made.push_back(checked_entry(target.who, *raw)); });
  }
};

// Storage as a plugin sees it.
class StorageView {
 public:
  explicit StorageView(const Storage& storage)
      : storage_(storage), raw_{sizeof(octavo_storage), 0, this, write, read} {}
  StorageView(const StorageView&) = delete;
  StorageView& operator=(const StorageView&) = delete;

  const octavo_storage* raw() const { return &raw_; }
  const Carried& carried() const { return carried_; }

 private:
  static octavo_status write(void* context, std::uint32_t role, std::uint64_t offset, const void* bytes,
                             std::uint64_t size) {
    auto& view = *static_cast<StorageView*>(context);
    return view.carried_.run(nullptr, [&] {
      view.storage_.write(static_cast<octavo_role>(role), offset,
                          {static_cast<const std::byte*>(bytes), size});
    });
  }
  static octavo_status read(void* context, std::uint32_t role, std::uint64_t offset, void* bytes,
                            std::uint64_t size) {
    auto& view = *static_cast<StorageView*>(context);
    return view.carried_.run(nullptr, [&] {
      view.storage_.read(static_cast<octavo_role>(role), offset, {static_cast<std::byte*>(bytes), size});
    });
  }

  const Storage& storage_;
  octavo_storage raw_;
  Carried carried_;
};

}  // namespace

Placement Format::grid(const octavo_layer& layer) const {
  octavo_placement raw{};
  raw.struct_size = sizeof raw;
  raw.grid.struct_size = sizeof raw.grid;
  const octavo_status status = call(
      id(), "grid",
      [&](octavo_error* error) { return instance_.api().grid(instance_.self(), &layer, &raw, error); },
      OCTAVO_REFUSED);
  Placement made{std::nullopt, raw.fallback != 0, text_of(raw.stored_as), text_of(raw.note)};
  if (status == OCTAVO_REFUSED) return made;
  std::string fault = grid_fault(raw.grid, layer.rows, layer.cols);
  if (fault.empty()) fault = quantize_fault(raw.grid);
  if (!fault.empty()) {
    throw_fault(id(), "grid",
                fmt::format("the grid for layer '{}' cannot be: {}", printable(layer.name), fault));
  }
  made.grid = raw.grid;
  return made;
}

std::vector<Entry> Format::entries(const octavo_layer& layer, const octavo_grid& grid,
                                   std::uint32_t flags) const {
  EntryTarget target{id(), {}, {}};
  call_carrying(id(), "entries", target.carried, [&](octavo_error* error) {
    return instance_.api().entries(instance_.self(), &layer, &grid, flags, EntryTarget::sink, &target, error);
  });
  check_entries(id(), target.made);
  return std::move(target.made);
}

Recognised Format::recognise(const Header& header) const {
  RecognitionTarget target{id(), header, {}, {}};
  const octavo_recognition raw{sizeof raw, 0, &target, RecognitionTarget::layer, RecognitionTarget::finding};
  call_carrying(id(), "recognise", target.carried, [&](octavo_error* error) {
    return instance_.api().recognise(instance_.self(), header.raw(), &raw, error);
  });
  header.check_markers();
  return std::move(target.made);
}

void Format::encode(const octavo_tile& tile, const Storage& storage) const {
  const StorageView view(storage);
  call_carrying(id(), "encode", view.carried(), [&](octavo_error* error) {
    return instance_.api().encode(instance_.self(), &tile, view.raw(), error);
  });
}

void Format::decode(const octavo_tile& tile, const Storage& storage) const {
  const StorageView view(storage);
  call_carrying(id(), "decode", view.carried(), [&](octavo_error* error) {
    return instance_.api().decode(instance_.self(), &tile, view.raw(), error);
  });
}

}  // namespace octavo::plugin
