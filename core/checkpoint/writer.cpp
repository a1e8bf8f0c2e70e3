// The order of a commit, and why: the data is durable before the header, the header before the length, and
// the whole file before its name. The first 8 bytes are zero until then, so a temporary file that survives a
// crash is invalid, not plausible. The file that is checked is the one that is renamed.

#include "checkpoint/writer.hpp"

#include "base/error.hpp"
#include "base/try_to.hpp"
#include "checkpoint/framing.hpp"
#include "checkpoint/preflight.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>

namespace octavo::checkpoint {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr mode_t kUsualUmask = 022;

// From /proc, because umask(2) can only be read by changing it, and that for every thread of the process.
mode_t current_umask() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    unsigned value = 0;
    if (word == "Umask:" && status >> std::oct >> value) return value;
  }
  return kUsualUmask;
}

bool describes(const TensorInfo& stored, const PlacedTensor& placed, uint64_t data_start) {
  return stored.dtype == placed.tensor.dtype && stored.shape == placed.tensor.shape &&
         stored.begin + data_start == placed.offset && stored.bytes() == placed.bytes;
}

}  // namespace

mode_t mode_for_new_file() { return 0666 & ~current_umask(); }
mode_t mode_for_new_folder() { return 0777 & ~current_umask(); }

OutputFile::OutputFile(const std::filesystem::path& final_path, Layout layout, OutputOptions options)
    : final_path_(output_name(final_path, OutputKind::file)),
      layout_(std::move(layout)),
      options_(std::move(options)),
      log_(options_.verify) {
  if (options_.discard) return;
  check_target(final_path_, OutputKind::file, options_.force, options_.inputs);
  check_room(folder_of(final_path_), layout_.file_bytes, layout_.file_bytes);
  lock_.take(final_path_);
  create_temp();
  try {
    sink_ = make_sink(file_, layout_.file_bytes, options_.sink);
  } catch (...) {
    remove_quietly(temp_path_);
    throw;
  }
  if (options_.early_sync == nullptr) options_.early_sync = make_early_sync(options_.durable);
}

OutputFile::~OutputFile() {
  if (options_.early_sync != nullptr) try_to([this] { options_.early_sync->finish(file_); });
  sink_.reset();
  if (file_.is_open()) remove_quietly(temp_path_);
}

void OutputFile::create_temp() {
  std::optional<File> file;
  while (!file) {
    temp_path_ = sibling(final_path_, part_suffix()).string();
    file = File::create_new(temp_path_, 0600);
  }
  file_ = std::move(*file);
}

void OutputFile::check_bounds(uint64_t offset, uint64_t bytes) const {
  const uint64_t begin = layout_.header_bytes.size();
  if (offset < begin || offset > layout_.file_bytes || bytes > layout_.file_bytes - offset)
    throw Error(ErrorCode::failed, fmt::format("[write] {} bytes at {} are outside of the data, [{}, {})",
                                               bytes, offset, begin, layout_.file_bytes));
}

void OutputFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  check_bounds(offset, bytes.size());
  if (options_.discard) return;
  sink_->write(offset, bytes);
  sync_early(offset, bytes.size());
  log_.add(offset, bytes);
}

uint64_t OutputFile::copy_from(const File& source, uint64_t from, uint64_t offset, uint64_t bytes) {
  check_bounds(offset, bytes);
  if (options_.discard) return 0;
  const uint64_t shared = file_.copy_from(source, from, offset, bytes);
  if (shared == 0) sync_early(offset, bytes);
  log_.add_copy(offset, bytes, source, from);
  return shared;
}

void OutputFile::sync_early(uint64_t offset, uint64_t bytes) const {
  if (options_.early_sync != nullptr) options_.early_sync->add(file_, offset, bytes);
}

void OutputFile::commit() {
  if (options_.discard) return;
  check_stop();
  sink_->finish();
  if (options_.early_sync != nullptr) options_.early_sync->finish(file_);
  log_.close(layout_.header_bytes.size(), layout_.file_bytes, temp_path_);
  check_stop();
  write_header();
  sink_.reset();
  check_stop();
  check_stored();
  check_stop();
  publish();
}

void OutputFile::check_stop() const {
  if (options_.check_stop) options_.check_stop();
}

void OutputFile::write_header() {
  const std::span<const std::byte> header = std::as_bytes(std::span(layout_.header_bytes));
  file_.write_at(kLengthBytes, header.subspan(kLengthBytes));
  if (options_.durable) file_.sync();
  check_stop();
  file_.write_at(0, header.first(kLengthBytes));
  if (options_.durable) file_.sync();
}

void OutputFile::check_stored() const {
  const File stored = File::open_to_read(temp_path_);
  const auto differs = [&](const std::string& what) {
    return Error(ErrorCode::io,
                 fmt::format("[verify] {}: {} is not what was written", printable(temp_path_), what),
                 "the disk or the memory is faulty");
  };
  if (stored.snapshot().identity != file_.snapshot().identity) throw differs("the file");
  if (options_.verify == VerifyLevel::full) stored.drop_cache();
  FramedHeader framed;
  try {
    framed = read_header(stored);
  } catch (const Error& error) {  // a damaged one may be no header at all, which is not the input's fault
    if (error.code() == ErrorCode::io) throw;
    throw differs("the header");
  }
  if (framed.json != std::string_view(layout_.header_bytes).substr(kLengthBytes)) throw differs("the header");
  const Header& header = framed.header;
  if (header.tensors.size() != layout_.tensors.size()) throw differs("the number of tensors");
  for (const PlacedTensor& placed : layout_.tensors) {
    const TensorInfo* const found = header.find(placed.tensor.name);
    if (found == nullptr || !describes(*found, placed, header.data_start))
      throw differs(fmt::format("tensor \"{}\"", printable(placed.tensor.name)));
  }
  log_.compare(stored, options_.check_stop);
}

void OutputFile::publish() {
  file_.set_mode(options_.mode.value_or(mode_for_new_file()));
  rename_path(temp_path_, final_path_, options_.force ? Replace::yes : Replace::no);
  file_.close();  // from here on the destructor has nothing to remove
  if (options_.durable) sync_folder(folder_of(final_path_));
  lock_.release();
}

}  // namespace octavo::checkpoint
