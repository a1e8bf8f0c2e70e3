#include "checkpoint/write_log.hpp"

#include "base/cpus.hpp"
#include "base/error.hpp"
#include "base/hash.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace octavo::checkpoint {
namespace {

constexpr uint64_t kSmallPiece = uint64_t{64} << 10;
constexpr uint64_t kSampledOneIn = 16;
constexpr unsigned kThreads = 4;

}  // namespace

// Which large pieces are sampled follows from their place alone, so that a repeated run checks the same ones.
bool WriteLog::is_checked(uint64_t offset, uint64_t bytes) const {
  if (level_ == VerifyLevel::header) return false;
  if (level_ == VerifyLevel::full || bytes <= kSmallPiece) return true;
  return xxh3_64(std::as_bytes(std::span(&offset, 1))) % kSampledOneIn == 0;
}

void WriteLog::add(uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  Piece piece{offset, bytes.size(), 0, 0, is_checked(offset, bytes.size())};
  if (piece.has_hash) piece.hash = xxh3_64(bytes);
  add(piece);
}

void WriteLog::add_copy(uint64_t offset, uint64_t bytes, const File& source, uint64_t from) {
  if (bytes == 0) return;
  Piece piece{offset, bytes, 0, 0, is_checked(offset, bytes)};
  if (piece.has_hash) piece.hash = xxh3_64_of(source, from, bytes);
  add(piece);
}

void WriteLog::add(Piece piece) {
  const std::lock_guard lock(mutex_);
  piece.number = pieces_.size();
  pieces_.push_back(piece);
}

void WriteLog::clear() {
  const std::lock_guard lock(mutex_);
  pieces_.clear();
}

// Sorted so that what a piece lies within comes before it, and of equal ones the last write.
void WriteLog::drop_replaced() {
  const auto key = [](const Piece& piece) { return std::tuple(piece.offset, ~piece.bytes, ~piece.number); };
  std::sort(pieces_.begin(), pieces_.end(), [&](const Piece& a, const Piece& b) { return key(a) < key(b); });
  std::vector<Piece> kept;
  for (const Piece& piece : pieces_) {
    const bool is_replaced = !kept.empty() && piece.number < kept.back().number &&
                             piece.offset + piece.bytes <= kept.back().offset + kept.back().bytes;
    if (!is_replaced) kept.push_back(piece);
  }
  pieces_ = std::move(kept);
}

void WriteLog::close(uint64_t begin, uint64_t end, const std::string& file) {
  const std::lock_guard lock(mutex_);
  drop_replaced();
  uint64_t covered = begin;
  for (const Piece& piece : pieces_) {
    if (piece.offset != covered) break;
    covered += piece.bytes;
  }
  if (covered != end || (!pieces_.empty() && pieces_.back().offset + pieces_.back().bytes != end))
    throw Error(
        ErrorCode::failed,
        fmt::format("[commit] {}: the writes do not cover the file: a gap or an overlap at byte {} of {}",
                    printable(file), covered, end));
}

void WriteLog::compare_piece(const File& file, const Piece& piece) const {
  if (!piece.has_hash || xxh3_64_of(file, piece.offset, piece.bytes) == piece.hash) return;
  throw Error(ErrorCode::io,
              fmt::format("[verify] {}: the {} bytes at {} are not the ones that were written",
                          printable(file.path()), piece.bytes, piece.offset),
              "the disk or the memory is faulty");
}

void WriteLog::compare(const File& file, const CheckStop& check_stop) const {
  if (level_ == VerifyLevel::header) return;
  share_out(
      pieces_.size(), std::min(kThreads, usable_cpus()),
      [&](size_t i, unsigned) { compare_piece(file, pieces_[i]); }, check_stop);
}

}  // namespace octavo::checkpoint
