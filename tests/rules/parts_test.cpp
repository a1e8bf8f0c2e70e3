#define BOOST_TEST_DYN_LINK
#include "plan/parts.hpp"

#include "header_file.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::plan {
namespace {

std::vector<std::string> below(const std::string& prefix) {
  std::vector<std::string> names;
  names.reserve(6);
  for (int i = 0; i < 6; ++i) names.push_back(prefix + std::to_string(i) + ".weight");
  return names;
}

std::vector<std::string> together(std::vector<std::string> names, const std::vector<std::string>& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

std::vector<std::string> prefixes(const std::vector<std::string>& names) {
  std::vector<std::string> found;
  for (const Part& part : find_parts(test::checkpoint_with(names)).parts) found.push_back(part.prefix);
  return found;
}

void expect(const std::vector<std::string>& names, const std::vector<std::string>& expected) {
  BOOST_TEST(prefixes(names) == expected, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parts)

BOOST_AUTO_TEST_CASE(one_network_is_one_part_whatever_its_prefix) {
  expect(below("blocks."), {""});
  expect(below("model.diffusion_model."), {""});
  expect(below("text_encoders.t5xxl.transformer."), {""});
}

BOOST_AUTO_TEST_CASE(an_all_in_one_file_has_a_part_for_each_prefix) {
  const auto beside =
      together({"vae.decoder.conv_in.weight"}, {"text_encoders.t5xxl.transformer.shared.weight"});
  expect(together(below("model.diffusion_model."), beside),
         {"model.diffusion_model.", "text_encoders.t5xxl.transformer.", "vae."});
  expect(together(below("net."), beside), {"net.", "text_encoders.t5xxl.transformer.", "vae."});
  expect(together(below("model.layers."), beside), {"model.", "text_encoders.t5xxl.transformer.", "vae."});
  expect(together(below("blocks."), beside), {"", "text_encoders.t5xxl.transformer.", "vae."});
}

BOOST_AUTO_TEST_CASE(prefixes_of_older_files) {
  expect(together(below("model.diffusion_model."),
                  {"cond_stage_model.logit_scale", "conditioner.embedders.0.transformer.a.weight",
                   "conditioner.embedders.1.model.a.weight", "first_stage_model.decoder.conv_in.weight"}),
         {"model.diffusion_model.", "cond_stage_model.", "conditioner.embedders.0.transformer.",
          "conditioner.embedders.1.", "first_stage_model."});
}

BOOST_AUTO_TEST_CASE(a_vae_alone_is_a_vae) {
  const auto source = test::checkpoint_with({"vae.decoder.a.weight"});
  const Parts found = find_parts(source);
  BOOST_TEST((found.parts[found.of[0]].kind == PartKind::vae));
}

BOOST_AUTO_TEST_CASE(tensors_know_their_part) {
  const auto source =
      test::checkpoint_with(together(below("model.diffusion_model."), {"denoiser.sigmas", "vae.a.weight"}));
  const Parts found = find_parts(source);
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    const bool is_vae = source.tensors()[i].info.name.starts_with("vae.");
    BOOST_TEST((found.parts[found.of[i]].kind == (is_vae ? PartKind::vae : PartKind::network)));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::plan
