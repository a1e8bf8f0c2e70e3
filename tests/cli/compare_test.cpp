// `compare` against figures worked out by hand.
#include "checkpoint_file.hpp"
#include "program.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <utility>

using namespace octavo::test;

namespace {

// Row 0 of the reference is 1, 1/2, -1/4, 1/8, row 1 is 2, -2, 1, 0. All scales are powers of two, so every
// stored value is exact: 127/128, 1/2, -1/4, 13/128 and 127/64, -127/64, 1, 0. The errors are 1/128, 0, 0,
// 3/128 and 1/64, -1/64, 0, 0: their squares sum up to 1/16384 + 9/16384 + 2 * 4/16384 = 18/16384. The signal
// is 1 + 1/4 + 1/16 + 1/64 + 4 + 4 + 1 = 661/64.
constexpr double kError = 18.0 / 16384;
constexpr double kSignal = 661.0 / 64;

std::vector<TestTensor> reference_file() {
  return {f32("net.a.weight", {2, 4}, {1, 0.5f, -0.25f, 0.125f, 2, -2, 1, 0}), f32("net.norm", {2}, {1, 2}),
          f32("net.only_a", {1}, {1})};
}

std::vector<TestTensor> stored_file(float norm = 2) {
  return {f32("net.a.weight_scale", {2, 1}, {1.0f / 128, 1.0f / 64}), f32("net.norm", {2}, {1, norm}),
          f32("net.only_b", {1}, {1}), i8("net.a.weight", {2, 4}, {127, 64, -32, 13, 127, -127, 64, 0}),
          marker("net.a", R"({"format": "int8_tensorwise"})")};
}

struct Files {
  TemporaryFolder folder;
  std::string a = folder / "a.safetensors", b = folder / "b.safetensors";

