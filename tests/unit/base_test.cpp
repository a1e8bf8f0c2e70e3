#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "base/words.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <array>

namespace octavo {
namespace {

using test::ErrorWith;
using test::TemporaryFolder;
using test::write_file;

BOOST_AUTO_TEST_SUITE(base)

BOOST_AUTO_TEST_CASE(printable_keeps_letters_and_escapes_what_steers_a_terminal) {
  BOOST_TEST(printable("blocks.0.attn.weight") == "blocks.0.attn.weight");
  BOOST_TEST(printable("größe 層") == "größe 層");
  BOOST_TEST(printable("\x1b[31m") == "\\x1b[31m");
  BOOST_TEST(printable(std::string_view("a\0b", 3)) == "a\\x00b");
  BOOST_TEST(printable("\x7f\n") == "\\x7f\\x0a");
  BOOST_TEST(printable("\xc2\x9b") == "\\xc2\\x9b");           // C1: CSI
  BOOST_TEST(printable("\xe2\x80\xae") == "\\xe2\\x80\\xae");  // right-to-left override
  BOOST_TEST(printable("\xff\xc3") == "\\xff\\xc3");           // no UTF-8
}

BOOST_AUTO_TEST_CASE(printable_cuts_after_200_bytes_between_characters) {
  BOOST_TEST(printable(std::string(200, 'a')) == std::string(200, 'a'));
  BOOST_TEST(printable(std::string(1 << 20, 'a')) == std::string(200, 'a') + "...");
  BOOST_TEST(printable(std::string(199, 'a') + "ö") == std::string(199, 'a') + "...");
}

BOOST_AUTO_TEST_CASE(checked_arithmetic_notices_overflow) {
  BOOST_TEST(checked_add(UINT64_MAX, 0).value() == UINT64_MAX);
  BOOST_TEST(!checked_add(UINT64_MAX, 1));
  BOOST_TEST(checked_mul(1ULL << 32, (1ULL << 32) - 1).value() == 0xffffffff00000000ULL);
  BOOST_TEST(!checked_mul(1ULL << 32, 1ULL << 32));
}

BOOST_AUTO_TEST_CASE(untrusted_json_has_a_depth_limit) {
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  BOOST_TEST(parse_untrusted(nested(17)).has_value());
  BOOST_TEST(!parse_untrusted(nested(18)));
  BOOST_TEST(!parse_untrusted(nested(3), 1));
  BOOST_TEST(!parse_untrusted(nested(1'000'000)));
  BOOST_TEST(!parse_untrusted(std::string(1'000'000, '[')));
  BOOST_TEST(!parse_untrusted("{"));
  BOOST_TEST(!parse_untrusted(""));
  BOOST_TEST(!parse_untrusted(std::string_view("{}\0", 3)));
  BOOST_TEST(parse_untrusted("null")->is_null());
}

BOOST_AUTO_TEST_CASE(sizes_are_parsed) {
  BOOST_TEST(parse_bytes("4096") == 4096U);
  BOOST_TEST(parse_bytes("0") == 0U);
  BOOST_TEST(parse_bytes("8G") == 8589934592U);
  BOOST_TEST(parse_bytes("512MiB") == 536870912U);
  BOOST_TEST(parse_bytes("11GB") == 11000000000U);
  BOOST_TEST(parse_bytes("1.5 gib") == 1610612736U);
  BOOST_TEST(parse_bytes("0.25kB") == 250U);
}

BOOST_AUTO_TEST_CASE(what_is_no_size_is_a_usage_error) {
  for (const char* text : {"", "G", "-1", "1X", "1.G", "1.0000000001G", "1e9", "8GiBs", "0x10", "1 2", " 1"})
    BOOST_CHECK_EXCEPTION(parse_bytes(text), Error, (ErrorWith{ErrorCode::usage, "[size]"}));
  BOOST_CHECK_EXCEPTION(parse_bytes("18446744073709551616"), Error,
                        (ErrorWith{ErrorCode::usage, "too large"}));
  BOOST_CHECK_EXCEPTION(parse_bytes("16384P"), Error, (ErrorWith{ErrorCode::usage, "too large"}));
}

BOOST_AUTO_TEST_CASE(sizes_are_shown_in_three_figures) {
  BOOST_TEST(format_bytes(0) == "0 B");
  BOOST_TEST(format_bytes(999) == "999 B");
  BOOST_TEST(format_bytes(1000) == "1.00 kB");
  BOOST_TEST(format_bytes(999999) == "1.00 MB");
  BOOST_TEST(format_bytes(11826347890) == "11.8 GB");
  BOOST_TEST(format_bytes(UINT64_MAX) == "18.4 EB");
}

// Vectors: FIPS 180-4 for "abc" and "", the xxHash project's published values for empty input.
BOOST_AUTO_TEST_CASE(hashes_have_published_values) {
  const TemporaryFolder folder;
  write_file(folder / "abc", "abc");
  write_file(folder / "empty", "");
  BOOST_TEST(sha256_hex_of_file(folder / "abc") ==
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  BOOST_TEST(sha256_hex_of_file(folder / "empty") ==
             "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  BOOST_TEST(xxh3_128_hex(std::string_view()) == "99aa06d3014798d86001c324468d497f");
  BOOST_TEST(xxh3_64({}) == 0x2d06800538d394c2U);
}

BOOST_AUTO_TEST_CASE(a_hash_of_a_file_does_not_depend_on_the_pieces_it_is_read_in) {
  const TemporaryFolder folder;
  std::string bytes((2 << 20) + 12345, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 13);
  write_file(folder / "f", bytes);
  const auto whole = std::as_bytes(std::span(bytes));
  const File file = File::open_to_read(folder / "f");
  BOOST_TEST(xxh3_64_of(file, 0, bytes.size()) == xxh3_64(whole));
  BOOST_TEST(xxh3_64_of(file, 77, 1 << 20) == xxh3_64(whole.subspan(77, 1 << 20)));
}

BOOST_AUTO_TEST_CASE(reading_past_the_end_is_bad_input) {
  const TemporaryFolder folder;
  write_file(folder / "f", "12345");
  const File file = File::open_to_read(folder / "f");
  std::array<std::byte, 4> bytes{};
  file.read_at(1, bytes);
  BOOST_TEST(std::to_integer<char>(bytes[3]) == '5');
  BOOST_CHECK_EXCEPTION(file.read_at(2, bytes), Error,
                        (ErrorWith{ErrorCode::bad_input, "ends at byte 5, 1 more"}));
}

BOOST_AUTO_TEST_CASE(a_text_is_read_up_to_a_limit) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string("a\0b\n", 4));
  const File file = File::open_to_read(folder / "f");
  BOOST_TEST(read_text(file, 4, "config") == std::string("a\0b\n", 4));
  BOOST_CHECK_EXCEPTION(
      read_text(file, 3, "config"), Error,
      (ErrorWith{ErrorCode::bad_input, "[config] " + file.path() + " has 4 bytes; at most 3 are read"}));
}

BOOST_AUTO_TEST_CASE(operations_are_taken_off_and_nothing_else) {
  BOOST_TEST(without_operation("[options] damping is 3") == "damping is 3");
  BOOST_TEST(without_operation("[layer config] a: b") == "a: b");
  for (const char* text :
       {"", "[", "[]", "[] x", "[3, 4] is no shape", "[blocks.0.attn] stopped", "[open]x", "x"})
    BOOST_TEST(without_operation(text) == text);
}

BOOST_AUTO_TEST_CASE(counts_agree_with_their_words) {
  BOOST_TEST(plural(1, "layer") == "1 layer");
  BOOST_TEST(plural(0, "layer") == "0 layers");
  BOOST_TEST(plural(2, "bias", "biases") == "2 biases");
  BOOST_TEST(plural(1, "bias", "biases") == "1 bias");
}

BOOST_AUTO_TEST_CASE(only_regular_files_are_opened) {
  const TemporaryFolder folder;
  BOOST_CHECK_EXCEPTION(File::open_to_read(folder.path()), Error,
                        (ErrorWith{ErrorCode::bad_input, "regular"}));
  BOOST_CHECK_EXCEPTION(File::open_to_read(folder / "none"), Error,
                        (ErrorWith{ErrorCode::io, "No such file"}));
  const std::string fifo = (folder / "fifo").string();
  BOOST_REQUIRE(std::system(("mkfifo " + fifo).c_str()) == 0);
  BOOST_CHECK_EXCEPTION(File::open_to_read(fifo), Error, (ErrorWith{ErrorCode::bad_input, "regular"}));
}

BOOST_AUTO_TEST_CASE(links_have_one_identity) {
  const TemporaryFolder folder;
  write_file(folder / "f", "x");
  write_file(folder / "g", "x");
  std::filesystem::create_hard_link(folder / "f", folder / "hard");
  std::filesystem::create_symlink("f", folder / "soft");
  const FileIdentity identity = snapshot_of(folder / "f")->identity;
  BOOST_TEST((snapshot_of(folder / "hard")->identity == identity));
  BOOST_TEST((snapshot_of(folder / "soft")->identity == identity));
  BOOST_TEST(!(snapshot_of(folder / "g")->identity == identity));
  BOOST_TEST(!snapshot_of(folder / "none"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo
