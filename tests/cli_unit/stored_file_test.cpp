#define BOOST_TEST_DYN_LINK
#include "consumers/stored_file.hpp"

#include "consumers/consumers.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

using namespace octavo::cli;

namespace {

// A file with this header and data, gone at the end of the test.
class File {
 public:
  File(const std::string& header, const std::string& data)
      : path_(std::filesystem::temp_directory_path() /
              ("octavo_consumers_" + std::to_string(::getpid()) + ".safetensors")) {
    std::ofstream out(path_, std::ios::binary | std::ios::trunc);
    for (int shift = 0; shift < 64; shift += 8) out.put(static_cast<char>(header.size() >> shift & 0xff));
    out << header << data;
  }
  ~File() { std::filesystem::remove(path_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  StoredFile read() const { return read_stored_file(octavo::checkpoint::Checkpoint::open(path_)); }

 private:
  std::filesystem::path path_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(stored_file)

// a: a marker with nested keys. b: an I8 weight without a marker. c: floats with an NUL-padded marker.
BOOST_AUTO_TEST_CASE(layers_are_read_from_the_file) {
  const std::string marker =
      R"({"format":"int8_tensorwise","params":{"convrot":true,"convrot_groupsize":4}})";
  const std::string padded = std::string(R"({"format": "int8_tensorwise"})") + std::string(3, '\0');
  const auto at = [](size_t begin, size_t size) {
    return std::string("[") + std::to_string(begin) + "," + std::to_string(begin + size) + "]";
  };
  const std::string header =
      std::string(R"({"a.weight_scale":{"dtype":"F32","shape":[2,1],"data_offsets":)") + at(0, 8) +
      R"(},"c.weight":{"dtype":"F32","shape":[1,1],"data_offsets":)" + at(8, 4) +
      R"(},"a.weight":{"dtype":"I8","shape":[2,4],"data_offsets":)" + at(12, 8) +
      R"(},"b.weight":{"dtype":"I8","shape":[1,4],"data_offsets":)" + at(20, 4) +
      R"(},"a.comfy_quant":{"dtype":"U8","shape":[)" + std::to_string(marker.size()) +
      R"(],"data_offsets":)" + at(24, marker.size()) + R"(},"c.comfy_quant":{"dtype":"U8","shape":[)" +
      std::to_string(padded.size()) + R"(],"data_offsets":)" + at(24 + marker.size(), padded.size()) + "}}";
  const StoredFile file = File(header, std::string(24, '\1') + marker + padded).read();

  BOOST_TEST_REQUIRE(file.layers.size() == 3u);
  BOOST_TEST(file.tensors.size() == 6u);
  BOOST_TEST(file.files == 1u);
  const LayerForm& a = file.layers[0];
  BOOST_TEST(a.name == "a");
  BOOST_TEST(a.marker->format == "int8_tensorwise");
  BOOST_TEST(a.marker->convrot);
  BOOST_TEST(a.marker->convrot_group == 4);
  BOOST_TEST(a.scale->shape == (std::vector<uint64_t>{2, 1}), boost::test_tools::per_element());
  BOOST_TEST(file.layers[1].name == "b");
  BOOST_TEST(!file.layers[1].marker.has_value());
  BOOST_TEST(file.layers[2].name == "c");
  BOOST_TEST(!file.layers[2].marker->readable);
  BOOST_TEST(file.layers[2].weight_dtype == OCTAVO_F32);
}

BOOST_AUTO_TEST_CASE(metadata_names_layers) {
  const std::string header =
      R"({"__metadata__":{"_quantization_metadata":"{\"layers\": {\"a\": {\"format\": \"int8_tensorwise\"}}}"},)"
      R"("model.diffusion_model.a.weight_scale":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("model.diffusion_model.a.weight":{"dtype":"I8","shape":[1,4],"data_offsets":[4,8]}})";
  const StoredFile file = File(header, std::string(8, '\1')).read();
  BOOST_TEST_REQUIRE(file.layers.size() == 1u);
  BOOST_TEST(file.layers[0].name == "model.diffusion_model.a");
  BOOST_TEST(!file.layers[0].marker.has_value());
  BOOST_TEST(file.layers[0].metadata->format == "int8_tensorwise");
  BOOST_TEST(file.metadata_readable);
}

BOOST_AUTO_TEST_CASE(unreadable_metadata_is_said) {
  const std::string header = R"({"__metadata__":{"_quantization_metadata":"[]"}})";
  BOOST_TEST(!File(header, "").read().metadata_readable);
}

BOOST_AUTO_TEST_SUITE_END()
