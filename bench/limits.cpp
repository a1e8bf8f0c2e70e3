// What a conversion cannot be faster than on this machine, measured without octavo's own code: filling a
// fresh file, reading one, and the way over the bus to a GPU and back.
//
//   octavo_limits fill FOLDER BYTES   seconds to fill a new file with that much, by several ways
//   octavo_limits read FILE           seconds to read it by all cores (from the page cache, if it is there)
//   octavo_limits bus BYTES           seconds to make a CUDA context, to copy that much to the GPU while half
//   as
//                                     much comes back, and the bandwidth of a copy within the GPU's memory
#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <vector>

#ifdef OCTAVO_BENCH_CUDA
#include "bus.hpp"
#endif

namespace {

constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;
constexpr std::uint64_t kAhead = std::uint64_t{32} << 20;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(fmt::format("{}: {}", what, std::strerror(errno)));
}

// Memory of huge pages that a thread reads from or writes to again and again.
class Buffer {
 public:
  Buffer() {
    void* data = mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(data != MAP_FAILED, "mmap");
    madvise(data, kPiece, MADV_HUGEPAGE);
    std::memset(data, 0x5a, kPiece);
    data_ = static_cast<std::byte*>(data);
  }
  ~Buffer() { munmap(data_, kPiece); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_;
};

// Calls body(offset, bytes, buffer) for every piece, by `threads` threads.
template <typename Body>
void in_pieces(std::uint64_t total, unsigned threads, Body body) {
  std::atomic<std::uint64_t> next{0};
  std::vector<std::jthread> crew;
  for (unsigned i = 0; i < threads; ++i) {
    crew.emplace_back([&] {
      const Buffer buffer;
      for (std::uint64_t at = next.fetch_add(kPiece); at < total; at = next.fetch_add(kPiece))
        body(at, std::min(kPiece, total - at), buffer.data());
    });
  }
}

void write_all(int file, std::uint64_t offset, std::uint64_t bytes, const std::byte* data) {
  while (bytes > 0) {
    const ssize_t done = pwrite(file, data, bytes, static_cast<off_t>(offset));
    require(done > 0, "pwrite");
    offset += static_cast<std::uint64_t>(done);
    data += done;
    bytes -= static_cast<std::uint64_t>(done);
  }
}

struct Filling {
  int file;
  std::uint64_t bytes;
  unsigned threads;
};

void by_writes(const Filling& filling) {
  in_pieces(filling.bytes, filling.threads, [&](std::uint64_t at, std::uint64_t size, const std::byte* data) {
    write_all(filling.file, at, size, data);
  });
}

void by_allocation_and_writes(const Filling& filling) {
  require(fallocate(filling.file, 0, 0, static_cast<off_t>(filling.bytes)) == 0, "fallocate");
  by_writes(filling);
}

// Copies into a mapping, after `ready(end)` says that the pages up to there may be touched.
template <typename Ready>
void by_mapping(const Filling& filling, Ready ready) {
  void* mapped = mmap(nullptr, filling.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, filling.file, 0);
  require(mapped != MAP_FAILED, "mmap");
  auto* base = static_cast<std::byte*>(mapped);
  in_pieces(filling.bytes, filling.threads, [&](std::uint64_t at, std::uint64_t size, const std::byte* data) {
    ready(base, at, size);
    std::memcpy(base + at, data, size);
    madvise(base + at, size, MADV_DONTNEED);
  });
  munmap(base, filling.bytes);
}

void by_populated_mapping(const Filling& filling) {
  by_mapping(filling, [](std::byte* base, std::uint64_t at, std::uint64_t size) {
#ifdef MADV_POPULATE_WRITE
    madvise(base + at, size, MADV_POPULATE_WRITE);  // a wish: without it the copy faults page by page
#else
    static_cast<void>(base + at), static_cast<void>(size);
#endif
  });
}

void by_mapping_behind_allocation(const Filling& filling) {
  std::atomic<std::uint64_t> watermark{0};
  const std::jthread reserver([&] {
    for (std::uint64_t at = 0; at < filling.bytes; at += kAhead) {
      const std::uint64_t size = std::min(kAhead, filling.bytes - at);
      require(fallocate(filling.file, 0, static_cast<off_t>(at), static_cast<off_t>(size)) == 0, "fallocate");
      watermark = at + size;
      watermark.notify_all();
    }
  });
  by_mapping(filling, [&](std::byte*, std::uint64_t at, std::uint64_t size) {
    for (std::uint64_t seen = watermark; seen < at + size; seen = watermark) watermark.wait(seen);
  });
}

double fill(const std::string& folder, std::uint64_t bytes, unsigned threads, void (*way)(const Filling&)) {
  const std::string path = fmt::format("{}/octavo-limits-{}", folder, getpid());
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  require(file >= 0, path.c_str());
  unlink(path.c_str());
  const auto start = std::chrono::steady_clock::now();
  require(ftruncate(file, static_cast<off_t>(bytes)) == 0, "ftruncate");
  way({file, bytes, threads});
  const double seconds = seconds_since(start);
  close(file);
  return seconds;
}

void print_fill(const std::string& folder, std::uint64_t bytes) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  struct Way {
    const char* name;
    unsigned threads;
    void (*fill)(const Filling&);
  };
  const Way ways[] = {{"mapping behind one allocating thread", cores, by_mapping_behind_allocation},
                      {"mapping, populated by 4 threads", std::min(4u, cores), by_populated_mapping},
                      {"mapping, populated by all cores", cores, by_populated_mapping},
                      {"allocation, then one writer", 1, by_allocation_and_writes}};
  double best = 1e9;
  for (const Way& way : ways) {
    const double seconds = fill(folder, bytes, way.threads, way.fill);
    best = std::min(best, seconds);
    fmt::print("  {:<40} {:6.2f} s  {:5.1f} GB/s\n", way.name, seconds,
               static_cast<double>(bytes) / seconds / 1e9);
  }
  fmt::print("fill {:.2f} s\n", best);
}