  explicit Files(float norm = 2) {
    write_checkpoint(a, reference_file());
    write_checkpoint(b, stored_file(norm));
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(compare)

BOOST_AUTO_TEST_CASE(float_against_quantized) {
  const Files files;
  const Outcome outcome = run({"compare", files.a, files.b, "--json"});
  BOOST_TEST(outcome.code == 0);
  BOOST_TEST(outcome.error == "");
  const auto json = outcome.json();
  BOOST_TEST(json["schema"] == "octavo.compare/1");
  BOOST_REQUIRE(json["layers"].size() == 1u);
  const auto& layer = json["layers"][0];
  BOOST_TEST(layer["name"] == "net.a");
  BOOST_TEST(layer["format"] == "int8_tensorwise");
  BOOST_TEST(layer["reference_format"] == "F32");
  BOOST_TEST(layer["sqnr_db"].get<double>() == 10 * std::log10(kSignal / kError),
             boost::test_tools::tolerance(1e-9));
  BOOST_TEST(layer["relative_error"].get<double>() == std::sqrt(kError / kSignal),
             boost::test_tools::tolerance(1e-9));
  BOOST_TEST(layer["max_abs_error"].get<double>() == 3.0 / 128);
  BOOST_TEST(json["total"]["error_sum"].get<double>() == kError);
  BOOST_TEST(json["total"]["signal_sum"].get<double>() == kSignal);
  BOOST_TEST(json["equal"] == 1);
  BOOST_TEST(json["only_a"] == nlohmann::json({"net.only_a"}));
  BOOST_TEST(json["only_b"] == nlohmann::json({"net.only_b"}));
  BOOST_TEST(json["changed"].size() == 0u);
}

BOOST_AUTO_TEST_CASE(rotated) {
  // One group of 4 columns: the regular Hadamard matrix over 2. Codes 4, 0, 0, 0 at scale 1 are half of its
  // first row, 2 x (1, 1, 1, -1).
  const TemporaryFolder folder;
  write_checkpoint(folder / "a.safetensors", {f32("net.a.weight", {1, 4}, {2, 2, 2, -2})});
  write_checkpoint(
      folder / "b.safetensors",
      {f32("net.a.weight_scale", {1, 1}, {1}), i8("net.a.weight", {1, 4}, {4, 0, 0, 0}),
       marker("net.a", R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 4})")});
  const auto json = run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--json"}).json();
  BOOST_TEST(json["layers"][0]["format"] == "int8_convrot");
  BOOST_TEST(json["layers"][0]["sqnr_db"].is_null());  // nothing was lost
  BOOST_TEST(json["layers"][0]["relative_error"] == 0);
}

// The same weights rotated, at scales of 1/8 and 1. Rotated, row 0 is 9/16, 15/16, 3/16, -5/16, which rounds
// to codes 4, 8, 2, -2 and back to 1, 1/2, -1/4, 1/4; row 1 is 1/2, -1/2, 5/2, -3/2: 0, 0, 2, -2 and 2, -2,
// 0, 0. Beside what the plain file stores, that is off by 1/128, 0, 0, 19/128 and 1/64, -1/64, -1, 0.
BOOST_AUTO_TEST_CASE(two_quantized_files) {
  const Files files;
  const std::string c = files.folder / "c.safetensors";
  write_checkpoint(
      c,
      {f32("net.a.weight_scale", {2, 1}, {0.125f, 1}), i8("net.a.weight", {2, 4}, {4, 8, 2, -2, 0, 0, 2, -2}),
       marker("net.a", R"({"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 4})")});
  const double error = (1 + 361 + 4 + 4) / 16384.0 + 1;
  const double plain_signal = 166834 / 16384.0, rotated_signal = 1 + 0.25 + 0.0625 + 0.0625 + 4 + 4;
  const auto json = run({"compare", files.b, c, "--json"}).json();
  BOOST_REQUIRE(json["layers"].size() == 1u);
  BOOST_TEST(json["layers"][0]["reference_format"] == "int8_tensorwise");
  BOOST_TEST(json["layers"][0]["format"] == "int8_convrot");
  BOOST_TEST(json["layers"][0]["error_sum"].get<double>() == error);
  BOOST_TEST(json["layers"][0]["signal_sum"].get<double>() == plain_signal);
  BOOST_TEST(json["layers"][0]["max_abs_error"] == 1);
  BOOST_TEST(json["layers"][0]["sqnr_db"].get<double>() == 10 * std::log10(plain_signal / error),
             boost::test_tools::tolerance(1e-9));
  const auto reversed = run({"compare", c, files.b, "--json"}).json();
  BOOST_TEST(reversed["total"]["error_sum"].get<double>() == error);
  BOOST_TEST(reversed["total"]["signal_sum"].get<double>() == rotated_signal);
}

BOOST_AUTO_TEST_CASE(a_quantized_file_and_itself) {
  const Files files;
  const auto json = run({"compare", files.b, files.b, "--json"}).json();
  BOOST_REQUIRE(json["layers"].size() == 1u);
  BOOST_TEST(json["layers"][0]["reference_format"] == "int8_tensorwise");
  BOOST_TEST(json["total"]["error_sum"] == 0);
  BOOST_TEST(json["only_a"].size() == 0u);
}

BOOST_AUTO_TEST_CASE(casts_are_layers) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "a.safetensors", {f32("net.a.weight", {1, 2}, {1.0f, 1.0f + 0x1p-12f})});
  write_checkpoint(folder / "b.safetensors",
                   {{"net.a.weight", "F16", {1, 2}, bytes_of_values<uint16_t>({0x3c00, 0x3c00})}});
  const auto json = run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--json"}).json();
  BOOST_REQUIRE(json["layers"].size() == 1u);
  BOOST_TEST(json["layers"][0]["name"] == "net.a");
  BOOST_TEST(json["layers"][0]["format"] == "F16");
  BOOST_TEST(json["layers"][0]["max_abs_error"].get<double>() == 0x1p-12);
}

BOOST_AUTO_TEST_CASE(changed_tensors) {
  const Files files(3);
  const auto json = run({"compare", files.a, files.b, "--json"}).json();
  BOOST_REQUIRE(json["changed"].size() == 1u);
  BOOST_TEST(json["changed"][0]["name"] == "net.norm");
  BOOST_TEST(json["changed"][0]["error_sum"] == 1);
  BOOST_TEST(json["changed"][0]["signal_sum"] == 5);
  BOOST_TEST(json["equal"] == 0);
  BOOST_TEST(json["total"]["error_sum"].get<double>() == kError);  // layers only
}

BOOST_AUTO_TEST_CASE(other_shapes) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "a.safetensors", {f32("x", {2}, {1, 2})});
  write_checkpoint(folder / "b.safetensors", {f32("x", {1, 2}, {1, 2})});
  const auto json = run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--json"}).json();
  BOOST_REQUIRE(json["incomparable"].size() == 1u);
  BOOST_TEST(json["incomparable"][0]["name"] == "x");
}

BOOST_AUTO_TEST_CASE(minimum) {
  const Files files;
  const double sqnr = 10 * std::log10(kSignal / kError);  // 39.73
  BOOST_TEST(run({"compare", files.a, files.b, "--min-sqnr", std::to_string(sqnr - 0.01)}).code == 0);
  const Outcome below = run({"compare", files.a, files.b, "--min_sqnr", std::to_string(sqnr + 0.01)});
  BOOST_TEST(below.code == 7);
  BOOST_TEST(below.error.find("1 of 1 layer is below") != std::string::npos);
}

// What cannot be compared is not known to be good enough.
BOOST_AUTO_TEST_CASE(minimum_of_nothing) {
  const TemporaryFolder folder;
  write_checkpoint(folder / "a.safetensors", {f32("net.a.weight", {1, 2}, {1, 2})});
  write_checkpoint(folder / "b.safetensors", {f32("net.b.weight", {1, 2}, {1, 2})});
  write_checkpoint(folder / "c.safetensors", {f32("net.a.weight", {2, 1}, {1, 2})});
  for (const char* other : {"b.safetensors", "c.safetensors"}) {
    BOOST_TEST(run({"compare", folder / "a.safetensors", folder / other, "--min-sqnr", "1"}).code == 7);
    BOOST_TEST(run({"compare", folder / "a.safetensors", folder / other}).code == 0);
  }
}

BOOST_AUTO_TEST_CASE(worst_layers_come_first) {
  const TemporaryFolder folder;
  std::vector<TestTensor> a, b;
  for (const auto& [name, code] : {std::pair{"net.good", 64}, {"net.bad", 32}}) {
    a.push_back(f32(std::string(name) + ".weight", {1, 2}, {1, 0}));
    b.push_back(f32(std::string(name) + ".weight_scale", {1, 1}, {0x1p-6f}));
    b.push_back(i8(std::string(name) + ".weight", {1, 2}, {static_cast<int8_t>(code), 0}));
    b.push_back(marker(name, R"({"format": "int8_tensorwise"})"));
  }
  write_checkpoint(folder / "a.safetensors", a);
  write_checkpoint(folder / "b.safetensors", b);
  const std::string out =
      run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--worst", "1"}).out;
  BOOST_TEST(out.find("net.bad") != std::string::npos);
  BOOST_TEST(out.find("net.good") == std::string::npos);
}

// null for sqnr_db says two things; "exact" tells which. 1 against 0.5: 10 log10(1 / 0.25) = 6.0206 dB.
BOOST_AUTO_TEST_CASE(exact_is_not_the_same_as_not_finite) {
  const TemporaryFolder folder;
  std::vector<TestTensor> a, b;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [name, value] : {std::pair{"net.half", 1.0f}, {"net.nan", nan}, {"net.same", 0.5f}}) {
    a.push_back(f32(std::string(name) + ".weight", {1, 2}, {value, 0}));
    b.push_back(f32(std::string(name) + ".weight_scale", {1, 1}, {0x1p-6f}));
    b.push_back(i8(std::string(name) + ".weight", {1, 2}, {32, 0}));
    b.push_back(marker(name, R"({"format": "int8_tensorwise"})"));
  }
  write_checkpoint(folder / "a.safetensors", a);
  write_checkpoint(folder / "b.safetensors", b);
  const auto document = run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--json"}).json();
  const auto& layers = document["layers"];
  BOOST_TEST(std::abs(layers[0]["sqnr_db"].get<double>() - 6.0205999) < 1e-6);
  BOOST_TEST(layers[0]["exact"] == false);
  BOOST_TEST(layers[1]["sqnr_db"].is_null());
  BOOST_TEST(layers[1]["exact"] == false);
  BOOST_TEST(layers[2]["sqnr_db"].is_null());
  BOOST_TEST(layers[2]["exact"] == true);
  BOOST_TEST(document["total"]["sqnr_db"].is_null());
  BOOST_TEST(document["total"]["exact"] == false);
  const std::string out = run({"compare", folder / "a.safetensors", folder / "b.safetensors"}).out;
  BOOST_TEST(out.find("nan dB") == std::string::npos);
  BOOST_TEST(out.find("not finite") < out.find("6.02 dB"));  // the worst comes first
  BOOST_TEST(out.find("6.02 dB") < out.find("exact"));
}

