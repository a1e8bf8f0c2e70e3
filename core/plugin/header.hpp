// A checkpoint's header as plugins see it (octavo_header).
#pragma once

#include <octavo/abi/format.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace octavo::checkpoint {
class Checkpoint;
}

namespace octavo::plugin {

// A tensor of the header. `bytes` is the size of its data.
struct HeaderEntry {
  std::string name;
  octavo_dtype dtype = OCTAVO_U8;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
};

// Largest U8 tensor whose bytes plugins may look at.
inline constexpr std::uint64_t kMaxMarkerBytes = 65536;

// Neither copied nor moved: plugins hold its address for the length of a call. Any thread.
class Header {
 public:
  // Fills `bytes` with the data of tensor `index`; may throw.
  using ReadMarker = std::function<void(std::uint64_t index, std::vector<std::uint8_t>& bytes)>;

  // `tensors` by name, ascending. Markers are read when they are first asked for, and kept.
  Header(std::vector<HeaderEntry> tensors, std::map<std::string, std::string> metadata,
         ReadMarker read_marker);
  // Of a checkpoint that outlives the header.
  explicit Header(const checkpoint::Checkpoint& checkpoint);
  Header(const Header&) = delete;
  Header& operator=(const Header&) = delete;

  const octavo_header* raw() const { return &raw_; }
  const std::vector<HeaderEntry>& tensors() const { return tensors_; }
  // Tensor `index` as it crosses; alive as long as the header.
  octavo_header_tensor tensor(std::uint64_t index) const;
  // The error that reading a marker met, if any: plugins see such a marker as absent. Throws it.
  void check_markers() const;

 private:
  static octavo_status get_tensor(void* context, std::uint64_t index, octavo_header_tensor* tensor);
  static std::int64_t find(void* context, const char* name);
  static const char* metadata(void* context, const char* key);
  static const std::uint8_t* marker(void* context, std::uint64_t index, std::uint64_t* size);

  const std::vector<std::uint8_t>* read_marker(std::uint64_t index);

  std::vector<HeaderEntry> tensors_;
  std::map<std::string, std::string> metadata_;
  ReadMarker read_marker_;
  octavo_header raw_{};
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::vector<std::uint8_t>> markers_;
  std::exception_ptr failure_;
};

}  // namespace octavo::plugin
