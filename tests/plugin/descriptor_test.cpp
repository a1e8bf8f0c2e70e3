// Every field of a descriptor, wrong once: the record says why, and the process goes on.
#include "fixture.hpp"
#include "plugin/control_word.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <ostream>

namespace octavo::plugin {
namespace {

using test::fixture;
using test::only_record;

struct Refusal {
  const char* id;
  const char* reason;  // part of the sentence
};

std::ostream& operator<<(std::ostream& stream, const Refusal& refusal) { return stream << refusal.id; }

const Refusal kRefusals[] = {
    {"wrong_major", "built for version 2.0 of the plugin boundary, this octavo has 1.0"},
    {"newer_minor",
     "built for version 1.1 of the plugin boundary, this octavo has 1.0: it needs a newer octavo"},
    {"short_struct", "its descriptor has 72 bytes, version 1.0 of the boundary has 80"},
    {"tiny_struct", "its descriptor has 4 bytes and not even a version"},
    {"null_descriptor", "octavo_plugin_v1 returned a null pointer"},
    {"null_id", "its id is a null pointer"},
    {"other_id", "its id is 'somebody_else', but its file is named 'other_id'"},
    {"bad_kind", "its kind is 9"},
    {"empty_version", "its version is empty"},
    {"bad_links", "links is 'libtorch', name=version was expected"},
    {"null_api", "its function table (api) is a null pointer"},
    {"short_api", "its function table has 16 bytes, version 1.0 of the boundary has 64"},
    {"null_function", "its function 'entries' is a null pointer"},
    {"half_codec", "of its functions encode and decode only one is there"},
    {"null_params", "it declares 1 parameters behind a null pointer"},
    {"many_params", "it declares 18446744073709551615 parameters, at most 256 are allowed"},
    {"bad_default",
     "the default of parameter 'damp' cannot be used: [parameters] 'damp' is '2', a number from 0 to 1"},
    {"bad_param_name", "the name of parameter 'Damp it' is not [a-z][a-z0-9_]*"},
    {"bad_param_type", "the type of parameter 'damp' is 77, 1 to 5 was expected"},
    {"bad_range", "parameter 'damp' has the range 5 to 1"},
    {"twice", "parameter 'damp' is declared twice"},
    {"null_default", "the default of parameter 'damp' is a null pointer"},
    {"no_symbol", "it does not export octavo_plugin_v1"},
    {"unresolved", "the system's loader refused it"},
    {"throws_entry", "its function octavo_plugin_v1 threw an exception: from the entry"},
};

BOOST_AUTO_TEST_SUITE(descriptor)

BOOST_DATA_TEST_CASE(a_plugin_that_breaks_a_rule_is_refused_with_a_sentence, kRefusals) {
  const Record record = only_record(fixture(sample.id));
  BOOST_TEST((record.state == State::refused));
  BOOST_TEST(record.id == sample.id);
  BOOST_TEST(record.reason.find(sample.reason) != std::string::npos, record.reason);
}

BOOST_AUTO_TEST_CASE(a_right_one_is_loaded) {
  const Record record = only_record(fixture("valid"));
  BOOST_TEST((record.state == State::loaded), record.reason);  // it has no manifest, so it was opened
  BOOST_TEST((record.kind == OCTAVO_KIND_FORMAT));
  BOOST_TEST(record.descriptor.version == "1.0");
  BOOST_TEST(record.descriptor.summary == "a fixture");
}

BOOST_AUTO_TEST_CASE(unknown_members_at_the_end_are_no_obstacle) {
  const Record record = only_record(fixture("newer_tail"));
  BOOST_TEST((record.state == State::loaded), record.reason);
}

BOOST_AUTO_TEST_CASE(the_kind_of_the_folder_must_be_the_plugins) {
  const test::TemporaryFolder folder;
  test::copy_fixture("valid", folder / "models");
  const Record record = only_record(folder.path());
  BOOST_TEST((record.state == State::refused));
  BOOST_TEST(record.reason.find("it is of kind format, but a plugin of kind model was expected here") !=
                 std::string::npos,
             record.reason);
}

BOOST_AUTO_TEST_CASE(fast_math_is_refused_and_undone) {
  const std::uint32_t before = control_word();
#if defined(__SSE__)
  for (const char* id : {"control_word_load", "control_word_entry"}) {
    const Record record = only_record(fixture(id));
    BOOST_TEST((record.state == State::refused));
    BOOST_TEST(record.reason.find("floating-point control word") != std::string::npos, record.reason);
    BOOST_TEST(control_word() == before);
  }
#endif
#if defined(OCTAVO_FAST_MATH_SETS_FLUSH_TO_ZERO)
  const Record record = only_record(fixture("fast_math"));
  BOOST_TEST((record.state == State::refused));
  BOOST_TEST(record.reason.find("was built with fast-math") != std::string::npos, record.reason);
#endif
  BOOST_TEST(control_word() == before);
  volatile float subnormal = 1e-40f;
  BOOST_TEST(subnormal * 1.0f > 0.0f);
}

BOOST_AUTO_TEST_CASE(links_are_a_list) {
  const std::vector<Link> links = parse_links("libtorch=2.11.0,other=1");
  BOOST_REQUIRE_EQUAL(links.size(), 2u);
  BOOST_TEST(links[0].library == "libtorch");
  BOOST_TEST(links[0].version == "2.11.0");
  BOOST_TEST(links[1].library == "other");
  BOOST_TEST(parse_links("").empty());
  for (const char* wrong : {"=1", "a=", "a=1,", ","})
    BOOST_CHECK_EXCEPTION(parse_links(wrong), Error, test::error_with(ErrorCode::unsupported, "links is"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
