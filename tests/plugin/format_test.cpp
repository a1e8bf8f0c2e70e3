// Formats that break the contract while they are used. The host turns it into an error that names the plugin.
#include "plugin/format.hpp"

#include "fixture.hpp"
#include "plugin/control_word.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plugin {
namespace {

using test::error_with;

octavo_layer layer_of(std::int64_t rows, std::int64_t cols) {
  octavo_layer layer{};
  layer.struct_size = sizeof layer;
  layer.dtype = OCTAVO_F32;
  layer.name = "a";
  layer.key = "a.weight";
  layer.rows = rows;
  layer.cols = cols;
  return layer;
}

// A format fixture, opened and created.
Format format_of(const std::string& id, const std::vector<Assignment>& assignments = {}) {
  Catalog catalog(test::places({test::fixture(id)}));
  const octavo_plugin& plugin = test::open_only(catalog);
  return {plugin, test::services().host(), resolve(catalog.records().at(0).descriptor, assignments)};
}

const octavo_layer kLayer = layer_of(4, 320);

octavo_grid good_grid() { return *format_of("valid").grid(kLayer).grid; }

BOOST_AUTO_TEST_SUITE(format)

BOOST_AUTO_TEST_CASE(a_right_one_works) {
  const Format format = format_of("valid");
  BOOST_TEST(format.id() == "valid");
  BOOST_TEST(!format.packs());
  const Placement placement = format.grid(kLayer);
  BOOST_REQUIRE(placement.grid.has_value());
  BOOST_TEST(placement.grid->rows == 4);
  const std::vector<Entry> entries = format.entries(kLayer, *placement.grid, 0);
  BOOST_REQUIRE_EQUAL(entries.size(), 1u);
  BOOST_TEST(entries[0].key == "a.weight");
  BOOST_TEST((entries[0].shape == std::vector<std::int64_t>{4, 320}));
  const Header header({}, {}, {});
  BOOST_TEST(format.recognise(header).layers.empty());
}

BOOST_AUTO_TEST_CASE(exceptions_of_plugins_in_c_style_end_at_the_host) {
  BOOST_CHECK_EXCEPTION(
      format_of("throws_raw", {{"where", "create"}}), Error,
      error_with(ErrorCode::failed,
                 "[throws_raw: create] the plugin threw an exception across the boundary: from create"));
  const Format throws_grid = format_of("throws_raw", {{"where", "grid"}});
  BOOST_CHECK_EXCEPTION(throws_grid.grid(kLayer), Error,
                        error_with(ErrorCode::failed, "across the boundary: not a std::exception"));
  const Format throws_entries = format_of("throws_raw", {{"where", "entries"}});
  BOOST_CHECK_EXCEPTION(throws_entries.entries(kLayer, good_grid(), 0), Error,
                        error_with(ErrorCode::failed, "[throws_raw: entries]"));
  const Header header({}, {}, {});
  BOOST_CHECK_EXCEPTION(format_of("throws_raw").recognise(header), Error,
                        error_with(ErrorCode::failed, "std::bad_alloc"));
}

BOOST_AUTO_TEST_CASE(exceptions_of_plugins_in_cpp_become_statuses) {
  try {
    format_of("throws_sdk", {{"create", "throws"}});
    BOOST_ERROR("it was created");
  } catch (const Error& error) {
    BOOST_TEST((error.code() == ErrorCode::resources));
    BOOST_TEST(std::string(error.what()) == "[throws_sdk: create] no room for it");
    BOOST_TEST(error.hint() == "buy some");
  }
  const Format format = format_of("throws_sdk");
  BOOST_CHECK_EXCEPTION(format.grid(kLayer), Error,
                        error_with(ErrorCode::failed, "an exception that is not a std::exception"));
  BOOST_CHECK_EXCEPTION(format.entries(kLayer, good_grid(), 0), Error,
                        error_with(ErrorCode::resources, "out of memory"));
  const Header header({}, {}, {});
  BOOST_CHECK_EXCEPTION(format.recognise(header), Error,
                        error_with(ErrorCode::bad_input, std::string(1023, 'x')));  // cut at the array's size
}

BOOST_AUTO_TEST_CASE(grids_that_cannot_be_are_refused) {
  const auto refused = [](const std::string& what, const std::string& text) {
    BOOST_CHECK_EXCEPTION(format_of("nonsense", {{"what", what}}).grid(kLayer), Error,
                          error_with(ErrorCode::failed, text));
  };
  refused("block", "the grid for layer 'a' cannot be: level 0 of scales: the block is 0 x 0");
  refused("levels", "it has 3 levels of scales");
  refused("multiple", "the row multiple is 0");
  refused("group", "the convrot group is 8, a power of 4 was expected");
  refused("divide", "the convrot group 256 does not divide 320 columns");
  refused("shape", "it is 5 x 320 for a layer of 4 x 320");
  refused("codebook", "the codes are indices into a codebook, which no operation has");
  refused("status", "[nonsense: grid] failed with status 99 and without a message");
  BOOST_CHECK_EXCEPTION(format_of("nonsense", {{"what", "wide_group"}}).grid(layer_of(4, 1024)), Error,
                        error_with(ErrorCode::failed, "the convrot group is 1024, at most 256 was expected"));
}

BOOST_AUTO_TEST_CASE(a_refused_layer_has_a_note_also_without_an_end) {
  const Placement placement = format_of("nonsense", {{"what", "note"}}).grid(kLayer);
  BOOST_TEST(!placement.grid.has_value());
  BOOST_TEST(placement.note == std::string(256, 'n'));
}

BOOST_AUTO_TEST_CASE(entries_that_cannot_be_are_refused) {
  const octavo_grid grid = good_grid();
  const auto refused = [&](const std::string& what, const std::string& text) {
    BOOST_CHECK_EXCEPTION(format_of("nonsense", {{"what", what}}).entries(kLayer, grid, 0), Error,
                          error_with(ErrorCode::failed, text));
  };
  refused("bytes", "[nonsense: entries] entry 'key' comes with 2 bytes, its shape has 10");
  refused("rank", "entry 'key' has 100 dimensions");
  refused("key", "a name is a null pointer");
  refused("no_codes", "0 entries have the role codes, 1 was expected");
  refused("swallow", "entry 'key' has the role 55");
}

BOOST_AUTO_TEST_CASE(layers_that_name_what_is_not_there_are_refused) {
  const Header header({}, {}, {});
  BOOST_CHECK_EXCEPTION(
      format_of("nonsense").recognise(header), Error,
      error_with(ErrorCode::failed, "[nonsense: recognise] layer 'layer' names tensor 1000000"));
}

#if defined(__SSE__)
BOOST_AUTO_TEST_CASE(the_control_word_is_put_back_after_a_call) {
  const std::uint32_t before = control_word();
  const Format format = format_of("control_word_call");
  BOOST_CHECK_EXCEPTION(
      format.grid(kLayer), Error,
      error_with(ErrorCode::failed, "changed the floating-point control word of its thread"));
  BOOST_TEST(control_word() == before);
}
#endif

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