// Bands, lanes and instruction sets do not change a figure.
BOOST_AUTO_TEST_CASE(large_layers_in_bands) {
  const TemporaryFolder folder;
  constexpr uint64_t kRows = 1300, kCols = 2048;  // three bands
  std::vector<float> values(kRows * kCols);
  std::vector<int8_t> codes(values.size());
  double error = 0, signal = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    codes[i] = static_cast<int8_t>(static_cast<int>(i * 31 % 255) - 127);
    values[i] = static_cast<float>(codes[i]) + static_cast<float>(i % 5) * 0.125f;
    error += std::pow(static_cast<double>(i % 5) * 0.125, 2);
    signal += double{values[i]} * double{values[i]};
  }
  write_checkpoint(folder / "a.safetensors", {f32("net.a.weight", {kRows, kCols}, values)});
  write_checkpoint(folder / "b.safetensors",
                   {f32("net.a.weight_scale", {}, {1}), i8("net.a.weight", {kRows, kCols}, codes),
                    marker("net.a", R"({"format": "int8_tensorwise"})")});
  for (const char* lanes : {"1", "3"}) {
    const auto json =
        run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--json", "--lanes", lanes})
            .json();
    BOOST_TEST(json["total"]["error_sum"].get<double>() == error, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(json["total"]["signal_sum"].get<double>() == signal, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(json["total"]["elements"] == kRows * kCols);
  }
}

// Each band finds its own scales: a reference that is code x scale everywhere is met exactly.
BOOST_AUTO_TEST_CASE(scales_of_bands) {
  constexpr uint64_t kRows = 1280, kCols = 2048;  // bands of 512 rows
  const auto power = [](uint64_t n) { return static_cast<float>(1 << n % 5); };
  struct Form {
    const char* marker;
    std::vector<uint64_t> shape;  // of the scale
    uint64_t block_rows, block_cols;
  };
  const std::vector<Form> forms = {
      {R"({"format": "int8_tensorwise"})", {kRows, 1}, 1, kCols},
      {R"({"format": "int8_blockwise", "group_size": 128})", {kRows / 128, kCols / 128}, 128, 128}};
  for (const Form& form : forms) {
    std::vector<float> scale(form.shape[0] * form.shape[1]);
    for (size_t i = 0; i < scale.size(); ++i) scale[i] = power(i * i + i / 7);
    std::vector<float> values(kRows * kCols);
    std::vector<int8_t> codes(values.size());
    for (uint64_t i = 0; i < values.size(); ++i) {
      codes[i] = static_cast<int8_t>(static_cast<int>(i * 31 % 255) - 127);
      const uint64_t cell = i / kCols / form.block_rows * form.shape[1] + i % kCols / form.block_cols;
      values[i] = static_cast<float>(codes[i]) * scale[cell];
    }
    const TemporaryFolder folder;
    write_checkpoint(folder / "a.safetensors", {f32("net.a.weight", {kRows, kCols}, values)});
    write_checkpoint(folder / "b.safetensors",
                     {f32("net.a.weight_scale", form.shape, scale), i8("net.a.weight", {kRows, kCols}, codes),
                      marker("net.a", form.marker)});
    const auto json = run({"compare", folder / "a.safetensors", folder / "b.safetensors", "--json"}).json();
    BOOST_REQUIRE(json["layers"].size() == 1u);
    BOOST_TEST(json["layers"][0]["error_sum"] == 0, form.marker);
    BOOST_TEST(json["layers"][0]["elements"] == kRows * kCols);
  }
}

BOOST_AUTO_TEST_SUITE_END()
