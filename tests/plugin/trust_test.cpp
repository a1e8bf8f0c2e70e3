#include "plugin/trust.hpp"

#include "fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/stat.h>

namespace octavo::plugin {
namespace {

using test::error_with;
using test::TemporaryFolder;

// A file in a folder of its own, both writable for nobody else.
struct Place {
  Place() : folder(std::filesystem::canonical(outer.path()) / "plugins"), file(folder / "valid.so") {
    std::filesystem::create_directory(folder);
    ::chmod(folder.c_str(), 0755);
    test::write_file(file, "x");
    ::chmod(file.c_str(), 0644);
  }
  TemporaryFolder outer;
  std::filesystem::path folder;
  std::filesystem::path file;
};

BOOST_AUTO_TEST_SUITE(trust)

BOOST_FIXTURE_TEST_CASE(what_only_the_owner_can_write_is_trusted, Place) {
  BOOST_CHECK_NO_THROW(check_trust(file));
}

BOOST_FIXTURE_TEST_CASE(a_file_that_everybody_can_write_is_refused, Place) {
  ::chmod(file.c_str(), 0666);
  BOOST_CHECK_EXCEPTION(check_trust(file), Error,
                        error_with(ErrorCode::unsupported, "is writable for everybody"));
}

BOOST_FIXTURE_TEST_CASE(a_folder_that_everybody_can_write_is_refused_sticky_or_not, Place) {
  for (const mode_t mode : {mode_t{0777}, mode_t{01777}}) {
    ::chmod(folder.c_str(), mode);
    BOOST_CHECK_EXCEPTION(
        check_trust(file), Error,
        error_with(ErrorCode::unsupported, "the folder '" + folder.string() + "' is writable"));
  }
}

BOOST_FIXTURE_TEST_CASE(a_folder_above_may_be_sticky_only, Place) {
  ::chmod(folder.parent_path().c_str(), 0777);
  BOOST_CHECK_EXCEPTION(check_trust(file), Error, error_with(ErrorCode::unsupported, "above it is writable"));
  ::chmod(folder.parent_path().c_str(), 01777);
  BOOST_CHECK_NO_THROW(check_trust(file));
  ::chmod(folder.parent_path().c_str(), 0700);
}

BOOST_FIXTURE_TEST_CASE(the_catalog_keeps_the_reason, Place) {
  ::chmod(folder.c_str(), 0777);
  const Record record = test::only_record(file);
  BOOST_TEST((record.state == State::refused));
  BOOST_TEST(record.reason.find("is writable for everybody") != std::string::npos, record.reason);
  BOOST_TEST(record.hint.find("chmod go-w") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(strangers_are_not_trusted, Place) {
  constexpr uid_t kStranger = 54321;
  if (::geteuid() != 0) {
    BOOST_TEST_MESSAGE("skipped: only root can give a file away");
    return;
  }
  BOOST_REQUIRE_EQUAL(::chown(file.c_str(), kStranger, 0), 0);
  BOOST_CHECK_EXCEPTION(check_trust(file), Error,
                        error_with(ErrorCode::unsupported, "belongs to user 54321, who is neither root"));
  BOOST_REQUIRE_EQUAL(::chown(file.c_str(), 0, kStranger), 0);
  BOOST_CHECK_NO_THROW(check_trust(file));  // the group cannot write
  ::chmod(file.c_str(), 0664);
  BOOST_CHECK_EXCEPTION(check_trust(file), Error,
                        error_with(ErrorCode::unsupported, "is writable for group 54321, which is neither"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
