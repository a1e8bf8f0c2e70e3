#define BOOST_TEST_DYN_LINK
#include "fake_header.hpp"

#include <octavo/model_patterns.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace octavo;

namespace {

constexpr NamePattern kPatterns[] = {
    high_precision("final_layer", "the output"),
    keep("norm", "a norm"),
    leave_out("decoder", "not used"),
    high_precision("attn_norm", "never reached: the first pattern counts"),
};
constexpr SignatureKey kSignature[] = {{"in.weight", 1, 64, 16}, {"blocks.{}.attn.weight", 9}};
constexpr std::string_view kAbsent[] = {"guidance.weight"};
constexpr FilterData kData{kPatterns, kSignature, kAbsent};

// The signature's file, with `blocks` blocks.
std::vector<test::FakeTensor> file(int blocks, std::int64_t rows = 64) {
  std::vector<test::FakeTensor> tensors{{"net.in.weight", OCTAVO_F32, {rows, 16}}};
  for (int i = 0; i < blocks; ++i)
    tensors.push_back(
        {std::string("net.blocks.") + std::to_string(i) + ".attn.weight", OCTAVO_F32, {64, 64}});
  return tensors;
}

Detection detect(const std::vector<test::FakeTensor>& tensors) {
  const test::FakeHeader header(tensors);
  return detect_by(kData, {HeaderView(header.raw()), "net.", 9});
}

Classification classify(std::string_view name, const std::vector<std::int64_t>& shape) {
  return classify_by(kData, {0, name, OCTAVO_F32, shape});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_patterns)

BOOST_AUTO_TEST_CASE(signature_keys_are_counted) {
  const Detection all = detect(file(9));
  BOOST_TEST(all.score == 910u);
  BOOST_TEST(all.reason == "10 of 10 signature keys");
  const Detection most = detect(file(8));
  BOOST_TEST(most.score == 450u);
  BOOST_TEST(most.reason == "9 of 10 signature keys");
  BOOST_TEST(detect(file(7)).score == 0u);
}

BOOST_AUTO_TEST_CASE(shapes_and_absent_keys_count) {
  BOOST_TEST(detect(file(9, 128)).score == 450u);
  std::vector<test::FakeTensor> other = file(9);
  other.push_back({"net.guidance.weight", OCTAVO_F32, {8, 8}});
  BOOST_TEST(detect(other).score == 0u);
}

BOOST_AUTO_TEST_CASE(a_filter_without_signature_is_asked_for_by_name) {
  const test::FakeHeader header(file(9));
  BOOST_TEST(detect_by({kPatterns}, {HeaderView(header.raw()), "net.", 9}).score == 0u);
}

BOOST_AUTO_TEST_CASE(patterns_are_substrings_in_order) {
  BOOST_TEST(classify("blocks.0.attn.weight", {64, 64}).decision == OCTAVO_DECISION_QUANTIZE);
  BOOST_TEST(classify("final_layer.weight", {64, 64}).decision == OCTAVO_DECISION_HIGH_PRECISION);
  BOOST_TEST(classify("final_layer.weight", {64, 64}).rule == "final_layer");
  BOOST_TEST(classify("norm_out.linear.weight", {64, 64}).decision == OCTAVO_DECISION_KEEP);
  BOOST_TEST(classify("attn_norm.weight", {64, 64}).rule == "norm");
  BOOST_TEST(classify("Norm.weight", {64, 64}).decision == OCTAVO_DECISION_QUANTIZE);
}

BOOST_AUTO_TEST_CASE(leaving_out_comes_first_and_takes_any_rank) {
  BOOST_TEST(classify("decoder.final_layer.weight", {64, 64}).decision == OCTAVO_DECISION_REMOVE);
  BOOST_TEST(classify("decoder.norm.bias", {64}).decision == OCTAVO_DECISION_REMOVE);
  BOOST_TEST(classify("final_layer.bias", {64}).rule == "rank");
}

BOOST_AUTO_TEST_SUITE_END()
