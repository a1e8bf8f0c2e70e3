// What `inspect` says about checkpoints whose every byte is known.
#include "checkpoint_file.hpp"
#include "parts.hpp"
#include "program.hpp"

#include <boost/test/unit_test.hpp>

using namespace octavo::test;

namespace {

constexpr const char* kConvrot = R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 4})";

std::vector<TestTensor> quantized_file() {
  return {f32("net.a.weight_scale", {2, 1}, {0.5f, 0.25f}), f32("net.norm.weight", {4}, {1, 1, 1, 1}),
          i8("net.a.weight", {2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}), marker("net.a", kConvrot)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(inspect)

BOOST_AUTO_TEST_CASE(json_document) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "q.safetensors", quantized_file(), {{"made by", "hand"}});
  const Outcome outcome = run({"inspect", folder / "q.safetensors", "--json"});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.error == "");
  const auto json = outcome.json();
  BOOST_TEST(json["schema"] == "octavo.inspect/1");
  BOOST_TEST(json["bytes"] == std::filesystem::file_size(folder / "q.safetensors"));
  BOOST_TEST(json["metadata"]["made by"] == "hand");
  BOOST_REQUIRE(json["tensors"].size() == 4u);
  BOOST_TEST(json["tensors"][1]["name"] == "net.a.weight");  // by name
  BOOST_TEST(json["tensors"][1]["dtype"] == "I8");
  BOOST_TEST(json["tensors"][1]["shape"] == nlohmann::json({2, 4}));
  BOOST_TEST(json["tensors"][1]["bytes"] == 8);
  BOOST_REQUIRE(json["layers"].size() == 1u);
  BOOST_TEST(json["layers"][0]["name"] == "net.a");
  BOOST_TEST(json["layers"][0]["format"] == "int8_convrot");
  BOOST_TEST(json["layers"][0]["convrot_group"] == 4);
  BOOST_TEST(json["layers"][0]["bytes"] == 8 + 8 + std::string(kConvrot).size());
  std::map<std::string, int> dtypes;
  for (const auto& entry : json["dtypes"]) dtypes[entry["dtype"]] = entry["tensors"];
  BOOST_TEST((dtypes == std::map<std::string, int>{{"F32", 2}, {"I8", 1}, {"U8", 1}}));
}

BOOST_AUTO_TEST_CASE(text) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "q.safetensors", quantized_file());
  const std::string out = run({"inspect", folder / "q.safetensors"}).out;
  BOOST_TEST(out.starts_with("q.safetensors"));
  BOOST_TEST(out.find("int8_convrot") != std::string::npos);
  BOOST_TEST(out.find("[2, 4]") != std::string::npos);
  const std::string one = run({"inspect", folder / "q.safetensors", "--largest", "1"}).out;
  BOOST_TEST(one.find("net.norm.weight") == std::string::npos);
  const std::string all = run({"inspect", folder / "q.safetensors", "--tensors", "--largest", "1"}).out;
  BOOST_TEST(all.find("net.norm.weight") != std::string::npos);
}

// FIPS 180-4 has no vector of this file: sha256sum is the other implementation.
BOOST_AUTO_TEST_CASE(sha256) {
  const TemporaryFolder folder;
  const std::string file = folder / "q.safetensors";
  write_checkpoint(file, quantized_file());
  const std::string line = run_shell("sha256sum " + file).out;
  BOOST_REQUIRE(line.size() > 64u);
  BOOST_TEST(run({"inspect", file, "--sha256"}).out.find("\n" + line) != std::string::npos);
  const auto json = run({"inspect", file, "--sha256", "--json"}).json();
  BOOST_TEST(json["sha256"] == nlohmann::json({line.substr(0, 64)}));
  BOOST_TEST(!run({"inspect", file, "--json"}).json().contains("sha256"));
}

BOOST_AUTO_TEST_CASE(shards_and_folders) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "model-00001-of-00002.safetensors", {f32("a", {1}, {1})});
  write_checkpoint(folder / "model-00002-of-00002.safetensors", {f32("b", {2}, {1, 2})});
  write_file(folder / "model.safetensors.index.json",
             R"({"metadata":{"total_size":12},"weight_map":{"a":"model-00001-of-00002.safetensors",)"
             R"("b":"model-00002-of-00002.safetensors"}})");
  for (const std::string& path :
       {folder.path().string(), (folder / "model.safetensors.index.json").string()}) {
    const auto json = run({"inspect", path, "--json"}).json();
    BOOST_TEST(json["files"].size() == 2u);
    BOOST_TEST(json["tensors"][1]["name"] == "b");
    BOOST_TEST(json["tensors"][1]["file"] == "model-00002-of-00002.safetensors");
  }
}

BOOST_AUTO_TEST_CASE(lenient) {
  const TemporaryFolder folder;
  write_file(
      folder / "twice.safetensors",
      safetensors(R"({"__metadata__":{"k":"1","k":"2"},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                  "x"));
  BOOST_TEST(run({"inspect", folder / "twice.safetensors"}).code == 3);
  const auto json = run({"inspect", folder / "twice.safetensors", "--lenient", "--json"}).json();
  BOOST_TEST(json["metadata"]["k"] == "2");
  BOOST_TEST(json["notes"][0].get<std::string>().find("against the strict rules") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(parts) {
  const TemporaryFolder folder;
  std::vector<TestTensor> tensors = {f32("scalar", {1}, {1}), f32("vae.decoder.weight", {1}, {1})};
  for (const char* key : {"in.weight", "out.weight", "blocks.0.q.weight", "blocks.1.q.weight"}) {
    tensors.push_back(f32(std::string("model.diffusion_model.") + key, {4}, {1, 2, 3, 4}));
  }
  for (const char* key : {"0.a", "0.b", "1.a", "1.b", "2.a"}) {
    tensors.push_back(f32(std::string("encoder.layers.") + key, {2}, {1, 2}));
  }
  write_checkpoint(folder / "a.safetensors", tensors);
  const auto found = octavo::cli::parts_of(octavo::checkpoint::Checkpoint::open(folder / "a.safetensors"));
  BOOST_REQUIRE(found.size() == 4u);
  BOOST_TEST(found[0].prefix == "model.diffusion_model.");
  BOOST_TEST(found[0].tensors == 4u);
  BOOST_TEST(found[0].bytes == 64u);
  BOOST_TEST(found[1].prefix == "encoder.layers.");
  BOOST_TEST(found[2].prefix == "vae.");
  BOOST_TEST(found[3].prefix == "");
}

BOOST_AUTO_TEST_SUITE_END()
