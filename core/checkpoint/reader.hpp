// Reading a checkpoint, one file or many, as one list of tensors. Everything is checked when it is opened;
// after that the data is read with pread at offsets, from any thread.
#pragma once

#include "base/file.hpp"
#include "checkpoint/header.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::checkpoint {

struct TensorRef {
  TensorInfo info;
  uint32_t file = 0;  // index into files()
};

class Checkpoint {
 public:
  // `path`: a .safetensors or .sft file, a *.index.json, or a folder (see find_checkpoint).
  // Throws Error io, bad_input or unsupported, naming the file.
  static Checkpoint open(const std::filesystem::path& path, Strictness strictness = Strictness::strict);

  const std::vector<TensorRef>& tensors() const { return tensors_; }  // by name, ascending
  const TensorRef* find(std::string_view name) const;                 // nullptr where there is none
  // Of all files; where two files disagree the first one's value stands and a note says so.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<Note>& notes() const { return notes_; }

  // Where a tensor's bytes lie: a file of this checkpoint, and the offset in it.
  struct Place {
    const File& file;
    uint64_t offset;
  };
  Place place_of(const TensorRef& tensor) const;

  // Copies bytes [offset, offset + size) of a tensor of this checkpoint. Thread safe.
  // Throws Error io or bad_input (the file has shrunk), failed for a range outside of the tensor.
  void read(const TensorRef& tensor, uint64_t offset, std::span<std::byte> bytes) const;

  uint64_t source_bytes() const;  // of all files, headers included
  // XXH3-128 (hex) of the header's JSON bytes; of several files: of their hashes one after the other, in file
  // order.
  const std::string& header_hash() const { return header_hash_; }
  std::vector<std::filesystem::path> files() const;  // shards by name
  std::vector<FileIdentity> identities() const;      // of files() and the index, to keep an output off them
  // Looks at every file again, and at the index. Throws Error bad_input if one was changed or replaced since
  // it was opened.
  void verify_unchanged() const;

 private:
  struct Source {
    File file;
    FileSnapshot snapshot;
    uint64_t data_start = 0;
  };
  struct Index {
    std::filesystem::path path;
    FileSnapshot snapshot;
  };

  void add_file(const std::filesystem::path& path, Strictness strictness, std::string& hashes);
  void open_shards(const std::filesystem::path& index, Strictness strictness, std::string& hashes);
  void merge_metadata(const std::map<std::string, std::string>& metadata, const std::string& file);
  void sort_tensors();

  std::vector<Source> sources_;
  std::vector<Index> indexes_;
  std::vector<TensorRef> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<Note> notes_;
  std::string header_hash_;
};

}  // namespace octavo::checkpoint
