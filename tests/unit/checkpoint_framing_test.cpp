#include "base/file.hpp"
#include "checkpoint/framing.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::checkpoint {
namespace {

using test::ErrorWith;
using test::length_bytes;
using test::safetensors;
using test::TemporaryFolder;
using test::write_file;

const std::string kJson = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

struct Fixture {
  TemporaryFolder folder;
  FramedHeader read(const std::string& bytes, const std::string& name = "m.safetensors") const {
    write_file(folder / name, bytes);
    return read_header(File::open_to_read(folder / name));
  }
  void check_refused(const std::string& bytes, const std::string& text, ErrorCode code = ErrorCode::bad_input,
                     const std::string& name = "m.safetensors") const {
    BOOST_CHECK_EXCEPTION(read(bytes, name), Error, (ErrorWith{code, text}));
  }
};

BOOST_FIXTURE_TEST_SUITE(checkpoint_framing, Fixture)

BOOST_AUTO_TEST_CASE(a_whole_file_is_read) {
  const FramedHeader framed = read(safetensors(kJson, "12345678"));
  BOOST_TEST(framed.json == kJson);
  BOOST_TEST(framed.header.data_start == 8 + kJson.size());
  BOOST_TEST(framed.header.tensors.at(0).name == "a");
}

// T01.
BOOST_AUTO_TEST_CASE(short_files_say_their_size) {
  check_refused("", "not a safetensors file (0 bytes)");
  check_refused("1234567", "not a safetensors file (7 bytes)");
}

// T02.
BOOST_AUTO_TEST_CASE(what_a_download_leaves_is_recognised) {
  check_refused("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer");
  check_refused("<!DOCTYPE html><html><body>Login</body></html>", "an HTML page");
  check_refused("\n <HTML lang=en>", "an HTML page");
}

// T67.
BOOST_AUTO_TEST_CASE(other_containers_are_unsupported) {
  check_refused(std::string("PK\x03\x04\x00\x00\x08\x08", 8) + std::string(100, 'x'), "zip archive",
                ErrorCode::unsupported, "m.pt");
  check_refused("\x80\x02}q\x01(X\x05 and more bytes", "a pickle", ErrorCode::unsupported, "m.bin");
  check_refused("GGUF\x03 and more bytes", "GGUF", ErrorCode::unsupported, "m.gguf");
  check_refused("arbitrary bytes of an old checkpoint", "not a safetensors file", ErrorCode::unsupported,
                "m.ckpt");
}

// A zip whose first 8 bytes are a possible header length: told by what follows, not by the prefix alone.
BOOST_AUTO_TEST_CASE(a_zip_that_looks_like_a_length_is_still_a_zip) {
  const std::string start("PK\x03\x04\x00\x00\x00\x00", 8);  // 67,324,752
  const std::filesystem::path path = folder / "m.pt";
  write_file(path, start + "x");
  std::filesystem::resize_file(path, 67'324'752 + 8);
  BOOST_CHECK_EXCEPTION(read_header(File::open_to_read(path)), Error,
                        (ErrorWith{ErrorCode::unsupported, "zip"}));
}

// And a safetensors file is one, although its length bytes spell "PK\3\4".
BOOST_AUTO_TEST_CASE(a_valid_file_is_never_refused_for_its_prefix) {
  const std::filesystem::path path = folder / "m.safetensors";
  write_file(path, safetensors(kJson + std::string(67'324'752 - kJson.size(), ' '), "12345678"));
  BOOST_TEST(read_header(File::open_to_read(path)).header.tensors.size() == 1U);
}

// T03.
BOOST_AUTO_TEST_CASE(impossible_lengths_are_refused_before_anything_is_allocated) {
  for (const uint64_t length : {uint64_t{1} << 63, UINT64_MAX, uint64_t{100'000'001}})
    check_refused(length_bytes(length) + "{}", "over the limit of 100000000");
}

// T04.
BOOST_AUTO_TEST_CASE(a_header_longer_than_the_file_is_refused) {
  check_refused(length_bytes(3) + "{}", "header length 3, but only 2 bytes follow");
  check_refused(length_bytes(100'000'000) + "{}", "only 2 bytes follow");
}

BOOST_AUTO_TEST_CASE(a_header_that_is_no_object_is_refused) {
  check_refused(length_bytes(0), "no JSON object");
  check_refused(length_bytes(4) + "    ", "no JSON object");
  check_refused(length_bytes(4) + "abcd", "no JSON object");
  check_refused(std::string(64, '\0'), "no JSON object");  // what a crashed writer of octavo leaves
  check_refused(length_bytes(2) + "[]", "array");
}

// T07 and T08: one byte less at every place, and one more.
BOOST_AUTO_TEST_CASE(no_truncated_file_is_accepted) {
  const std::string whole = safetensors(kJson, "12345678");
  for (size_t size = 0; size < whole.size(); ++size)
    BOOST_CHECK_EXCEPTION(read(whole.substr(0, size)), Error, (ErrorWith{ErrorCode::bad_input, ""}));
  check_refused(whole.substr(0, whole.size() - 1), "truncated by 1 bytes");
  check_refused(whole.substr(0, whole.size() - 4), "truncated by 4 bytes");
  check_refused(whole + "9", "1 extra bytes");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
