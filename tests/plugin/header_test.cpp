#include "plugin/header.hpp"

#include "checkpoint/reader.hpp"
#include "fixture.hpp"
#include "plugin/versions.hpp"
#include "reference/operations.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plugin {
namespace {

// A safetensors file with a marker of three bytes, a scalar and one marker that is too large for plugins.
std::string file_bytes() {
  std::string json = R"({"__metadata__":{"kind":"test"},)"
                     R"("a.comfy_quant":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                     R"("a.empty":{"dtype":"U8","shape":[0],"data_offsets":[3,3]},)"
                     R"("a.large":{"dtype":"U8","shape":[65537],"data_offsets":[3,65540]},)"
                     R"("a.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[65540,65548]}})";
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(json.size() >> (8 * i) & 0xff);
  return bytes + json + "{ }" + std::string(65537 + 8, '\0');
}

struct Opened {
  Opened()
      : path(folder / "model.safetensors"), checkpoint(write()), header(checkpoint), raw(*header.raw()) {}
  checkpoint::Checkpoint write() const {
    test::write_file(path, file_bytes());
    return checkpoint::Checkpoint::open(path);
  }
  test::TemporaryFolder folder;
  std::filesystem::path path;
  checkpoint::Checkpoint checkpoint;
  Header header;
  const octavo_header& raw;
};

BOOST_AUTO_TEST_SUITE(header)

BOOST_FIXTURE_TEST_CASE(a_plugin_sees_names_dtypes_and_shapes, Opened) {
  BOOST_REQUIRE_EQUAL(raw.count, 4u);
  octavo_header_tensor tensor{};
  tensor.struct_size = sizeof tensor;
  BOOST_TEST(raw.tensor(raw.context, 3, &tensor) == OCTAVO_OK);
  BOOST_TEST(std::string(tensor.name) == "a.weight");
  BOOST_TEST(tensor.dtype == OCTAVO_F32);
  BOOST_REQUIRE_EQUAL(tensor.rank, 2u);
  BOOST_TEST(tensor.shape[0] == 2);
  BOOST_TEST(tensor.shape[1] == 1);
  BOOST_TEST(raw.tensor(raw.context, 4, &tensor) == OCTAVO_BAD_ARGUMENT);
  // Of a later minor version: what this octavo does not know stays as it is.
  struct Longer {
    octavo_header_tensor known{};
    std::uint64_t unknown = 77;
  } longer;
  longer.known.struct_size = sizeof longer;
  BOOST_TEST(raw.tensor(raw.context, 3, &longer.known) == OCTAVO_OK);
  BOOST_TEST(longer.known.struct_size == sizeof longer);
  BOOST_TEST(longer.unknown == 77u);
  tensor.struct_size = 8;
  BOOST_TEST(raw.tensor(raw.context, 0, &tensor) == OCTAVO_BAD_ARGUMENT);
}

BOOST_FIXTURE_TEST_CASE(names_are_found, Opened) {
  BOOST_TEST(raw.find(raw.context, "a.comfy_quant") == 0);
  BOOST_TEST(raw.find(raw.context, "a.weight") == 3);
  BOOST_TEST(raw.find(raw.context, "a.weigh") == -1);
  BOOST_TEST(raw.find(raw.context, "z") == -1);
  BOOST_TEST(std::string(raw.metadata(raw.context, "kind")) == "test");
  BOOST_TEST(raw.metadata(raw.context, "other") == nullptr);
}

BOOST_FIXTURE_TEST_CASE(null_pointers_find_nothing, Opened) {
  BOOST_TEST(raw.tensor(raw.context, 0, nullptr) == OCTAVO_BAD_ARGUMENT);
  BOOST_TEST(raw.find(raw.context, nullptr) == -1);
  BOOST_TEST(raw.metadata(raw.context, nullptr) == nullptr);
  BOOST_TEST(raw.marker(raw.context, 0, nullptr) == nullptr);
}

BOOST_AUTO_TEST_CASE(structs_of_another_minor_version_are_used_as_far_as_they_go) {
  // octavo_operations of a version that ended with round_feedback.
  octavo_operations older{};
  older.struct_size = OCTAVO_FIRST_SIZE(octavo_operations, round_feedback);
  older.absmax = reference::operations().absmax;
  older.matmul = reference::operations().matmul;  // not its memory
  const octavo_operations seen = known_part(older);
  BOOST_TEST(seen.absmax == older.absmax);
  BOOST_TEST(seen.matmul == nullptr);
  BOOST_TEST(seen.struct_size == sizeof seen);

  // And a plugin's struct that has no room for what came later.
  octavo_header_tensor shorter{};
  shorter.struct_size = OCTAVO_FIRST_SIZE(octavo_header_tensor, name);
  octavo_header_tensor made{};
  made.struct_size = sizeof made;
  made.name = "a";
  made.rank = 2;
  write_known_part(made, shorter);
  BOOST_TEST(shorter.name == made.name);
  BOOST_TEST(shorter.rank == 0u);
  BOOST_TEST(shorter.struct_size == OCTAVO_FIRST_SIZE(octavo_header_tensor, name));
}

BOOST_FIXTURE_TEST_CASE(only_small_byte_tensors_can_be_read, Opened) {
  std::uint64_t size = 99;
  const std::uint8_t* marker = raw.marker(raw.context, 0, &size);
  BOOST_REQUIRE(marker != nullptr);
  BOOST_TEST(std::string(marker, marker + size) == "{ }");
  BOOST_TEST(raw.marker(raw.context, 0, &size) == marker);  // kept
  BOOST_TEST(raw.marker(raw.context, 1, &size) != nullptr);
  BOOST_TEST(size == 0u);
  BOOST_TEST(raw.marker(raw.context, 2, &size) == nullptr);  // 64 KiB and one byte
  BOOST_TEST(raw.marker(raw.context, 3, &size) == nullptr);  // F32
  BOOST_TEST(raw.marker(raw.context, 4, &size) == nullptr);
  BOOST_CHECK_NO_THROW(header.check_markers());
}

BOOST_FIXTURE_TEST_CASE(a_marker_that_cannot_be_read_is_an_error_afterwards, Opened) {
  std::filesystem::resize_file(path, 100);  // after it was opened
  std::uint64_t size = 0;
  BOOST_TEST(raw.marker(raw.context, 0, &size) == nullptr);
  BOOST_CHECK_THROW(header.check_markers(), Error);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
