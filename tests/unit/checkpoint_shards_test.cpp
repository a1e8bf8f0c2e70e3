#include "checkpoint/shards.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace octavo::checkpoint {
namespace {

using test::ErrorWith;

// Six layers of 1000 bytes each with a scale and a marker, and a lone tensor.
std::vector<GroupedTensor> layers() {
  std::vector<GroupedTensor> all;
  for (int i = 0; i < 6; ++i) {
    const std::string layer = fmt::format("layer.{}", i);
    all.push_back({{layer + ".weight", OCTAVO_I8, {100, 9}}, layer});
    all.push_back({{layer + ".weight_scale", OCTAVO_F32, {18, 1}}, layer});
    all.push_back({{layer + ".comfy_quant", OCTAVO_U8, {28}}, layer});
  }
  all.push_back({{"lone", OCTAVO_F32, {4}}, ""});
  return all;
}

BOOST_AUTO_TEST_SUITE(checkpoint_shards)

BOOST_AUTO_TEST_CASE(a_number_of_files_gives_equal_shares_and_keeps_layers_together) {
  const ShardSet set = lay_out_shards({{"format", "pt"}}, layers(), {.count = 3});
  BOOST_TEST(set.names ==
             (std::vector<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                       "model-00003-of-00003.safetensors"}));
  BOOST_REQUIRE(set.layouts.size() == 3U);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t layer = 2 * i; layer < 2 * i + 2; ++layer)
      for (const char* part : {"weight", "weight_scale", "comfy_quant"})
        BOOST_TEST(set.layouts[i].find(fmt::format("layer.{}.{}", layer, part)) != nullptr);
    BOOST_TEST(set.layouts[i].header_bytes.find(R"("__metadata__":{"format":"pt"})") != std::string::npos);
  }
  BOOST_TEST(set.layouts[2].find("lone") != nullptr);
}

BOOST_AUTO_TEST_CASE(every_tensor_knows_its_place_in_the_list) {
  const std::vector<GroupedTensor> all = layers();
  size_t placed_tensors = 0;
  for (const Layout& layout : lay_out_shards({}, layers(), {.count = 3}).layouts) {
    for (const PlacedTensor& placed : layout.tensors) {
      BOOST_TEST(placed.tensor.name == all.at(placed.index).tensor.name);
      ++placed_tensors;
    }
  }
  BOOST_TEST(placed_tensors == all.size());
}

BOOST_AUTO_TEST_CASE(the_index_names_the_file_of_every_tensor) {
  const ShardSet set = lay_out_shards({}, layers(), {.count = 2});
  BOOST_TEST(set.index_name == "model.safetensors.index.json");
  const nlohmann::json index = nlohmann::json::parse(set.index_json);
  BOOST_TEST(index.at("metadata").at("total_size") == 6 * 1000 + 16);
  BOOST_TEST(index.at("weight_map").size() == 19U);
  BOOST_TEST(index.at("weight_map").at("layer.0.weight") == "model-00001-of-00002.safetensors");
  BOOST_TEST(index.at("weight_map").at("lone") == "model-00002-of-00002.safetensors");
}

BOOST_AUTO_TEST_CASE(no_file_exceeds_the_largest_size) {
  constexpr uint64_t limit = 3100;
  const ShardSet set = lay_out_shards({{"k", "v"}}, layers(), {.max_bytes = limit});
  BOOST_TEST(set.layouts.size() ==
             4U);  // 1000 bytes and about 200 of header each: two in a file, the lone one last
  for (const Layout& layout : set.layouts) BOOST_TEST(layout.file_bytes <= limit);
}

BOOST_AUTO_TEST_CASE(a_layer_larger_than_the_limit_has_a_file_of_its_own) {
  const ShardSet set = lay_out_shards({}, layers(), {.max_bytes = 10});
  BOOST_TEST(set.layouts.size() == 7U);
  BOOST_TEST(set.layouts[0].tensors.size() == 3U);
}

BOOST_AUTO_TEST_CASE(every_file_gets_something_however_unequal_the_layers_are) {
  std::vector<GroupedTensor> tensors{{{"huge", OCTAVO_U8, {1'000'000}}, ""}};
  for (int i = 0; i < 3; ++i) tensors.push_back({{fmt::format("small{}", i), OCTAVO_U8, {1}}, ""});
  const ShardSet four = lay_out_shards({}, tensors, {.count = 4});
  BOOST_REQUIRE(four.layouts.size() == 4U);
  for (const Layout& layout : four.layouts) BOOST_TEST(layout.tensors.size() == 1U);
  std::swap(tensors.front(), tensors.back());
  BOOST_TEST(lay_out_shards({}, tensors, {.count = 2}).layouts.size() == 2U);
  BOOST_CHECK_EXCEPTION(lay_out_shards({}, tensors, {.count = 5}), Error,
                        (ErrorWith{ErrorCode::usage, "only 4 groups"}));
}

BOOST_AUTO_TEST_CASE(a_rule_is_a_number_or_a_size) {
  BOOST_CHECK_EXCEPTION(lay_out_shards({}, layers(), {}), Error, (ErrorWith{ErrorCode::usage, "not both"}));
  BOOST_CHECK_EXCEPTION(lay_out_shards({}, layers(), {1, 1}), Error,
                        (ErrorWith{ErrorCode::usage, "not both"}));
  BOOST_CHECK_EXCEPTION(
      lay_out_shards({}, {{{"a", OCTAVO_U8, {1}}, ""}, {{"a", OCTAVO_U8, {1}}, ""}}, {.count = 2}), Error,
      (ErrorWith{ErrorCode::bad_input, "twice"}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
