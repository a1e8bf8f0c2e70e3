#include "base/hash.hpp"

#include "base/error.hpp"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <vector>

namespace octavo {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

void each_piece(const File& file, uint64_t offset, uint64_t bytes,
                const std::function<void(std::span<const std::byte>)>& take) {
  std::vector<std::byte> buffer(std::min(bytes, kPieceBytes));
  while (bytes > 0) {
    const std::span<std::byte> piece(buffer.data(), std::min<uint64_t>(bytes, buffer.size()));
    file.read_at(offset, piece);
    take(piece);
    offset += piece.size();
    bytes -= piece.size();
  }
}

std::string hex(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

// OpenSSL reports a failure (no memory, algorithm switched off) by anything but 1.
void expect_success(int result) {
  if (result != 1) throw Error(ErrorCode::failed, "[hash] SHA-256 is not available in this OpenSSL");
}

}  // namespace

uint64_t xxh3_64(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string xxh3_128_hex(std::span<const std::byte> bytes) {
  XXH128_canonical_t canonical{};
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return hex(canonical.digest);
}

std::string xxh3_128_hex(std::string_view text) { return xxh3_128_hex(std::as_bytes(std::span(text))); }

uint64_t xxh3_64_of(const File& file, uint64_t offset, uint64_t bytes) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  each_piece(file, offset, bytes, [&](std::span<const std::byte> piece) {
    XXH3_64bits_update(state.get(), piece.data(), piece.size());
  });
  return XXH3_64bits_digest(state.get());
}

std::string sha256_hex_of_file(const std::filesystem::path& path) {
  const File file = File::open_to_read(path);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context) throw std::bad_alloc();
  expect_success(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr));
  each_piece(file, 0, file.size(), [&](std::span<const std::byte> piece) {
    expect_success(EVP_DigestUpdate(context.get(), piece.data(), piece.size()));
  });
  std::array<unsigned char, 32> digest{};
  expect_success(EVP_DigestFinal_ex(context.get(), digest.data(), nullptr));
  return hex(digest);
}

}  // namespace octavo
