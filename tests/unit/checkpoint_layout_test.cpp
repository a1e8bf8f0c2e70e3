#include "checkpoint/header.hpp"
#include "checkpoint/layout.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

namespace octavo::checkpoint {
namespace {

using test::ErrorWith;

BOOST_AUTO_TEST_SUITE(checkpoint_layout)

// Written by hand from the rules of the reference writer: 8 length bytes, metadata, tensors by dtype (wide
// first) and name, spaces up to a multiple of 8.
BOOST_AUTO_TEST_CASE(header_bytes_are_those_of_the_reference_writer) {
  const Layout layout = lay_out({{"format", "pt"}, {"about", "x"}}, {{"w.comfy_quant", OCTAVO_U8, {29}},
                                                                     {"w", OCTAVO_I8, {2, 3}},
                                                                     {"b", OCTAVO_F32, {2}},
                                                                     {"a", OCTAVO_F32, {}},
                                                                     {"n", OCTAVO_BF16, {0, 4}},
                                                                     {"h", OCTAVO_F16, {1}}});
  const std::string json = R"({"__metadata__":{"about":"x","format":"pt"},)"
                           R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                           R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
                           R"("n":{"dtype":"BF16","shape":[0,4],"data_offsets":[12,12]},)"
                           R"("h":{"dtype":"F16","shape":[1],"data_offsets":[12,14]},)"
                           R"("w":{"dtype":"I8","shape":[2,3],"data_offsets":[14,20]},)"
                           R"("w.comfy_quant":{"dtype":"U8","shape":[29],"data_offsets":[20,49]}})";
  BOOST_REQUIRE(json.size() == 386U);  // so 6 spaces follow, and 392 = 0x188
  BOOST_TEST(layout.header_bytes == std::string("\x88\x01\0\0\0\0\0\0", 8) + json + "      ");
  BOOST_TEST(layout.file_bytes == 8U + 392U + 49U);
  BOOST_REQUIRE(layout.tensors.size() == 6U);
  BOOST_TEST(layout.tensors[4].tensor.name == "w");
  BOOST_TEST(layout.tensors[4].index == 1U);
  BOOST_TEST(layout.tensors[4].offset == 400U + 14U);
  BOOST_TEST(layout.tensors[4].bytes == 6U);
  BOOST_TEST(layout.find("w.comfy_quant")->offset == 400U + 20U);
  BOOST_TEST(layout.find("a")->offset == 400U);
  BOOST_TEST(layout.find("c") == nullptr);
}

BOOST_AUTO_TEST_CASE(no_metadata_no_entry_and_no_tensors_no_data) {
  const Layout layout = lay_out({}, {});
  BOOST_TEST(layout.header_bytes == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  BOOST_TEST(layout.file_bytes == 16U);
}

// serde_json: short escapes where JSON has them, \u00xx in lower case for other controls, all else as it is.
BOOST_AUTO_TEST_CASE(text_is_escaped_as_serde_json_does) {
  BOOST_TEST(json_text("a/b\"c\\d") == R"("a/b\"c\\d")");
  BOOST_TEST(json_text("\b\f\n\r\t") == R"("\b\f\n\r\t")");
  BOOST_TEST(json_text(std::string("\0\x1b\x1f", 3)) == R"("\u0000\u001b\u001f")");
  BOOST_TEST(json_text("\x7f größe 層 \xf0\x9f\x98\x80") == "\"\x7f größe 層 \xf0\x9f\x98\x80\"");
  BOOST_CHECK_EXCEPTION(json_text("\xff"), Error, (ErrorWith{ErrorCode::bad_input, "UTF-8"}));
}

BOOST_AUTO_TEST_CASE(every_dtype_has_its_place_in_the_order) {
  std::vector<OutputTensor> tensors;
  tensors.reserve(OCTAVO_DTYPE_COUNT);
  for (int i = 0; i < OCTAVO_DTYPE_COUNT; ++i)
    tensors.push_back({fmt::format("t{}", i % 7), static_cast<octavo_dtype>(i), {8}});
  for (size_t i = 0; i < tensors.size(); ++i) tensors[i].name += fmt::format(".{}", i);
  const Layout layout = lay_out({}, tensors);
  for (size_t i = 0; i < layout.tensors.size(); ++i)
    BOOST_TEST(static_cast<size_t>(layout.tensors[i].tensor.dtype) == layout.tensors.size() - 1 - i);
}

BOOST_AUTO_TEST_CASE(what_the_writer_lays_out_the_strict_reader_reads) {
  const Layout layout = lay_out({{"k", "\x1b\"\\ é"}},
                                {{"x\n", OCTAVO_F64, {3}}, {"", OCTAVO_F4, {2}}, {"z", OCTAVO_BOOL, {7}}});
  const Header header =
      parse_header(layout.header_bytes.substr(8), layout.file_bytes - layout.header_bytes.size(), "f");
  BOOST_TEST(header.metadata.at("k") == "\x1b\"\\ é");
  for (const PlacedTensor& placed : layout.tensors) {
    const TensorInfo* const info = header.find(placed.tensor.name);
    BOOST_REQUIRE(info != nullptr);
    BOOST_TEST(info->begin + header.data_start == placed.offset);
    BOOST_TEST(info->bytes() == placed.bytes);
  }
}

BOOST_AUTO_TEST_CASE(data_can_be_made_to_begin_where_another_files_does) {
  for (const uint64_t start : {uint64_t{8}, uint64_t{104}, uint64_t{4096}, uint64_t{123456}}) {
    Layout layout = lay_out({{"k", "v"}}, {{"x", OCTAVO_F32, {3}}, {"y", OCTAVO_U8, {5}}});
    const Layout before = layout;
    align_data(layout, start, 4096);
    const uint64_t more = layout.header_bytes.size() - before.header_bytes.size();
    BOOST_TEST(more < 4096u);
    BOOST_TEST(layout.header_bytes.size() % 4096 == start % 4096);
    BOOST_TEST(layout.file_bytes == before.file_bytes + more);
    const Header header =
        parse_header(layout.header_bytes.substr(8), layout.file_bytes - layout.header_bytes.size(), "f");
    BOOST_TEST(layout.header_bytes.substr(0, 8) == test::length_bytes(layout.header_bytes.size() - 8));
    BOOST_TEST(header.find("y")->begin + header.data_start == layout.find("y")->offset);
  }
}

BOOST_AUTO_TEST_CASE(what_no_reader_would_take_is_refused) {
  BOOST_CHECK_NO_THROW(lay_out({}, {{std::string(4096, 'n'), OCTAVO_U8, {1}}}));
  BOOST_CHECK_EXCEPTION(lay_out({}, {{std::string(4097, 'n'), OCTAVO_U8, {1}}}), Error,
                        (ErrorWith{ErrorCode::unsupported, "the name has 4097 bytes, the limit is 4096"}));
  BOOST_CHECK_EXCEPTION(lay_out({}, {{"a", OCTAVO_U8, {1}}, {"a", OCTAVO_F32, {1}}}), Error,
                        (ErrorWith{ErrorCode::bad_input, "\"a\": would be there twice"}));
  BOOST_CHECK_EXCEPTION(lay_out({}, {{"__metadata__", OCTAVO_U8, {1}}}), Error,
                        (ErrorWith{ErrorCode::bad_input, "reserved"}));
  BOOST_CHECK_EXCEPTION(lay_out({}, {{"a\xff", OCTAVO_U8, {1}}}), Error,
                        (ErrorWith{ErrorCode::bad_input, "UTF-8"}));
  BOOST_CHECK_EXCEPTION(lay_out({}, {{"a", OCTAVO_F4, {3}}}), Error,
                        (ErrorWith{ErrorCode::unsupported, "F4 [3]"}));
  BOOST_CHECK_EXCEPTION(lay_out({}, {{"a", OCTAVO_U8, {1ULL << 60}}, {"b", OCTAVO_U8, {15ULL << 60}}}), Error,
                        (ErrorWith{ErrorCode::unsupported, ""}));
  std::string large;
  large.resize(100'000'001, 'v');
  BOOST_CHECK_EXCEPTION(lay_out({{"k", large}}, {}), Error,
                        (ErrorWith{ErrorCode::unsupported, "the format allows 100000000"}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
