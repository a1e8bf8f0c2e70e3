#include "base/hash.hpp"
#include "checkpoint/reader.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstring>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::ErrorWith;
using test::safetensors;
using test::TemporaryFolder;
using test::write_file;

// A file with one tensor of 4 bytes.
std::string tensor_file(const std::string& name, const std::string& data,
                        const std::string& metadata = "{}") {
  return safetensors("{\"__metadata__\":" + metadata + ",\"" + name +
                         "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                     data);
}

std::string read_text(const Checkpoint& checkpoint, const std::string& name, uint64_t offset = 0,
                      size_t size = 4) {
  std::string text(size, '\0');
  checkpoint.read(*checkpoint.find(name), offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::string index_of(const std::string& map, const std::string& metadata = R"({"total_size":8})") {
  return "{\"metadata\":" + metadata + ",\"weight_map\":{" + map + "}}";
}

struct Fixture {
  TemporaryFolder folder;
  const fs::path index = folder / "model.safetensors.index.json";

  // Two shards, "b" in the first one by name, "a" in the second.
  void write_shards(const std::string& map = R"("a":"s-2.safetensors","b":"s-1.safetensors")",
                    const std::string& metadata = R"({"total_size":8})") const {
    write_file(folder / "s-1.safetensors", tensor_file("b", "BBBB"));
    write_file(folder / "s-2.safetensors", tensor_file("a", "AAAA"));
    write_file(index, index_of(map, metadata));
  }
  void check_refused(const fs::path& path, const std::string& text,
                     ErrorCode code = ErrorCode::bad_input) const {
    BOOST_CHECK_EXCEPTION(Checkpoint::open(path), Error, (ErrorWith{code, text}));
  }
};

BOOST_FIXTURE_TEST_SUITE(checkpoint_reader, Fixture)

BOOST_AUTO_TEST_CASE(one_file_is_opened_and_read) {
  const std::string bytes = tensor_file("a", "wxyz", R"({"k":"v"})");
  write_file(folder / "m.sft", bytes);
  const Checkpoint checkpoint = Checkpoint::open(folder / "m.sft");
  BOOST_TEST(checkpoint.tensors().size() == 1U);
  BOOST_TEST(read_text(checkpoint, "a") == "wxyz");
  BOOST_TEST(read_text(checkpoint, "a", 1, 2) == "xy");
  BOOST_TEST(read_text(checkpoint, "a", 4, 0) == "");
  BOOST_TEST(checkpoint.find("b") == nullptr);
  BOOST_TEST(checkpoint.metadata().at("k") == "v");
  BOOST_TEST(checkpoint.source_bytes() == bytes.size());
  BOOST_TEST(checkpoint.header_hash() == xxh3_128_hex(std::string_view(bytes).substr(8, bytes.size() - 12)));
  BOOST_TEST((checkpoint.files() == std::vector<fs::path>{folder / "m.sft"}));
}

BOOST_AUTO_TEST_CASE(ranges_outside_of_a_tensor_are_refused) {
  write_file(folder / "m.sft", tensor_file("a", "wxyz"));
  const Checkpoint checkpoint = Checkpoint::open(folder / "m.sft");
  BOOST_CHECK_EXCEPTION(read_text(checkpoint, "a", 1, 4), Error,
                        (ErrorWith{ErrorCode::failed, "has 4 bytes"}));
  BOOST_CHECK_EXCEPTION(read_text(checkpoint, "a", UINT64_MAX, 2), Error,
                        (ErrorWith{ErrorCode::failed, "has 4"}));
}

// T13: the header's length makes the data begin at an odd address.
BOOST_AUTO_TEST_CASE(unaligned_data_is_read_right) {
  const float value = 1.5F;
  std::string data(4, '\0');
  std::memcpy(data.data(), &value, 4);
  const std::string json =
      R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  write_file(folder / "m.safetensors", safetensors(json, "!" + data));
  const Checkpoint checkpoint = Checkpoint::open(folder / "m.safetensors");
  std::array<float, 1> read{};
  checkpoint.read(*checkpoint.find("f"), 0, std::as_writable_bytes(std::span(read)));
  BOOST_TEST(read[0] == 1.5F);
}

// T20.
BOOST_AUTO_TEST_CASE(shards_present_the_same_tensors_as_the_merged_file) {
  write_shards();
  write_file(
      folder / "merged.safetensors",
      safetensors(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
          "AAAABBBB"));
  const Checkpoint merged = Checkpoint::open(folder / "merged.safetensors");
  const Checkpoint sharded = Checkpoint::open(index);
  BOOST_REQUIRE(sharded.tensors().size() == merged.tensors().size());
  for (size_t i = 0; i < merged.tensors().size(); ++i) {
    const TensorInfo& left = merged.tensors()[i].info;
    const TensorInfo& right = sharded.tensors()[i].info;
    BOOST_TEST(left.name == right.name);
    BOOST_TEST((left.dtype == right.dtype));
    BOOST_TEST(left.shape == right.shape);
    BOOST_TEST(read_text(merged, left.name) == read_text(sharded, left.name));
  }
  BOOST_TEST(merged.metadata() == sharded.metadata());
  BOOST_TEST(sharded.notes().empty());
  BOOST_TEST(
      (sharded.files() == std::vector<fs::path>{folder / "s-1.safetensors", folder / "s-2.safetensors"}));
  const std::string first = Checkpoint::open(folder / "s-1.safetensors").header_hash();
  const std::string second = Checkpoint::open(folder / "s-2.safetensors").header_hash();
  BOOST_TEST(sharded.header_hash() == xxh3_128_hex(first + second));
  BOOST_TEST(sharded.identities().size() == 3U);
}

// T19.
BOOST_AUTO_TEST_CASE(shard_names_stay_in_the_folder) {
  write_shards();
  const TemporaryFolder elsewhere;
  write_file(elsewhere / "x.safetensors", tensor_file("a", "AAAA"));
  const std::string outside = (elsewhere / "x.safetensors").string();
  for (const std::string& name :
       {std::string("../x.safetensors"), outside, std::string(""), std::string(".."),
        std::string("sub/x.safetensors"), std::string("sub\\\\x.safetensors")}) {
    write_file(index, index_of("\"a\":\"" + name + "\""));
    check_refused(index, "is not the plain name");
    check_refused(index, "[index] " + index.string() + ": shard ");
  }
  fs::create_symlink(outside, folder / "link.safetensors");
  write_file(index, index_of(R"("a":"link.safetensors")"));
  check_refused(index, "link to a file outside");
}

BOOST_AUTO_TEST_CASE(links_inside_the_folder_and_into_a_hub_cache_are_followed) {
  write_shards(R"("a":"link.safetensors","b":"s-1.safetensors")");
  fs::create_symlink("s-2.safetensors", folder / "link.safetensors");
  BOOST_TEST(read_text(Checkpoint::open(index), "a") == "AAAA");
  const fs::path snapshot = folder / "hub" / "snapshots" / "rev" / "transformer";
  fs::create_directories(snapshot);
  fs::create_directories(folder / "hub" / "blobs");
  write_file(folder / "hub" / "blobs" / "0123", tensor_file("a", "BLOB"));
  fs::create_symlink("../../../blobs/0123", snapshot / "s.safetensors");
  write_file(snapshot / "model.safetensors.index.json",
             index_of(R"("a":"s.safetensors")", R"({"total_size":4})"));
  BOOST_TEST(read_text(Checkpoint::open(snapshot), "a") == "BLOB");
}

BOOST_AUTO_TEST_CASE(an_index_and_its_shards_agree) {
  write_shards(R"("a":"s-2.safetensors","b":"s-3.safetensors")");
  check_refused(index, "shard \"s-3.safetensors\" is missing");
  write_shards(R"("a":"s-2.safetensors","b":"s-1.safetensors","c":"s-1.safetensors")");
  check_refused(index, "tensor \"c\" is not in the shard \"s-1.safetensors\"");
  write_shards(R"("a":"s-1.safetensors","b":"s-2.safetensors")");
  check_refused(index, "is not in the shard");
  write_shards(R"("a":"s-2.safetensors","b":"s-1.safetensors","a":"s-1.safetensors")");
  check_refused(index, "tensor \"a\" is there twice");
  write_shards();
  write_file(folder / "s-1.safetensors", tensor_file("a", "BBBB"));
  check_refused(index, "tensor \"a\" is in two shards");
}

BOOST_AUTO_TEST_CASE(a_wrong_total_size_is_a_note) {
  write_shards(R"("a":"s-2.safetensors","b":"s-1.safetensors")", R"({"total_size":9})");
  const Checkpoint checkpoint = Checkpoint::open(index);
  BOOST_REQUIRE(checkpoint.notes().size() == 1U);
  BOOST_TEST(checkpoint.notes()[0].text == "the index says total_size 9, the tensors have 8 bytes");
  write_shards(R"("a":"s-2.safetensors","b":"s-1.safetensors")", R"({"total_size":8.0,"other":[1,{}]})");
  BOOST_TEST(Checkpoint::open(index).notes().empty());
}

BOOST_AUTO_TEST_CASE(a_malformed_index_is_refused) {
  write_shards();
  for (const char* text :
       {"", "[]", "7", "{}", "{\"weight_map\":7}", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":7}}",
        "{\"weight_map\":{\"a\":{}}}", "{\"weight_map\":{},\"weight_map\":{}}", "{\"weight_map\":{}",
        "{\"x\":[[[[[[[[[[1]]]]]]]]]],\"weight_map\":{}}"}) {
    write_file(index, text);
    check_refused(index, "[index]");
  }
}

BOOST_AUTO_TEST_CASE(a_folder_means_its_one_checkpoint) {
  check_refused(folder.path(), "no safetensors file in this folder");
  write_file(folder / ".m.safetensors.1-2.part", "");
  write_file(folder / "z.safetensors", tensor_file("z", "ZZZZ"));
  BOOST_TEST(Checkpoint::open(folder.path()).find("z") != nullptr);
  write_file(folder / "y.sft", tensor_file("y", "YYYY"));
  check_refused(folder.path(), "2 checkpoints in this folder: z.safetensors, y.sft");
  write_shards();
  fs::rename(index, folder / "other.safetensors.index.json");
  BOOST_TEST(Checkpoint::open(folder.path()).tensors().size() == 2U);
  write_file(folder / "model.safetensors", tensor_file("m", "MMMM"));
  BOOST_TEST(Checkpoint::open(folder.path()).find("m") != nullptr);
  write_file(folder / "diffusion_pytorch_model.safetensors", tensor_file("d", "DDDD"));
  BOOST_TEST(Checkpoint::open(folder.path()).find("d") != nullptr);
  write_file(folder / "diffusion_pytorch_model.safetensors.index.json", "{}");
  check_refused(folder.path(), "diffusion_pytorch_model.safetensors.index.json");
  check_refused(folder / "none", "No such file", ErrorCode::io);
}

BOOST_AUTO_TEST_CASE(metadata_that_differs_is_noted) {
  write_shards();
  write_file(folder / "s-1.safetensors", tensor_file("b", "BBBB", R"({"k":"1","same":"s"})"));
  write_file(folder / "s-2.safetensors", tensor_file("a", "AAAA", R"({"k":"2","same":"s"})"));
  const Checkpoint checkpoint = Checkpoint::open(index);
  BOOST_TEST(checkpoint.metadata().at("k") == "1");
  BOOST_TEST(checkpoint.notes().size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_changed_index_is_noticed) {
  write_shards();
  const Checkpoint checkpoint = Checkpoint::open(index);
  BOOST_CHECK_NO_THROW(checkpoint.verify_unchanged());
  fs::last_write_time(index, fs::last_write_time(index) + std::chrono::seconds(1));
  BOOST_CHECK_EXCEPTION(checkpoint.verify_unchanged(), Error,
                        (ErrorWith{ErrorCode::bad_input, index.filename().string()}));
}

// T38.
BOOST_AUTO_TEST_CASE(a_changed_input_is_noticed) {
  const fs::path path = folder / "m.safetensors";
  const std::string bytes = tensor_file("a", "AAAA");
  write_file(path, bytes);
  const Checkpoint checkpoint = Checkpoint::open(path);
  BOOST_CHECK_NO_THROW(checkpoint.verify_unchanged());
  const auto check_changed = [&](const Checkpoint& opened) {
    BOOST_CHECK_EXCEPTION(opened.verify_unchanged(), Error, (ErrorWith{ErrorCode::bad_input, "was changed"}));
  };
  fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
  check_changed(checkpoint);
  const Checkpoint second = Checkpoint::open(path);
  write_file(folder / "new", bytes);
  fs::rename(folder / "new", path);
  check_changed(second);
  const Checkpoint third = Checkpoint::open(path);
  fs::resize_file(path, bytes.size() - 2);
  check_changed(third);
  BOOST_CHECK_EXCEPTION(read_text(third, "a"), Error, (ErrorWith{ErrorCode::bad_input, "the file ends"}));
  fs::remove(path);
  check_changed(third);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
