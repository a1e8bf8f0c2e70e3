// Every architecture is recognised by its own filter and by no other; files of other networks by none.
#define BOOST_TEST_DYN_LINK
#include "architectures.hpp"
#include "filter.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <memory>
#include <ostream>
#include <set>

namespace octavo::test {
namespace {

// Filters that `--model auto` asks, without the fallback.
const std::vector<std::unique_ptr<Filter>>& auto_filters() {
  static const auto filters = [] {
    std::vector<std::unique_ptr<Filter>> found;
    for (const std::string& id : filter_ids()) {
      auto filter = std::make_unique<Filter>(library_of(id));
      if (filter->takes_part_in_auto()) found.push_back(std::move(filter));
    }
    return found;
  }();
  return filters;
}

// Ids of the filters that recognise the header, "a b"; "" none.
std::string recognised_by(const std::vector<Tensor>& tensors, const std::string& part_prefix = "") {
  const Header header(tensors);
  std::string ids;
  for (const auto& filter : auto_filters()) {
    if (filter->detect(header, part_prefix).score == 0) continue;
    if (!ids.empty()) ids.append(" ");
    ids.append(filter->id());
  }
  return ids;
}

Detected detect(const std::string& filter, const std::vector<Tensor>& tensors) {
  return Filter(library_of(filter)).detect(Header(tensors));
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Architecture& architecture) {
  return out << architecture.name;
}

BOOST_AUTO_TEST_SUITE(detection)

BOOST_DATA_TEST_CASE(by_its_own_filter_alone, all_architectures(), subject) {
  BOOST_TEST(recognised_by(subject.tensors) == subject.filter);
}

BOOST_DATA_TEST_CASE(below_the_usual_prefixes, image_networks(), subject) {
  if (subject.name == "Anima") return;  // published with a prefix
  for (const char* prefix : {"model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "model."})
    BOOST_TEST(recognised_by(with_prefix(prefix, subject.tensors)) == subject.filter);
}

BOOST_DATA_TEST_CASE(below_the_prefix_that_the_host_names, video_networks(), subject) {
  if (subject.name == "LTX-2") return;  // published with a prefix
  const std::vector<Tensor> wrapped = with_prefix("part.of.this.", subject.tensors);
  BOOST_TEST(recognised_by(wrapped, "part.of.this.") == subject.filter);
  BOOST_TEST(recognised_by(wrapped, "elsewhere.") == "");
}

BOOST_AUTO_TEST_CASE(beside_the_other_parts_of_an_all_in_one_file) {
  const auto file = together(with_prefix("model.diffusion_model.", architecture("Chroma")),
                             with_prefix("text_encoders.t5xxl.transformer.", architecture("T5-XXL")));
  BOOST_TEST(recognised_by(file) == "distillation_large");
}

BOOST_AUTO_TEST_CASE(one_filter_for_each_architecture) {
  std::set<std::string> ids;
  for (const auto& filter : auto_filters()) ids.insert(filter->id());
  for (const char* variant : {"distillation_small", "zimage_refiner", "nerf_small", "radiance", "generic"})
    BOOST_TEST(ids.count(variant) == 0u);
  for (const Architecture& architecture : all_architectures()) ids.erase(architecture.filter);
  BOOST_TEST(ids.empty(), "no header here is for " << *ids.begin());
}

BOOST_AUTO_TEST_CASE(the_reason_counts_the_keys) {
  // 6 keys of the ends, 8 and 24 blocks
  BOOST_TEST(detect("flux2", architecture("FLUX.2 klein")).reason == "38 of 38 signature keys");
  BOOST_TEST(detect("flux2", architecture("FLUX.2 klein")).score == 938u);
  // 6 and 8 and 48
  BOOST_TEST(detect("flux2", architecture("FLUX.2 dev")).reason == "62 of 62 signature keys");
  BOOST_TEST(detect("lora", architecture("LoRA of FLUX.1, kohya names")).reason ==
             "57 of 57 tensors belong to low-rank pairs");
}

BOOST_AUTO_TEST_CASE(a_few_missing_keys_lower_the_score) {
  // Wan: 5 keys of the ends and 3 of each of 40 blocks.
  auto tensors = without("blocks.17.ffn.0.weight", architecture("Wan 2.1 T2V"));
  const Detected most = detect("wan", tensors);
  BOOST_TEST(most.reason == "124 of 125 signature keys");
  BOOST_TEST(most.score == 496u);  // 500 * 124 / 125
}

BOOST_AUTO_TEST_CASE(too_many_missing_keys_are_another_network) {
  auto tensors = architecture("Wan 2.1 T2V");
  for (int block = 0; block < 13; ++block) {
    std::string key = "blocks.";
    tensors = without(key.append(std::to_string(block)).append(".ffn.0.weight"), tensors);
  }
  BOOST_TEST(detect("wan", tensors).reason == "112 of 125 signature keys");
  BOOST_TEST(detect("wan", tensors).score == 0u);
}

BOOST_AUTO_TEST_CASE(without_a_required_key_it_is_another_network) {
  const Detected detection = detect("wan", without("head.modulation", architecture("Wan 2.1 T2V")));
  BOOST_TEST(detection.reason == "124 of 125 signature keys");
  BOOST_TEST(detection.score == 0u);
}

BOOST_AUTO_TEST_CASE(a_lora_is_recognised_by_nine_tensors_of_ten) {
  const auto pairs = tensors_of("a.{9}.lora_A.weight 16x64");
  BOOST_TEST(detect("lora", together(pairs, tensors_of("b.weight 64x64"))).score == 900u);
  BOOST_TEST(detect("lora", together(pairs, tensors_of("b.{2}.weight 64x64"))).score == 0u);
  BOOST_TEST(detect("lora", tensors_of("a.{9}.alpha -")).score == 0u);
}

BOOST_AUTO_TEST_CASE(variants_are_asked_for_by_name) {
  for (const char* variant : {"distillation_small", "zimage_refiner", "nerf_small", "radiance"}) {
    for (const char* name : {"Chroma", "Chroma Radiance", "Z-Image"})
      BOOST_TEST(detect(variant, architecture(name)).score == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_layout_that_would_not_load_is_recognised_and_refused) {
  const auto flux2 = tensors_of(R"(
    double_stream_modulation_img.linear.weight 36864x6144
    transformer_blocks.{8}.attn.to_q.weight 6144x6144
    single_transformer_blocks.{48}.attn.to_qkv_mlp_proj.weight 55296x6144)");
  const auto zimage = tensors_of(R"(
    all_x_embedder.2-1.weight 3840x64
    layers.{30}.attention.to_q.weight 3840x3840)");
  for (const auto& [id, tensors] : {std::pair{"flux2", flux2}, std::pair{"zimage", zimage}}) {
    for (const char* prefix : {"", "transformer."}) {
      const Header header(with_prefix(prefix, tensors));
      const Filter filter(library_of(id));
      BOOST_TEST(filter.detect(header).score == 900u);
      const Verdict verdict = filter.classify(header, 0);
      BOOST_TEST(name(verdict.decision) == "refuse");
      BOOST_TEST(verdict.reason.find("diffusers layout") != std::string::npos);
    }
    BOOST_TEST(recognised_by(tensors) == id);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
