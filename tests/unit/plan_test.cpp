// Decisions about tensors that need no plugin: what belongs to a quantized layer, how a layer is cut, where
// work is.
#include "checkpoint/layout.hpp"
#include "checkpoint/reader.hpp"
#include "plan/tile_shape.hpp"
#include "run/device.hpp"
#include "run/layer_run.hpp"
#include "run/tile_values.hpp"
#include "run/work.hpp"
#include "stored/quantized_layers.hpp"
#include "temporary_folder.hpp"

#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>

#include <fstream>

namespace {

using namespace octavo;

checkpoint::Checkpoint write_and_open(const std::filesystem::path& path,
                                      const std::map<std::string, std::string>& metadata,
                                      const std::vector<checkpoint::OutputTensor>& tensors) {
  const checkpoint::Layout layout = checkpoint::lay_out(metadata, tensors);
  std::ofstream file(path, std::ios::binary);
  file << layout.header_bytes << std::string(layout.file_bytes - layout.header_bytes.size(), '\0');
  file.close();
  return checkpoint::Checkpoint::open(path);
}

plan::PlannedLayer row_layer(const checkpoint::TensorRef& source, int64_t rows, int64_t cols) {
  plan::PlannedLayer layer;
  layer.source = &source;
  layer.layer.dtype = OCTAVO_BF16;
  layer.layer.rows = layer.grid.rows = rows;
  layer.layer.cols = layer.grid.cols = cols;
  layer.grid.code = OCTAVO_CODE_INTEGER;
  layer.grid.stored_dtype = OCTAVO_I8;
  layer.grid.scale_levels = 1;
  layer.grid.scales[0] = {OCTAVO_PER_ROW, OCTAVO_SCALE_ABSMAX, OCTAVO_F32, 1e-30F, 0, 0};
  layer.grid.row_multiple = 1;
  return layer;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(planning)

BOOST_AUTO_TEST_CASE(base_names) {
  BOOST_TEST(stored::base_name("a.b.weight") == "a.b");
  BOOST_TEST(stored::base_name("lora_A") == "lora_A");
  BOOST_TEST(stored::base_name(".weight") == ".weight");
}

BOOST_AUTO_TEST_CASE(companions_belong_to_their_layer) {
  const test::TemporaryFolder folder;
  const auto source =
      write_and_open(folder.path() / "q.safetensors",
                     {{"_quantization_metadata", R"({"layers": {"named": {"format": "x"}, "gone": 1}})"}},
                     {{"a.weight", OCTAVO_I8, {2, 2}},
                      {"a.weight_scale", OCTAVO_F32, {2, 1}},
                      {"a.bias", OCTAVO_F32, {2}},
                      {"b.weight", OCTAVO_F8_E4M3, {2, 2}},
                      {"b.scale_weight", OCTAVO_F32, {}},
                      {"b.scale_input", OCTAVO_F32, {}},
                      {"named.weight", OCTAVO_I8, {2, 2}},
                      {"plain.weight", OCTAVO_F32, {2, 2}}});
  const auto layers = stored::quantized_layers(source);
  BOOST_TEST(stored::owner_of("a.weight", layers) == "a");
  BOOST_TEST(stored::owner_of("a.weight_scale", layers) == "a");
  BOOST_TEST(stored::owner_of("a.bias", layers) == "");  // a bias is never quantized
  BOOST_TEST(stored::owner_of("b.scale_input", layers) == "b");
  BOOST_TEST(stored::owner_of("named.weight", layers) == "named");
  BOOST_TEST(stored::owner_of("plain.weight", layers) == "");
  const auto kept = stored::kept_quantization_metadata(source, {{"named", ""}});
  BOOST_REQUIRE(kept.size() == 1u);
  BOOST_TEST(kept.at("named") == R"({"format":"x"})");
}

BOOST_AUTO_TEST_CASE(a_tile_holds_whole_multiples_of_rows) {
  // At most floor(4194304 / 6144) = 682, so 15 tiles, and no reason for a low one at the end.
  BOOST_TEST(plan::tile_height(10'000, 6144, 1, false, 4 << 20) == 667);
  BOOST_TEST(plan::tile_height(10'000, 6144, 128, false, 4 << 20) == 640);
  BOOST_TEST(plan::tile_height(683, 6144, 128, false, 4 << 20) == 384);  // 342 up to a multiple
  BOOST_TEST(plan::tile_height(100, 6144, 128, false, 4 << 20) == 100);  // never more than the layer
  BOOST_TEST(plan::tile_height(10, 1 << 30, 1, false, 4 << 20) == 1);    // never less than a row
  BOOST_TEST(plan::tile_height(300, 1 << 30, 128, false, 4 << 20) == 128);
  BOOST_TEST(plan::tile_height(10'000, 6144, 1, true, 4 << 20) == 10'000);
}

BOOST_AUTO_TEST_CASE(parts_of_a_tile_do_not_overlap) {
  const checkpoint::TensorRef source;
  const plan::PlannedLayer layer = row_layer(source, 10, 100);
  const plan::TileOffsets at = plan::tile_offsets(layer, 3);
  BOOST_TEST(at.source_bytes == 600u);
  BOOST_TEST(at.codes == 640u);         // 600 up to a multiple of 64
  BOOST_TEST(at.scales[0] == 960u);     // 640 + 300, up
  BOOST_TEST(at.zero_points == 1024u);  // 960 + 12, up
  BOOST_TEST(at.total == 1024u);        // no zero points
}

// A tile whose views hold their own positions: nothing of it is read.
octavo_tensor view_at(uintptr_t at, uint32_t dtype, int64_t rows, int64_t cols) {
  return octavo::tensor_view(reinterpret_cast<void*>(at), dtype, {rows, cols});
}

BOOST_AUTO_TEST_CASE(bands_of_a_tile_have_whole_scales) {
  octavo_grid grid{};
  grid.row_multiple = 128;
  grid.scale_levels = 1;
  grid.scales[0] = {};
  grid.scales[0].granularity = OCTAVO_PER_BLOCK;
  grid.scales[0].block_rows = grid.scales[0].block_cols = 128;
  octavo_tile tile{};
  tile.grid = &grid;
  tile.row_begin = 256;
  tile.source = view_at(1 << 20, OCTAVO_BF16, 5000, 4096);  // 78 MiB as f32: three bands
  tile.codes = view_at(2 << 20, OCTAVO_I8, 5000, 4096);
  tile.scales[0] = view_at(3 << 20, OCTAVO_F32, 40, 32);
  const std::vector<octavo_tile> bands = run::bands_of(tile);
  BOOST_REQUIRE(bands.size() == 3u);
  const int64_t heights[] = {1792, 1792, 1416}, scale_rows[] = {14, 14, 12};
  int64_t row = 0;
  for (size_t i = 0; i < 3; ++i) {
    BOOST_TEST(bands[i].row_begin == 256 + row);
    BOOST_TEST(bands[i].source.shape[0] == heights[i]);
    BOOST_TEST(bands[i].codes.shape[0] == heights[i]);
    BOOST_TEST(bands[i].scales[0].shape[0] == scale_rows[i]);
    BOOST_TEST(reinterpret_cast<uintptr_t>(bands[i].source.data) == (1u << 20) + row * 4096 * 2);
    BOOST_TEST(reinterpret_cast<uintptr_t>(bands[i].codes.data) == (2u << 20) + row * 4096);
    BOOST_TEST(reinterpret_cast<uintptr_t>(bands[i].scales[0].data) == (3u << 20) + row / 128 * 32 * 4);
    row += heights[i];
  }
  grid.basis = OCTAVO_BASIS_INCOHERENT;
  BOOST_TEST(run::bands_of(tile).size() == 1u);
}

BOOST_AUTO_TEST_CASE(work_follows_the_output) {
  checkpoint::TensorRef copied, first, second;
  copied.info.end = 100;
  plan::Plan plan;
  plan.copies.push_back({&copied, 0});
  plan.layers.push_back(std::make_unique<plan::PlannedLayer>(row_layer(first, 5, 10)));
  plan.layers.push_back(std::make_unique<plan::PlannedLayer>(row_layer(second, 4, 10)));
  plan.layers[0]->outputs = {{OCTAVO_ROLE_SCALES, 2}, {OCTAVO_ROLE_CODES, 1}};
  plan.layers[1]->outputs = {{OCTAVO_ROLE_CODES, 3}};
  plan.layers[1]->grid.scales[0].granularity = OCTAVO_PER_TENSOR;
  // 40 bytes of source are two rows of 20.
  const auto items = run::cut_into_work(plan, {500, 300, 0, 100}, {40, 40});
  std::string order;
  for (const run::WorkItem& item : items) {
    order += item.kind == run::WorkKind::copy ? 'c' : item.kind == run::WorkKind::absmax ? 'a' : 't';
    order +=
        std::to_string(item.index) + ':' + std::to_string(item.begin) + '+' + std::to_string(item.size) + ' ';
  }
  BOOST_TEST(order ==
             "a1:0+2 a1:2+2 t1:0+2 t1:2+2 "  // codes at 100; its absmax first
             "t0:0+2 t0:2+2 t0:4+1 "         // codes at 300
             "c0:0+40 c0:40+40 c0:80+20 ");  // at 500
}

// Layers that wait to be admitted come one after the other, whatever it is that they wait for: in a sharded
// output, whose files take turns, the second would else come between two tiles of the first.
BOOST_AUTO_TEST_CASE(layers_that_are_admitted_come_in_one_go) {
  for (const uint32_t wants :
       {uint32_t{OCTAVO_WANTS_ROWS}, uint32_t{OCTAVO_WANTS_PREPARE}, uint32_t{OCTAVO_WANTS_INPUTS}}) {
    checkpoint::TensorRef first, second;
    plan::Plan plan;
    for (const auto* source : {&first, &second}) {
      plan.layers.push_back(std::make_unique<plan::PlannedLayer>(row_layer(*source, 4, 10)));
      plan.layers.back()->wants = wants;
    }
    plan.layers[0]->outputs = {{OCTAVO_ROLE_CODES, 0}};
    plan.layers[1]->outputs = {{OCTAVO_ROLE_CODES, 1}};
    std::string order;
    for (const run::WorkItem& item : run::cut_into_work(plan, {0, 10}, {40, 40}))
      order += std::to_string(item.index);
    BOOST_TEST(order == (wants == OCTAVO_WANTS_ROWS ? "0101" : "0011"));
  }
}

BOOST_AUTO_TEST_CASE(results_are_summed_over_tiles) {
  const checkpoint::TensorRef source;
  const plan::PlannedLayer layer = row_layer(source, 4, 10);
  run::LayerRun run(layer, 2);
  octavo_tile_result a{}, b{};
  a.error_sum = 1;
  a.signal_sum = 60;
  a.max_error = 0.5F;
  b.error_sum = 1;
  b.signal_sum = 140;
  b.max_error = 0.25F;
  b.rows_sent_back = 3;
  BOOST_TEST(!run.store(1, b));
  BOOST_TEST(run.store(0, a));  // the last one
  const run::LayerResult result = run.result();
  BOOST_TEST(result.sqnr_db() == 20.0);  // 10 log10(200 / 2)
  BOOST_TEST(result.max_error == 0.5F);
  BOOST_TEST(result.rows_sent_back == 3);
}

BOOST_AUTO_TEST_CASE(the_largest_absmax_waits_for_all_pieces) {
  const checkpoint::TensorRef source;
  plan::PlannedLayer layer = row_layer(source, 4, 10);
  layer.grid.scales[0].granularity = OCTAVO_PER_TENSOR;
  run::LayerRun run(layer, 2);
  octavo_absmax_result piece{};
  piece.absmax = 3;
  run.add_absmax(piece);
  float absmax = 0;
  BOOST_TEST(!run.has_absmax(absmax));  // one piece is missing
  piece.absmax = 2;
  run.add_absmax(piece);
  BOOST_TEST(run.has_absmax(absmax));
  BOOST_TEST(absmax == 3.0F);
}

BOOST_AUTO_TEST_CASE(devices) {
  const run::DeviceRequest two = run::parse_device("cuda:0,2");
  BOOST_TEST(two.backend == "cuda");
  BOOST_TEST(two.devices == std::vector<int32_t>({0, 2}), boost::test_tools::per_element());
  BOOST_TEST(run::parse_device("auto").devices.empty());
  for (const char* wrong : {"", ":0", "cuda:", "cuda:a", "cuda:0,", "cuda:-1", "cuda:0 1", "cuda:1,0,1"}) {
    BOOST_CHECK_EXCEPTION(run::parse_device(wrong), Error,
                          [](const Error& error) { return error.code() == ErrorCode::usage; });
  }
}

BOOST_AUTO_TEST_SUITE_END()