void print_read(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(file >= 0, path.c_str());
  struct stat status {};
  require(fstat(file, &status) == 0, "stat");
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  const auto start = std::chrono::steady_clock::now();
  in_pieces(bytes, std::max(1u, std::thread::hardware_concurrency()),
            [&](std::uint64_t at, std::uint64_t size, std::byte* data) {
              for (std::uint64_t done = 0; done < size;) {
                const ssize_t got = pread(file, data + done, size - done, static_cast<off_t>(at + done));
                require(got > 0, "pread");
                done += static_cast<std::uint64_t>(got);
              }
            });
  const double seconds = seconds_since(start);
  fmt::print("read {:.2f} s  {:.1f} GB/s\n", seconds, static_cast<double>(bytes) / seconds / 1e9);
  close(file);
}

void print_bus(std::uint64_t bytes) {
#ifdef OCTAVO_BENCH_CUDA
  const octavo::bench::BusTimes times = octavo::bench::measure_bus(bytes);
  fmt::print("context {:.3f} s\nbus {:.3f} s  {:.1f} GB/s to the GPU\ndevice copy {:.0f} GB/s\n",
             times.context, times.transfer, static_cast<double>(bytes) / times.transfer / 1e9,
             times.device_copy / 1e9);
#else
  static_cast<void>(bytes);
  throw std::runtime_error("bus: built without CUDA");
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 3 && words[0] == "fill") {
      print_fill(words[1], std::stoull(words[2]));
    } else if (words.size() == 2 && words[0] == "read") {
      print_read(words[1]);
    } else if (words.size() == 2 && words[0] == "bus") {
      print_bus(std::stoull(words[1]));
    } else {
      fmt::print(stderr, "octavo_limits fill FOLDER BYTES | read FILE | bus BYTES\n");
      return 2;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "octavo_limits: {}\n", error.what());
    return 1;
  }
  return 0;
}
