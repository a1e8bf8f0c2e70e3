// The published compatibility of layouts, layer by layer: what each program does with each form.
#define BOOST_TEST_DYN_LINK
#define BOOST_TEST_MODULE consumers
#include "consumers/consumers.hpp"

#include <boost/test/unit_test.hpp>

#include <map>
#include <string>
#include <vector>

using namespace octavo::cli;

namespace {

constexpr const char* kCpp = "stable-diffusion.cpp";
constexpr const char* kFast = "ComfyUI-INT8-Fast";
constexpr const char* kQuantOps = "ComfyUI-QuantOps";

LayerForm layer(const std::string& format, const std::vector<uint64_t>& scale) {
  LayerForm form;
  form.name = "blocks.0.qkv";
  form.marker = MarkerForm{.format = format};
  form.weight_shape = {640, 512};
  form.scale = ScaleForm{OCTAVO_F32, scale};
  return form;
}

LayerForm rotated(int64_t group) {
  LayerForm form = layer("int8_tensorwise", {640, 1});
  form.marker->convrot = true;
  form.marker->convrot_group = group;
  return form;
}

StoredFile file_of(const LayerForm& form) {
  StoredFile file;
  file.layers = {form};
  file.tensors = {{form.name + ".weight", form.weight_dtype, form.weight_shape.size()},
                  {form.name + ".weight_scale", OCTAVO_F32, 2},
                  {form.name + ".comfy_quant", OCTAVO_U8, 1}};
  return file;
}

std::map<std::string, Consumer> verdicts(const StoredFile& file) {
  std::map<std::string, Consumer> by_name;
  for (const Consumer& consumer : consumers_of(file)) by_name[consumer.name] = consumer;
  return by_name;
}

// Expected: Y yes, D dequantized, X no; in the order of kColumns.
constexpr const char* kColumns[] = {"ComfyUI", "comfy-kitchen", "Forge Neo", kCpp,
                                    kFast,     kQuantOps,       "InvokeAI",  "diffusers"};

void check_row(const char* what, const StoredFile& file, const std::string& expected) {
  const std::map<std::string, Consumer> made = verdicts(file);
  std::string row;
  for (const char* column : kColumns) {
    const Loads loads = made.at(column).loads;
    row += loads == Loads::yes ? 'Y' : loads == Loads::dequantized ? 'D' : 'X';
  }
  BOOST_TEST_CONTEXT(what) { BOOST_TEST(row == expected); }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(consumers)

BOOST_AUTO_TEST_CASE(formats_of_the_compatibility_table) {
  check_row("scalar", file_of(layer("int8_tensorwise", {})), "YYYYYYDX");
  check_row("rows", file_of(layer("int8_tensorwise", {640, 1})), "YYYYYYDX");
  check_row("convrot", file_of(rotated(256)), "YYYYYXXX");
  check_row("blockwise", file_of(layer("int8_blockwise", {5, 4})), "XXXXXYDX");
  check_row("axiswise", file_of(layer("int8_axiswise", {640})), "XXXXXXXX");
  LayerForm fp8 = layer("float8_e4m3fn", {});
  fp8.weight_dtype = OCTAVO_F8_E4M3;
  check_row("fp8", file_of(fp8), "YYYYXYDX");
  LayerForm awq = layer("awq_w4a16", {8, 640});
  check_row("awq", file_of(awq), "YYXXXXXX");
  check_row("svdquant", file_of(layer("svdquant_w4a4", {8, 640})), "XYXXXXXX");
  check_row("floats", {{}, {{"a.weight", OCTAVO_BF16, 2}}}, "YYYYYYYY");
}

BOOST_AUTO_TEST_CASE(scale_shapes) {
  check_row("one", file_of(layer("int8_tensorwise", {1})), "YYYYYYDX");
  check_row("one by one", file_of(layer("int8_tensorwise", {1, 1})), "XXXYYYDX");
  check_row("vector", file_of(layer("int8_tensorwise", {640})), "XXXYXXXX");
  check_row("other count", file_of(layer("int8_tensorwise", {64, 10, 2})), "XXXXXXXX");
  LayerForm one_row = layer("int8_tensorwise", {1, 1});
  one_row.weight_shape = {1, 512};
  check_row("one row", file_of(one_row), "YYYYYYDX");
  LayerForm half = layer("int8_tensorwise", {640, 1});
  half.scale->dtype = OCTAVO_F16;
  BOOST_TEST(verdicts(file_of(half))["ComfyUI"].reason ==
             "'blocks.0.qkv': slowly: its CUDA kernels want F32 scales, not F16");
}

BOOST_AUTO_TEST_CASE(versions) {
  const auto plain = verdicts(file_of(layer("int8_tensorwise", {640, 1})));
  BOOST_TEST(plain.at("ComfyUI").minimum_version == "0.27.0");
  BOOST_TEST(plain.at(kCpp).minimum_version == "2026-08");
  BOOST_TEST(plain.at(kFast).minimum_version == "2026-04");
  BOOST_TEST(plain.at("diffusers").minimum_version.empty());
  BOOST_TEST(verdicts(file_of(layer("int8_tensorwise", {}))).at(kCpp).minimum_version ==
             "newer than 2026-08");
  BOOST_TEST(verdicts(file_of(rotated(256))).at(kFast).minimum_version == "newer than 2026-04");
  BOOST_TEST(verdicts({}).at("ComfyUI").minimum_version.empty());
}

BOOST_AUTO_TEST_CASE(rotations) {
  BOOST_TEST(verdicts(file_of(rotated(256))).at("InvokeAI").reason ==
             "'blocks.0.qkv': it drops the rotation: silent garbage");
  check_row("group of 64", file_of(rotated(64)), "YYYYYXXX");
  BOOST_TEST(verdicts(file_of(rotated(64))).at(kCpp).reason ==
             "'blocks.0.qkv': ConvRot groups of 64 run on the CPU");
  check_row("group not said", file_of(rotated(0)), "YYYXYXXX");
  check_row("no power of 4", file_of(rotated(128)), "XXXXYXXX");
  check_row("does not divide", file_of(rotated(1024)), "XXXXYXXX");
}

BOOST_AUTO_TEST_CASE(markers) {
  LayerForm none = layer("", {640, 1});
  none.marker.reset();
  check_row("no marker", file_of(none), "XXXXYXDX");
  LayerForm broken = layer("", {640, 1});
  broken.marker->readable = false;
  check_row("not JSON", file_of(broken), "XXXXXXXX");
  check_row("no format", file_of(layer("", {640, 1})), "XXXXYXXX");
  LayerForm in_header = none;
  in_header.metadata = MarkerForm{.format = "int8_tensorwise"};
  check_row("metadata alone", file_of(in_header), "YYYXYYDX");
  in_header.metadata->convrot = true;
  in_header.metadata->convrot_group = 256;
  check_row("rotation in the metadata alone", file_of(in_header), "YYYXXXXX");
  LayerForm full = layer("int8_tensorwise", {640, 1});
  full.marker->full_precision = true;
  BOOST_TEST((verdicts(file_of(full)).at("ComfyUI").loads == Loads::dequantized));
}

BOOST_AUTO_TEST_CASE(missing_parts) {
  LayerForm no_scale = layer("int8_tensorwise", {});
  no_scale.scale.reset();
  check_row("scale", file_of(no_scale), "XXXXXXXX");
  LayerForm floats = layer("int8_tensorwise", {640, 1});
  floats.weight_dtype = OCTAVO_BF16;
  check_row("codes", file_of(floats), "XXXXXXXX");
}

BOOST_AUTO_TEST_CASE(containers) {
  StoredFile exponents{{}, {{"a.scale", OCTAVO_F8_E8M0, 2}}};
  check_row("E8M0", exponents, "XYXXYYYY");
  BOOST_TEST(verdicts(exponents).at("ComfyUI").reason == "'a.scale': its reader does not know F8_E8M0");
  check_row("BOOL", {{}, {{"mask", OCTAVO_BOOL, 1}}}, "YYYXYYYY");
  check_row("six dimensions", {{}, {{"a", OCTAVO_F32, 6}}}, "YYYXYYYY");
  StoredFile shards = file_of(layer("int8_tensorwise", {640, 1}));
  shards.files = 3;
  check_row("shards", shards, "XYXYXXDX");
  StoredFile metadata = file_of(layer("int8_tensorwise", {640, 1}));
  metadata.metadata_readable = false;
  check_row("metadata", metadata, "XXXYYYDX");
}

BOOST_AUTO_TEST_CASE(names) {
  LayerForm table = layer("int8_tensorwise", {640, 1});
  table.name = "model.embed_tokens";
  BOOST_TEST((verdicts(file_of(table)).at(kCpp).loads == Loads::no));
  LayerForm diffusers = layer("int8_tensorwise", {640, 1});
  diffusers.name = "single_transformer_blocks.0.attn.to_q";
  check_row("diffusers keys", file_of(diffusers), "XYXYYYDX");
  LayerForm unet = layer("int8_tensorwise", {640, 1});
  unet.name = "model.diffusion_model.input_blocks.4.1.proj_in";
  BOOST_TEST((verdicts(file_of(unet)).at("InvokeAI").loads == Loads::no));
}

// A quantized layer of a network whose other keys are `others`.
StoredFile network(const std::string& name, const std::vector<std::string>& others) {
  LayerForm form = layer("int8_tensorwise", {640, 1});
  form.name = name;
  StoredFile file = file_of(form);
  for (const std::string& other : others) file.tensors.push_back({other, OCTAVO_BF16, 1});
  return file;
}

BOOST_AUTO_TEST_CASE(renamed_networks) {
  const std::string renamed = "XYXYYYDX", as_it_is = "YYYYYYDX";
  check_row("Flux", network("single_transformer_blocks.0.attn.to_q", {}), renamed);
  check_row("AuraFlow", network("joint_transformer_blocks.0.attn.to_q", {}), renamed);
  check_row("SD3",
            network("transformer_blocks.11.attn.add_q_proj",
                    {"transformer_blocks.11.norm1_context.linear.bias", "pos_embed.proj.weight"}),
            renamed);
  check_row("PixArt",
            network("transformer_blocks.0.attn1.to_q",
                    {"adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias"}),
            renamed);
  check_row("Z-Image", network("layers.7.attention.to_q", {"all_x_embedder.2-1.weight"}), renamed);
  check_row("UNet",
            network("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
                    {"down_blocks.0.resnets.0.conv1.weight", "mid_block.resnets.0.conv1.weight"}),
            renamed);
  check_row("behind a prefix",
            network("model.diffusion_model.layers.7.attention.to_q",
                    {"model.diffusion_model.all_x_embedder.2-1.weight"}),
            renamed);
  BOOST_TEST(
      verdicts(network("layers.7.attention.to_q", {"all_x_embedder.2-1.weight"})).at("ComfyUI").reason ==
      "'layers.7.attention.to_q': Z-Image keys in diffusers' layout are renamed without their scales and "
      "markers");
  // Native layouts with names like these.
  check_row("Qwen-Image",
            network("transformer_blocks.0.attn.add_q_proj",
                    {"transformer_blocks.0.img_mod.1.weight", "transformer_blocks.0.attn.to_q.weight",
                     "img_in.weight", "txt_norm.weight"}),
            as_it_is);
  check_row("LTX",
            network("transformer_blocks.0.attn1.to_q",
                    {"adaln_single.emb.timestep_embedder.linear_1.bias", "patchify_proj.weight"}),
            as_it_is);
  check_row("Z-Image, native", network("layers.7.attention.qkv", {"x_embedder.weight"}), as_it_is);
  check_row("a decoder of images beside it",
            network("blocks.0.qkv", {"vae.encoder.down_blocks.0.resnets.0.conv1.weight"}), as_it_is);
}

BOOST_AUTO_TEST_CASE(floats_of_a_renamed_network_load) {
  StoredFile floats = network("layers.7.attention.to_q", {"all_x_embedder.2-1.weight"});
  floats.layers.clear();
  BOOST_TEST((verdicts(floats).at("ComfyUI").loads == Loads::yes));
  BOOST_TEST(loading_warnings(floats).empty());
}

// Which other part of the file has the keys does not matter to a layer.
BOOST_AUTO_TEST_CASE(only_the_network_is_renamed) {
  StoredFile file = network("text_encoder.blocks.0.qkv",
                            {"net.layers.7.attention.to_q.weight", "net.all_x_embedder.2-1.weight"});
  check_row("an encoder beside it", file, "YYYYYYDX");
  file.layers.front().name = "net.layers.7.feed_forward.w1";
  check_row("in it", file, "XYXYYYDX");
}

BOOST_AUTO_TEST_CASE(warnings_of_a_converter) {
  BOOST_TEST(loading_warnings(file_of(rotated(256))).empty());
  BOOST_TEST(loading_warnings(file_of(layer("int8_tensorwise", {}))).empty());
  const auto block = loading_warnings(file_of(layer("int8_blockwise", {5, 4})));
  BOOST_REQUIRE(block.size() == 1);
  BOOST_TEST(
      block[0] ==
      "ComfyUI does not load the output: 'blocks.0.qkv': it does not know the format 'int8_blockwise'");
  BOOST_TEST(loading_warnings(file_of(layer("int8_axiswise", {640}))).size() == 1);
  const auto mask = loading_warnings({{}, {{"mask", OCTAVO_BOOL, 1}, {"steps", OCTAVO_BOOL, 1}}});
  BOOST_REQUIRE(mask.size() == 1);
  BOOST_TEST(
      mask[0] ==
      "stable-diffusion.cpp does not load the output: 'mask' and 1 more: its reader does not know BOOL");
  BOOST_TEST(loading_warnings({{}, {{"a.scale", OCTAVO_F8_E8M0, 2}}}).size() == 2);
}

BOOST_AUTO_TEST_CASE(the_worst_layer_decides_and_is_counted) {
  StoredFile file = file_of(layer("int8_tensorwise", {640, 1}));
  for (int i = 0; i < 3; ++i) {
    file.layers.push_back(rotated(256));
    file.layers.back().name = std::string("rotated.") + std::to_string(i);
  }
  const auto made = verdicts(file);
  BOOST_TEST(made.at("ComfyUI").reason == "all 4 quantized layers");
  BOOST_TEST(made.at("InvokeAI").reason == "'rotated.0' and 2 more: it drops the rotation: silent garbage");
  BOOST_TEST(made.at("InvokeAI").minimum_version.empty());
}

BOOST_AUTO_TEST_SUITE_END()
