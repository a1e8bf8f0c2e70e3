#include "plugin/catalog.hpp"

#include "base/error.hpp"
#include "plugin/fault.hpp"
#include "plugin/library.hpp"
#include "plugin/manifest.hpp"
#include "plugin/spelling.hpp"
#include "plugin/trust.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::plugin {
namespace {

namespace fs = std::filesystem;

constexpr octavo_kind kKinds[] = {OCTAVO_KIND_OPTIMIZER, OCTAVO_KIND_FORMAT, OCTAVO_KIND_MODEL,
                                  OCTAVO_KIND_BACKEND};

std::vector<fs::path> libraries_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code failure;  // a folder that cannot be read has no plugins
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    std::error_code unknown;  // a link that leads nowhere is no folder: it is refused by name
    if (entry->path().extension() == ".so" && !entry->is_directory(unknown)) found.push_back(entry->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void refuse(Record& record, const std::string& reason, const std::string& hint) {
  record.state = State::refused;
  record.reason = reason;
  record.hint = hint;
}

}  // namespace

struct Catalog::Candidate {
  fs::path path;
  std::optional<octavo_kind> kind;  // of the folder it lies in
  bool named_by_user = false;
};

std::string_view state_name(State state) {
  switch (state) {
    case State::available:
      return "available";
    case State::loaded:
      return "loaded";
    case State::shadowed:
      return "shadowed";
    case State::refused:
      return "refused";
  }
  return "?";
}

Catalog::Catalog(const SearchPath& path) : notes_(path.notes) {
  for (const SearchRoot& root : path.roots) {
    for (const Candidate& candidate : candidates(root)) add(candidate);
  }
}

std::vector<Catalog::Candidate> Catalog::candidates(const SearchRoot& root) {
  std::error_code unknown;
  if (!fs::is_directory(root.path, unknown)) return {{root.path, std::nullopt, root.named_by_user}};
  std::vector<Candidate> found;
  if (root.named_by_user) {
    for (const fs::path& path : libraries_in(root.path)) found.push_back({path, std::nullopt, true});
  }
  for (const octavo_kind kind : kKinds) {
    for (const fs::path& path : libraries_in(root.path / kind_folder(kind)))
      found.push_back({path, kind, root.named_by_user});
  }
  return found;
}

void Catalog::add(const Candidate& candidate) {
  Entry entry;
  Record& record = entry.record;
  record.kind = candidate.kind;
  record.id = candidate.path.stem().string();
  record.path = candidate.path;
  record.named_by_user = candidate.named_by_user;
  try {
    describe(candidate, entry);
  } catch (const Error& error) {
    refuse(record, error.what(), error.hint());
  } catch (const std::exception& error) {  // the file system's
    refuse(record, error.what(), {});
  }
  const Entry* before = record.kind ? first(*record.kind, record.id) : nullptr;
  if (before != nullptr && record.state != State::refused) {
    record.state = State::shadowed;
    record.reason = fmt::format("'{}' was found before", before->record.path.string());
  }
  if (record.state == State::refused && record.named_by_user)
    notes_.push_back(
        fmt::format("[plugins] '{}' is refused: {}", printable(record.path.string()), record.reason));
  entries_.push_back(std::move(entry));
}

void Catalog::describe(const Candidate& candidate, Entry& entry) {
  Record& record = entry.record;
  if (!fs::is_regular_file(candidate.path)) {  // a pipe would block whoever opens it
    throw Error(ErrorCode::unsupported, "it is not a regular file");
  }
  check_trust(fs::canonical(candidate.path));
  const auto manifest = read_manifest(candidate.path);
  if (!manifest) {
    load(entry);
    return;
  }
  record.has_manifest = true;
  record.descriptor = manifest->descriptor;
  if (candidate.kind && *candidate.kind != manifest->descriptor.kind) {
    throw Error(ErrorCode::unsupported,
                fmt::format("it is of kind {}, but lies in a folder for kind {}",
                            kind_name(manifest->descriptor.kind), kind_name(*candidate.kind)));
  }
  record.kind = manifest->descriptor.kind;
}

// Opens the library of `entry` and checks it against what the manifest said, if there is one.
void Catalog::load(Entry& entry) {
  Record& record = entry.record;
  if (record.has_manifest) check_links(record.descriptor);
  const Library library = open_library(record.path, record.kind);
  if (record.has_manifest) {
    const std::string differs = difference(record.descriptor, library.descriptor);
    if (!differs.empty()) {
      throw Error(ErrorCode::unsupported, "its manifest is stale: " + differs, kRenewManifest);
    }
  } else {
    record.descriptor = library.descriptor;
    record.kind = library.descriptor.kind;
    check_links(record.descriptor);
  }
  fix_links(record.descriptor);
  entry.raw = library.raw;
  record.state = State::loaded;
}

std::vector<Record> Catalog::records() const {
  const std::lock_guard lock(mutex_);
  std::vector<Record> made;
  for (const Entry& entry : entries_) made.push_back(entry.record);
  return made;
}

std::vector<std::string> Catalog::notes() const {
  const std::lock_guard lock(mutex_);
  return notes_;
}

// The one that was found first, whatever its state: a refused plugin is not silently replaced by another one.
const Catalog::Entry* Catalog::first(octavo_kind kind, std::string_view id) const {
  for (const Entry& entry : entries_) {
    if (entry.record.kind == kind && entry.record.id == id && entry.record.state != State::shadowed)
      return &entry;
  }
  return nullptr;
}

const Catalog::Entry& Catalog::usable(octavo_kind kind, std::string_view id) const {
  const Entry* entry = first(kind, id);
  if (entry == nullptr) report_unknown(kind, id);
  if (entry->record.state == State::refused) {
    throw Error(ErrorCode::unsupported,
                fmt::format("[plugins] {} '{}' ({}) cannot be used: {}", kind_name(kind), id,
                            entry->record.path.string(), entry->record.reason),
                entry->record.hint);
  }
  return *entry;
}

void Catalog::report_unknown(octavo_kind kind, std::string_view id) const {
  std::vector<std::string> known;
  std::string refused;
  for (const Entry& entry : entries_) {
    if (entry.record.kind == kind && entry.record.state != State::refused) known.push_back(entry.record.id);
    if (!entry.record.kind &&
        entry.record.id == id)  // a file of that name of which not even the kind is known
      refused = fmt::format("; '{}' is refused: {}", entry.record.path.string(), entry.record.reason);
  }
  const std::string closest = closest_name(id, known);
  throw Error(ErrorCode::usage,
              fmt::format("[plugins] there is no {} '{}'{}{}", kind_name(kind), printable(id), refused,
                          closest.empty() ? "" : fmt::format("; did you mean '{}'?", closest)),
              known.empty() ? fmt::format("no {} was found at all", kind_name(kind))
                            : fmt::format("there is {}", fmt::join(known, ", ")));
}

Record Catalog::find(octavo_kind kind, std::string_view id) const {
  const std::lock_guard lock(mutex_);
  return usable(kind, id).record;
}

const octavo_plugin& Catalog::open(octavo_kind kind, std::string_view id) {
  const std::lock_guard lock(mutex_);
  auto& entry = const_cast<Entry&>(usable(kind, id));
  if (entry.raw != nullptr) return *entry.raw;
  try {
    load(entry);
  } catch (const Error& error) {
    refuse(entry.record, error.what(), error.hint());
  } catch (const std::exception& error) {
    refuse(entry.record, error.what(), {});
  }
  usable(kind, id);  // throws if it is refused now
  return *entry.raw;
}

void Catalog::check_links(const Descriptor& descriptor) const {
  for (const Link& link : parse_links(descriptor.links)) {
    const auto loaded = links_.find(link.library);
    if (loaded == links_.end() || loaded->second.version == link.version) continue;
    throw Error(
        ErrorCode::unsupported,
        fmt::format("it links {} {}, but '{}' has loaded {} {}, and a process can hold one build only",
                    link.library, link.version, loaded->second.plugin, link.library, loaded->second.version),
        "use the two in separate runs, or rebuild one of them");
  }
}

void Catalog::fix_links(const Descriptor& descriptor) {
  for (const Link& link : parse_links(descriptor.links))
    links_.try_emplace(link.library, LoadedLink{link.version, descriptor.id});
}

}  // namespace octavo::plugin
