// Files that the loader must never see.
#include "plugin/elf.hpp"

#include "fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/stat.h>

namespace octavo::plugin {
namespace {

using test::only_record;
using test::write_file;

// A library of these bytes, as the catalog judges it.
std::string reason_for(const std::string& bytes) {
  const test::TemporaryFolder folder;
  write_file(folder / "valid.so", bytes);
  const Record record = only_record(folder / "valid.so");
  BOOST_TEST((record.state == State::refused));
  return record.reason;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(elf)

BOOST_AUTO_TEST_CASE(a_file_that_was_cut_off_is_never_mapped) {
  const std::string whole = test::read_file(test::fixture("valid"));
  BOOST_TEST(reason_for("") == "it is empty (0 bytes)");
  for (const std::size_t size : {std::size_t{5}, std::size_t{63}, std::size_t{64}, std::size_t{300},
                                 whole.size() / 3, whole.size() / 2, whole.size() - 1}) {
    const std::string reason = reason_for(whole.substr(0, size));
    BOOST_TEST(contains(reason, "it is truncated: its "), size << ": " << reason);
    BOOST_TEST(contains(reason, "the file has " + std::to_string(size) + " bytes"), reason);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_library_is_named) {
  BOOST_TEST(reason_for("ab") == "it is not a shared library (ELF): it has 2 bytes");
  BOOST_TEST(
      contains(reason_for("<!DOCTYPE html>"), "it is not a shared library (ELF): it begins with '<!DO'"));
  std::string other = test::read_file(test::fixture("valid"));
  other[4] = 1;  // EI_CLASS: 32 bits
  BOOST_TEST(contains(reason_for(other), "another word size"));
  other = test::read_file(test::fixture("valid"));
  other[16] = 1;  // e_type: relocatable
  BOOST_TEST(contains(reason_for(other), "it is an ELF file of type 1, not a shared library"));
}

BOOST_AUTO_TEST_CASE(tables_beyond_the_end_are_refused) {
  std::string lies = test::read_file(test::fixture("valid"));
  lies[0x2f] = 0x7f;  // the highest byte of e_shoff
  BOOST_TEST(contains(reason_for(lies), "it is truncated: its section headers"));
  lies = test::read_file(test::fixture("valid"));
  lies[0x27] = 0x7f;  // of e_phoff
  BOOST_TEST(contains(reason_for(lies), "it is truncated: its program headers"));
  lies = test::read_file(test::fixture("valid"));
  for (int i = 0; i < 8; ++i) lies[0x40 + 0x20 + i] = '\x7f';  // p_filesz of the first program header
  BOOST_TEST(contains(reason_for(lies), "it is truncated: its segments"));
}

BOOST_AUTO_TEST_CASE(a_pipe_is_not_opened) {
  const test::TemporaryFolder folder;
  BOOST_REQUIRE_EQUAL(::mkfifo((folder / "valid.so").c_str(), 0600), 0);
  BOOST_TEST(only_record(folder.path()).reason == "it is not a regular file");
}

BOOST_AUTO_TEST_CASE(a_whole_library_passes) { BOOST_CHECK_NO_THROW(check_elf(test::fixture("valid"))); }

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
