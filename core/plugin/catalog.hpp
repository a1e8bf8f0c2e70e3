// Every plugin that was found, usable or not. Listing reads manifests; libraries are opened when they are
// asked for.
#pragma once

#include "plugin/descriptor.hpp"
#include "plugin/search_path.hpp"

#include <octavo/abi/plugin.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::plugin {

enum class State {
  available,  // listed from its manifest, not opened yet
  loaded,
  shadowed,  // another one with its kind and id was found before
  refused,   // cannot be used; the reason says why
};

std::string_view state_name(State state);

struct Record {
  std::optional<octavo_kind> kind;  // nothing: refused before anything was known
  std::string id;                   // of a refused one the stem of its file
  State state = State::available;
  std::string reason;  // shadowed and refused: why, one sentence
  std::string hint;    // what to do about it, or ""
  std::filesystem::path path;
  bool named_by_user = false;  // found through --plugin-path or OCTAVO_PLUGIN_PATH
  bool has_manifest = false;
  Descriptor descriptor;  // version, summary, links, flags, parameters; empty if it was refused unread
};

// It can be opened, or is open.
inline bool is_usable(const Record& record) {
  return record.state == State::available || record.state == State::loaded;
}

// Members may be called from any thread.
class Catalog {
 public:
  // Looks through the places in order and each folder by name. A plugin without manifest is opened. Nothing
  // that is wrong with a plugin is an exception here: it is a record.
  explicit Catalog(const SearchPath& path);

  std::vector<Record> records() const;
  // What the user should know without asking: entries of the search path that were left out, and plugins in
  // places that the user named which are refused.
  std::vector<std::string> notes() const;

  // The usable plugin of this kind and id, opened or not. Throws Error usage if there is none (naming the
  // closest ids), Error unsupported with the reason if it was refused.
  Record find(octavo_kind kind, std::string_view id) const;

  // Opens it, once; what it links must not be there in another build. Throws what find throws; a plugin that
  // cannot be opened becomes refused.
  const octavo_plugin& open(octavo_kind kind, std::string_view id);

 private:
  struct Candidate;
  struct Entry {
    Record record;
    const octavo_plugin* raw = nullptr;
  };

  static std::vector<Candidate> candidates(const SearchRoot& root);
  void add(const Candidate& candidate);
  void describe(const Candidate& candidate, Entry& entry);
  void load(Entry& entry);
  const Entry* first(octavo_kind kind, std::string_view id) const;
  const Entry& usable(octavo_kind kind, std::string_view id) const;
  [[noreturn]] void report_unknown(octavo_kind kind, std::string_view id) const;
  void check_links(const Descriptor& descriptor) const;
  void fix_links(const Descriptor& descriptor);

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  std::vector<std::string> notes_;
  struct LoadedLink {
    std::string version;
    std::string plugin;
  };
  std::map<std::string, LoadedLink> links_;  // what loaded plugins link
};

}  // namespace octavo::plugin
