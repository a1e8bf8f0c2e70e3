// `verify` on files that are right, and on files with one thing wrong each.
#include "checkpoint_file.hpp"
#include "explanations.hpp"
#include "program.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>

using namespace octavo::test;

namespace {

constexpr const char* kPlain = R"({"format": "int8_tensorwise"})";

std::vector<int8_t> codes(size_t count) {
  std::vector<int8_t> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<int8_t>(static_cast<int>(i * 37 % 255) - 127);
  return values;
}

// One layer [64, 64] with a scale for each row, and a norm.
struct File {
  std::vector<int8_t> weight = codes(64 * 64);
  std::vector<float> scale = std::vector<float>(64, 0.01f);
  std::vector<float> norm = std::vector<float>(64, 1.0f);
  std::vector<TestTensor> more = {};
  std::map<std::string, std::string> metadata = {};
  bool with_marker = true;
  bool with_scale = true;

  std::filesystem::path write(const TemporaryFolder& folder) const {
    std::vector<TestTensor> tensors = {f32("net.norm.weight", {64}, norm)};
    if (with_scale) tensors.push_back(f32("net.a.weight_scale", {64, 1}, scale));
    tensors.push_back(i8("net.a.weight", {64, 64}, weight));
    if (with_marker) tensors.push_back(marker("net.a", kPlain));
    tensors.insert(tensors.end(), more.begin(), more.end());
    write_checkpoint(folder / "a.safetensors", tensors, metadata);
    return folder / "a.safetensors";
  }
};

std::map<std::string, std::string> findings(const nlohmann::json& document) {
  std::map<std::string, std::string> found;
  for (const auto& finding : document["findings"]) found[finding["code"]] = finding["severity"];
  return found;
}

// The first group of every match.
std::set<std::string> matches(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
    found.insert((*match)[1]);
  return found;
}

// `file` has a finding of this code and severity, and the exit code follows from the severities.
void expect(const File& file, const std::string& code, const std::string& severity) {
  BOOST_TEST_CONTEXT(code) {
    const TemporaryFolder folder;
    const Outcome outcome = run({"verify", file.write(folder), "--json"});
    const auto document = outcome.json();
    const auto found = findings(document);
    BOOST_TEST_INFO(outcome.out);
    BOOST_REQUIRE(found.contains(code));
    BOOST_TEST(found.at(code) == severity);
    bool error = false;
    for (const auto& [name, level] : found) error = error || level == "error";
    BOOST_TEST(document["ok"] == !error);
    BOOST_TEST(outcome.code == (error ? 7 : 0));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(verify)

BOOST_AUTO_TEST_CASE(a_file_that_is_right) {
  const TemporaryFolder folder;
  const Outcome outcome = run({"verify", File{}.write(folder), "--json"});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.error == "");
  const auto document = outcome.json();
  BOOST_TEST(document["schema"] == "octavo.verify/1");
  BOOST_TEST(document["ok"] == true);
  BOOST_TEST(document["findings"].size() == 0u);
  BOOST_TEST(document["layers"] == 1);
  BOOST_TEST(document["bytes_read"] == 64 * 64 + 64 * 4 + 64 * 4 + 29);
  std::map<std::string, nlohmann::json> consumers;
  for (const auto& consumer : document["consumers"]) consumers[consumer["name"]] = consumer;
  BOOST_REQUIRE(consumers.contains("ComfyUI"));
  BOOST_TEST(consumers["ComfyUI"]["loads"] == "yes");
  BOOST_TEST(consumers["ComfyUI"]["minimum_version"] == "0.27.0");
  BOOST_TEST(consumers["ComfyUI"].contains("reason"));
  BOOST_TEST(run({"verify", folder / "a.safetensors"}).out.find("\n\nok: 0 errors, 0 warnings, ") !=
             std::string::npos);
  BOOST_TEST(run({"verify", folder / "a.safetensors"}).out.starts_with("loads in "));
}

BOOST_AUTO_TEST_CASE(values) {
  File file;
  file.weight[100] = -128;
  expect(file, "codes-range", "error");
  file = {};
  file.weight.assign(64 * 64, 0);
  expect(file, "codes-all-zero", "warning");
  for (const float wrong : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    file = {};
    file.scale[63] = wrong;
    expect(file, "scale-value", "error");
  }
  file = {};
  file.norm[5] = std::nanf("");
  expect(file, "nan", "warning");
  file = {};
  file.norm[5] = -std::numeric_limits<float>::infinity();
  expect(file, "infinity", "warning");
  file = {};
  file.more = {f32("net.mask", {2}, {0, -std::numeric_limits<float>::infinity()})};
  expect(file, "infinity", "note");
}

BOOST_AUTO_TEST_CASE(count_and_first_place) {
  File file;
  file.weight[100] = file.weight[4000] = -128;
  const TemporaryFolder folder;
  const auto document = run({"verify", file.write(folder), "--json", "--lanes", "1"}).json();
  const std::string message = document["findings"][0]["message"];
  BOOST_TEST(document["findings"][0]["tensor"] == "net.a.weight");
  BOOST_TEST(message.starts_with("2 codes out of range, the first at element 100"), message);
}

BOOST_AUTO_TEST_CASE(leftovers) {
  File file;
  file.with_marker = false;
  expect(file, "codes-without-marker", "error");
  file = {};
  file.with_scale = false;
  expect(file, "scale-missing", "error");
  file = {};
  file.more = {f32("net.norm.weight_scale", {}, {1})};
  expect(file, "scale-leftover", "warning");
  file.more = {f32("net.gone.weight_scale", {}, {1})};
  expect(file, "scale-without-weight", "warning");
  file.more = {f32("scaled_fp8", {}, {1})};
  expect(file, "scaled-fp8-stale", "error");
  file.more = {f32("scaled_fp8", {}, {1}), {"net.b.weight", "F8_E4M3", {2}, "ab"}};
  const TemporaryFolder folder;
  BOOST_TEST(!findings(run({"verify", file.write(folder), "--json"}).json()).contains("scaled-fp8-stale"));
  file.more = {marker("net.b", R"({"format": "of_another_time"})"), f32("net.b.weight", {1}, {1})};
  expect(file, "marker-unknown", "note");
}

BOOST_AUTO_TEST_CASE(header_entry_against_markers) {
  const auto layers = [](const std::string& text) {
    return std::map<std::string, std::string>{{"_quantization_metadata", text}};
  };
  File file;
  file.metadata = layers("{");
  expect(file, "metadata-not-json", "error");
  file.metadata = layers("{}");
  expect(file, "metadata-layers-missing", "error");
  file.metadata = layers(R"({"layers": {"net.a": {"format": "float8_e4m3fn"}}})");
  expect(file, "metadata-disagrees", "error");
  file.metadata = layers(R"({"layers": {"net.a": {"format": "int8_tensorwise"}}})");
  const TemporaryFolder folder;
  BOOST_TEST(run({"verify", file.write(folder), "--json"}).json()["findings"].size() == 0u);
  file.metadata =
      layers(R"({"layers": {"a": {"format": "int8_tensorwise"}}})");  // without "net.", which is cut
  BOOST_TEST(run({"verify", file.write(folder), "--json"}).json()["findings"].size() == 0u);
  file.metadata = layers(R"({"layers": {"gone": {"format": "of_another_time"}}})");
  expect(file, "metadata-stale", "warning");
}

BOOST_AUTO_TEST_CASE(every_code_has_an_explanation) {
  const std::filesystem::path sources = OCTAVO_SOURCES;
  std::string text = read_file(sources / "cli/commands/verify.cpp");
  std::set<std::string> emitted;
  for (const char* folder : {"plugins/formats", "core/report", "core/stored"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(sources / folder)) {
      if (entry.path().extension() != ".cpp") continue;
      const std::string source = read_file(entry.path());
      for (const std::string& code : matches(source, R"re("([a-z0-9]+(-[a-z0-9]+)+)")re"))
        emitted.insert(code);
      text += source;
    }
  }
  BOOST_TEST(emitted.size() > 20u);
  for (const std::string& code : emitted) BOOST_TEST(!octavo::cli::explanation(code).empty(), code);
  const auto explained = matches(read_file(sources / "cli/explanations.cpp"), R"re(Row\{"([a-z0-9-]+)")re");
  BOOST_TEST(explained.size() > 20u);
  for (const std::string& code : explained)
    BOOST_TEST(text.find('"' + code + '"') != std::string::npos, "nothing emits " << code);
}

// A name from a file commands no terminal: not in a finding, its hint, or what programs are said to make of
// it.
BOOST_AUTO_TEST_CASE(control_characters_are_shown) {
  const TemporaryFolder folder;
  const std::string layer = "net.\x1b[31mred\x07";
  write_checkpoint(folder / "a.safetensors",
                   {i8(layer + ".weight", {64, 64}, codes(64 * 64)), marker(layer, kPlain)});
  for (const char* option : {"--color=never", "--explain"}) {
    const Outcome outcome = run({"verify", folder / "a.safetensors", option});
    BOOST_TEST(outcome.code == 7);
    BOOST_TEST(outcome.out.find("scale-missing") != std::string::npos, outcome.out);
    BOOST_TEST(outcome.out.find("\\x1b[31mred\\x07") != std::string::npos, outcome.out);
    BOOST_TEST(outcome.out.find('\x1b') == std::string::npos);
    BOOST_TEST(outcome.out.find('\x07') == std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(truncated) {
  const TemporaryFolder folder;
  const auto path = File{}.write(folder);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  const Outcome outcome = run({"verify", path, "--json"});
  BOOST_TEST(outcome.code == 7);
  BOOST_TEST(outcome.json()["ok"] == false);
  BOOST_TEST(outcome.json()["findings"][0]["code"] == "container");
  BOOST_TEST(outcome.json()["findings"][0]["message"].get<std::string>().find("truncated by 1 byte") !=
             std::string::npos);
  BOOST_TEST(run({"verify", path, "--lenient"}).code == 7);  // no reader takes it
}

BOOST_AUTO_TEST_CASE(what_only_the_strict_rules_forbid) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  write_file(path, safetensors(R"({"__metadata__":{"k":"1","k":"2","j":"1","j":"2"},)"
                               R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                               "x"));
  const Outcome strict = run({"verify", path, "--json", "--explain"});
  BOOST_TEST(strict.code == 7);
  size_t lenient_ones = 0;
  const auto document = strict.json();
  for (const auto& finding : document["findings"]) {
    lenient_ones += finding["code"] == "container-lenient" ? 1 : 0;
    BOOST_TEST(!finding["explanation"].get<std::string>().empty());
  }
  BOOST_TEST(lenient_ones == 2u);  // every one, not only the first
  const Outcome lenient = run({"verify", path, "--json", "--lenient"});
  BOOST_TEST(lenient.code == 0);
  BOOST_TEST(
      (findings(lenient.json()) == std::map<std::string, std::string>{{"container-lenient", "warning"}}));
}

BOOST_AUTO_TEST_CASE(header_only_reads_no_data) {
  File file;
  file.weight[0] = -128;
  const TemporaryFolder folder;
  const Outcome outcome = run({"verify", file.write(folder), "--json", "--header_only"});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.json()["bytes_read"] == 0);
}

BOOST_AUTO_TEST_CASE(what_is_no_checkpoint) {
  const TemporaryFolder folder;
  write_file(folder / "model.pt", "PK\x03\x04" + std::string(60, 'x'));
  BOOST_TEST(run({"verify", folder / "model.pt"}).code == 4);
  BOOST_TEST(run({"verify", folder / "missing"}).code == 5);
}

// What convert writes is right, in every format.
BOOST_AUTO_TEST_CASE(own_files) {
  const TemporaryFolder folder;
  std::vector<float> values(256 * 256);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i * i % 1009));
  write_checkpoint(folder / "a.safetensors", {f32("net.a.weight", {256, 256}, values)});
  for (const char* format : {"int8_convrot", "int8_tensorwise", "int8_tensorwise:scale=tensor",
                             "int8_blockwise", "int8_axiswise", "fp16"}) {
    BOOST_TEST_CONTEXT(format) {
      const std::string target = folder / "out.safetensors";
      const Outcome made = run({"convert", folder / "a.safetensors", "-o", target, "--format", format,
                                "--model", "none", "--force", "--json"});
      BOOST_TEST_INFO(made.error);
      BOOST_REQUIRE(made.code == 0);
      const auto document = run({"verify", target, "--json"}).json();
      BOOST_TEST(document["ok"] == true);
      BOOST_TEST(document["layers"] == (std::string(format) == "fp16" ? 0 : 1));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
