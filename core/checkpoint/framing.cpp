// A file is told by its whole framing, never by a prefix alone: the length bytes of a valid file may look
// like the start of a zip or a pickle. So the first bytes are compared with other containers only after the
// framing failed.

#include "checkpoint/framing.hpp"

#include "base/error.hpp"

#include <array>
#include <cctype>
#include <cstring>
#include <filesystem>

namespace octavo::checkpoint {
namespace {

constexpr size_t kPrefixBytes = 64;

struct Other {
  ErrorCode code = ErrorCode::bad_input;
  std::string what;  // empty: nothing known
  std::string hint;
};

bool begins_like_html(std::string_view bytes) {
  const size_t start = bytes.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return false;
  std::string lower;
  for (const char c : bytes.substr(start))
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.starts_with("<head");
}

Other recognise(std::string_view bytes) {
  const char* const convert =
      "convert it to safetensors with the tool it came from; octavo never runs a file's code";
  if (bytes.starts_with("version https://git-lfs"))
    return {ErrorCode::bad_input, "a Git LFS pointer, not the file it points to", "run `git lfs pull`"};
  if (begins_like_html(bytes))
    return {ErrorCode::bad_input, "an HTML page, not a checkpoint",
            "the download needs a login or another address"};
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06"))
    return {ErrorCode::unsupported, "a zip archive (a PyTorch checkpoint?), which octavo does not open",
            convert};
  if (bytes.size() >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5)
    return {ErrorCode::unsupported, "a pickle (a PyTorch checkpoint?), which octavo does not open", convert};
  if (bytes.starts_with("GGUF"))
    return {ErrorCode::unsupported, "a GGUF file, which octavo does not read",
            "start from the safetensors checkpoint"};
  return {};
}

bool is_pickle_name(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  return extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

// The framing is broken: says what the file is where that is known, and `otherwise` where it is not.
[[noreturn]] void refuse_file(const File& file, uint64_t size, const std::string& otherwise) {
  std::string prefix(std::min<uint64_t>(size, kPrefixBytes), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(prefix)));
  Other other = recognise(prefix);
  if (other.what.empty()) other.what = otherwise;
  if (is_pickle_name(file.path())) {
    other.code = ErrorCode::unsupported;
    if (other.hint.empty()) other.hint = "octavo reads safetensors only and never runs a file's code";
  }
  throw Error(other.code, fmt::format("[open] {}: {}", printable(file.path()), other.what), other.hint);
}

uint64_t little_endian(const std::array<std::byte, 8>& bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

FramedHeader read_header(const File& file, Strictness strictness) {
  const uint64_t size = file.size();
  if (size < 8) refuse_file(file, size, fmt::format("not a safetensors file ({} bytes)", size));
  std::array<std::byte, 8> length_bytes{};
  file.read_at(0, length_bytes);
  const uint64_t length = little_endian(length_bytes);
  if (length > kMaxHeaderBytes)
    refuse_file(file, size,
                fmt::format("not a safetensors file: header length {} is over the limit of {}", length,
                            kMaxHeaderBytes));
  if (length > size - 8)
    refuse_file(file, size,
                fmt::format("not a complete safetensors file: header length {}, but only {} bytes follow",
                            length, size - 8));
  std::string json(length, '\0');
  file.read_at(8, std::as_writable_bytes(std::span(json)));
  const size_t first = json.find_first_not_of(" \t\r\n");
  if (first == std::string::npos ||
      (json[first] != '{' && json[first] != '[' && !json.starts_with("\xef\xbb\xbf")))
    refuse_file(file, size, "not a safetensors file: no JSON object after the header length");
  Header header = parse_header(json, size - 8 - length, file.path(), strictness);
  return {std::move(header), std::move(json)};
}

}  // namespace octavo::checkpoint
