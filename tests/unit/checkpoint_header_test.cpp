#include "checkpoint/header.hpp"
#include "temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>

namespace octavo::checkpoint {
namespace {

using test::ErrorWith;

Header parse(const std::string& json, uint64_t data_bytes, Strictness strictness = Strictness::strict) {
  return parse_header(json, data_bytes, "file.safetensors", strictness);
}

// {"a": ...} for one tensor of 4 bytes, its fields as given.
std::string one(const std::string& fields) { return "{\"a\":{" + fields + "}}"; }
const std::string kGood = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";

void check_refused(const std::string& json, uint64_t data_bytes, const std::string& text) {
  BOOST_CHECK_EXCEPTION(parse(json, data_bytes), Error, (ErrorWith{ErrorCode::bad_input, text}));
}

void check_refused_by_both(const std::string& json, uint64_t data_bytes, const std::string& text) {
  check_refused(json, data_bytes, text);
  BOOST_CHECK_EXCEPTION(parse(json, data_bytes, Strictness::lenient), Error,
                        (ErrorWith{ErrorCode::bad_input, "file.safetensors"}));
}

BOOST_AUTO_TEST_SUITE(checkpoint_header)

BOOST_AUTO_TEST_CASE(entries_come_out_by_name_whatever_their_order) {
  const Header header = parse(
      R"({"__metadata__":{"format":"pt","b":"ä\n"},"z":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"},"m":{"dtype":"I8","shape":[0,7],"data_offsets":[4,4]}})",
      16);
  BOOST_REQUIRE(header.tensors.size() == 3U);
  BOOST_TEST(header.tensors[0].name == "a");
  BOOST_TEST(header.tensors[1].name == "m");
  BOOST_TEST(header.tensors[2].name == "z");
  BOOST_TEST(header.tensors[0].elements() == 1U);
  BOOST_TEST(header.tensors[1].elements() == 0U);
  BOOST_TEST(header.tensors[1].bytes() == 0U);
  const TensorInfo* const z = header.find("z");
  BOOST_REQUIRE(z != nullptr);
  BOOST_TEST((z->dtype == OCTAVO_BF16));
  BOOST_TEST(z->shape == (std::vector<uint64_t>{2, 3}));
  BOOST_TEST(z->begin == 4U);
  BOOST_TEST(z->end == 16U);
  BOOST_TEST(header.find("b") == nullptr);
  BOOST_TEST(header.metadata.at("b") == "ä\n");
  BOOST_TEST(header.notes.empty());
}

BOOST_AUTO_TEST_CASE(white_space_around_the_object_is_accepted) {
  const std::string json = " \t\r\n" + one(kGood) + " \t\r\n ";
  BOOST_TEST(parse(json, 4).tensors.size() == 1U);
  BOOST_TEST(parse(json, 4).data_start == 8 + json.size());
  BOOST_TEST(parse("{}", 0).tensors.empty());
}

BOOST_AUTO_TEST_CASE(what_is_no_strict_json_is_refused) {
  check_refused_by_both("\xef\xbb\xbf" + one(kGood), 4, "byte order mark");
  check_refused_by_both(one(kGood) + std::string(3, '\0'), 4, "NUL at byte");
  check_refused_by_both("[]", 0, "array");
  check_refused_by_both("null", 0, "null");
  check_refused_by_both("7", 0, "the number 7");
  check_refused_by_both("", 0, "not valid JSON");
  check_refused_by_both("{}{}", 0, "not valid JSON");
  check_refused_by_both("{/*c*/}", 0, "not valid JSON");
  check_refused_by_both("{\"a\":{" + kGood + "},}", 4, "not valid JSON");
  check_refused_by_both(R"({"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}})", 4, "not valid JSON");
  check_refused_by_both(R"({"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}})", 4, "not valid JSON");
  check_refused_by_both("{\"a\xff\":{" + kGood + "}}", 4, "not valid JSON");
  check_refused_by_both(R"({"\ud800":{)" + kGood + "}}", 4, "not valid JSON");
  check_refused_by_both("{\"a\n\":{" + kGood + "}}", 4, "not valid JSON");
  const std::string whole = one(kGood);
  for (size_t cut = 0; cut < whole.size(); ++cut) check_refused_by_both(whole.substr(0, cut), 4, "JSON");
}

BOOST_AUTO_TEST_CASE(nesting_is_limited) {
  const auto nested = [](int levels) {
    return one(kGood + ",\"x\":" + std::string(levels, '[') + std::string(levels, ']'));
  };
  BOOST_TEST(parse(nested(6), 4).tensors.size() == 1U);  // 2 + 6 levels
  check_refused(nested(7), 4, "deeper than 8");
  BOOST_TEST(parse(nested(126), 4, Strictness::lenient).tensors.size() == 1U);
  check_refused_by_both(nested(127), 4, "deeper than");
  check_refused_by_both(nested(1'000'000), 4, "deeper than");
}

BOOST_AUTO_TEST_CASE(duplicates_are_compared_after_unescaping) {
  const std::string escaped = "{\"a\":{" + kGood + R"(},"\u0061":{)" + kGood + "}}";
  check_refused(escaped, 4, "tensor \"a\" is there twice");
  const Header lenient = parse(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8",)"
                               R"("shape":[0],"data_offsets":[0,0]},"a":{"dtype":"I32","shape":[1],)"
                               R"("data_offsets":[0,4]}})",
                               4, Strictness::lenient);
  BOOST_REQUIRE(lenient.tensors.size() == 2U);
  BOOST_TEST((lenient.find("a")->dtype == OCTAVO_I32));
  BOOST_REQUIRE(lenient.notes.size() == 1U);
  BOOST_TEST(lenient.notes[0].tolerated);
  check_refused(R"({"__metadata__":{"k":"1","\u006b":"2"}})", 0, "\"k\" twice");
  check_refused_by_both(R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__ is there twice");
  check_refused_by_both(one(kGood + R"(,"dtype":"F32")"), 4, "has dtype twice");
  check_refused_by_both(one(kGood + R"(,"shape":[1])"), 4, "has shape twice");
  check_refused_by_both(one(kGood + R"(,"data_offsets":[0,4])"), 4, "has data_offsets twice");
}

// T17.
BOOST_AUTO_TEST_CASE(metadata_holds_text_only) {
  check_refused_by_both(R"({"__metadata__":{"k":1}})", 0, "__metadata__ \"k\" is the number 1");
  check_refused_by_both(R"({"__metadata__":{"k":null}})", 0, "is null");
  check_refused_by_both(R"({"__metadata__":{"k":{}}})", 0, "is an object");
  check_refused_by_both(R"({"__metadata__":{"k":["x"]}})", 0, "is an array");
  check_refused_by_both(R"({"__metadata__":[]})", 0, "is an array");
  check_refused_by_both(R"({"__metadata__":"x"})", 0, "__metadata__ is the text");
  const Header null = parse(R"({"__metadata__":null,"a":{)" + kGood + "}}", 4);
  BOOST_TEST(null.metadata.empty());
  BOOST_REQUIRE(null.notes.size() == 1U);
  BOOST_TEST(!null.notes[0].tolerated);
  std::string large;
  large.resize(10'000'000, 'm');
  BOOST_TEST(parse(R"({"__metadata__":{"k":")" + large + "\"}}", 0).metadata.at("k") == large);
}

BOOST_AUTO_TEST_CASE(entries_have_three_fields_of_the_right_type) {
  check_refused_by_both(one(R"("shape":[1],"data_offsets":[0,4])"), 4, "has no dtype");
  check_refused_by_both(one(R"("dtype":"F32","data_offsets":[0,4])"), 4, "has no shape");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1])"), 4, "has no data_offsets");
  check_refused_by_both(R"({"a":4})", 4, "tensor \"a\" is the number 4");
  check_refused_by_both(one(R"("dtype":7,"shape":[1],"data_offsets":[0,4])"), 4, "dtype is the number 7");
  check_refused_by_both(one(R"("dtype":"f32","shape":[1],"data_offsets":[0,4])"), 4, "unknown dtype \"f32\"");
  check_refused_by_both(one(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])"), 4, "unknown dtype");
  check_refused_by_both(one(R"("dtype":"F32","shape":1,"data_offsets":[0,4])"), 4, "shape is the number 1");
  check_refused_by_both(one(R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])"), 4, "shape is the text");
  check_refused_by_both(one(R"("dtype":"F32","shape":[[1]],"data_offsets":[0,4])"), 4, "shape is an array");
  check_refused_by_both(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4,
                        "tensor \"a\", shape: dimension 0 is -1, which is negative");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1,-7],"data_offsets":[0,4])"), 4, "dimension 1 is -7");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,-4])"), 4,
                        "data_offsets: number 1 is -4, which is negative");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), 4, "the number 1.0");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1e0],"data_offsets":[0,4])"), 4, "the number 1e0");
  check_refused_by_both(one(R"("dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4])"), 4,
                        "number");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), 4, "has 1 number");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), 4, "more than 2");
}

BOOST_AUTO_TEST_CASE(unknown_fields_are_noted_and_skipped) {
  const Header header =
      parse(one(R"("x":{"dtype":[{"y":null}],"z":-1.5},"u":true,)" + kGood + R"(,"v":"w")"), 4);
  BOOST_REQUIRE(header.tensors.size() == 1U);
  BOOST_TEST((header.tensors[0].dtype == OCTAVO_F32));
  BOOST_TEST(header.notes.size() == 3U);
}

BOOST_AUTO_TEST_CASE(the_array_form_is_lenient_only) {
  check_refused(R"({"a":["F32",[1],[0,4]]})", 4, "is an array");
  const Header header = parse(R"({"a":["F32",[1],[0,4]]})", 4, Strictness::lenient);
  BOOST_TEST((header.tensors.at(0).dtype == OCTAVO_F32));
  BOOST_TEST(header.tensors.at(0).end == 4U);
  check_refused_by_both(R"({"a":["F32",[1]]})", 4, "is an array");
  check_refused_by_both(R"({"a":["F32",[1],[0,4],1]})", 4, "is an array");
}

BOOST_AUTO_TEST_CASE(rank_and_dimensions_are_limited) {
  const auto ranked = [](int rank) {
    std::string dims;
    for (int i = 0; i < rank; ++i) dims += i == 0 ? "1" : ",1";
    return one(R"("dtype":"U8","shape":[)" + dims + R"(],"data_offsets":[0,1])");
  };
  BOOST_TEST(parse(ranked(32), 1).tensors[0].shape.size() == 32U);
  check_refused(ranked(33), 1, "more than 32 dimensions");
  BOOST_TEST(parse(ranked(33), 1, Strictness::lenient).tensors[0].shape.size() == 33U);
  BOOST_TEST(
      parse(one(R"("dtype":"U8","shape":[0,281474976710655],"data_offsets":[0,0])"), 0).tensors.size() == 1U);
  check_refused(one(R"("dtype":"U8","shape":[0,281474976710656],"data_offsets":[0,0])"), 0, "2^48");
}

// T11 and T12.
BOOST_AUTO_TEST_CASE(sizes_that_overflow_are_refused) {
  check_refused_by_both(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0,
                        "does not fit 64 bits");
  check_refused_by_both(one(R"("dtype":"F64","shape":[2147483648,268435456],"data_offsets":[0,0])"), 0,
                        "does not fit 64 bits");
  const std::string hidden = one(R"("dtype":"U8","shape":[0,18446744073709551615,18446744073709551615],)"
                                 R"("data_offsets":[0,0])");
  check_refused(hidden, 0, "2^48");
  check_refused(one(R"("dtype":"U8","shape":[0,281474976710655,281474976710655],"data_offsets":[0,0])"), 0,
                "does not fit 64 bits");
  BOOST_TEST(parse(hidden, 0, Strictness::lenient).tensors.size() == 1U);
}

// T15.
BOOST_AUTO_TEST_CASE(narrow_dtypes_fill_whole_bytes) {
  check_refused_by_both(one(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])"), 2,
                        "12 bits do not fill whole bytes");
  check_refused_by_both(one(R"("dtype":"F6_E2M3","shape":[1],"data_offsets":[0,1])"), 1, "do not fill");
  BOOST_TEST(parse(one(R"("dtype":"F6_E3M2","shape":[4],"data_offsets":[0,3])"), 3).tensors.size() == 1U);
}

BOOST_AUTO_TEST_CASE(offsets_hold_exactly_the_tensor) {
  check_refused_by_both(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,5])"), 5,
                        "hold 5 bytes, dtype and shape need 4");
  check_refused_by_both(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4, "need 8");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4, "before their begin");
  check_refused_by_both(one(R"("dtype":"F32","shape":[1],"data_offsets":[18446744073709551614,2])"), 4,
                        "before");
}

std::string two(const std::string& a, const std::string& b) {
  return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
         R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
}

// T10.
BOOST_AUTO_TEST_CASE(data_has_no_hole_and_no_overlap) {
  BOOST_TEST(parse(two("[4,8]", "[0,4]"), 8).tensors.size() == 2U);
  check_refused_by_both(
      two("[0,4]", "[5,9]"), 9,
      "tensor \"b\" begins at byte 5 of the data, \"a\" before it ends at 4: a hole of 1 bytes");
  check_refused_by_both(two("[0,4]", "[3,7]"), 7, "\"a\" before it ends at 4: an overlap of 1 bytes");
  check_refused_by_both(two("[0,4]", "[0,4]"), 4, "an overlap of 4 bytes");
  check_refused_by_both(two("[1,5]", "[5,9]"), 9, "the data begins at 0: a hole of 1 bytes");
}

BOOST_AUTO_TEST_CASE(an_empty_tensor_sits_at_a_boundary) {
  const auto with_empty_at = [](const std::string& offsets) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"e":{"dtype":"U8","shape":[0],"data_offsets":)" +
           offsets + "}}";
  };
  BOOST_TEST(parse(with_empty_at("[0,0]"), 4).tensors.size() == 2U);
  BOOST_TEST(parse(with_empty_at("[4,4]"), 4).tensors.size() == 2U);
  check_refused_by_both(with_empty_at("[2,2]"), 4, "overlap");
  check_refused_by_both(with_empty_at("[5,5]"), 5, "hole");
}

BOOST_AUTO_TEST_CASE(the_data_ends_with_the_file) {
  check_refused_by_both(one(kGood), 3, "truncated by 1 bytes");
  check_refused_by_both(one(kGood), 0, "truncated by 4 bytes");
  check_refused_by_both(one(kGood), 5, "1 extra bytes");
  check_refused_by_both("{}", 1, "1 extra bytes");
}

// T16: whatever is in a name reaches a message escaped.
BOOST_AUTO_TEST_CASE(names_of_any_kind_are_read_and_shown_escaped) {
  for (const char* text : {R"()", R"(\u001b[2J)", R"(a\u0000b)", R"(\u202e)", R"(../../etc/passwd)"}) {
    const Header header = parse(std::string("{\"") + text + "\":{" + kGood + "}}", 4);
    BOOST_TEST(header.tensors.size() == 1U);
  }
  BOOST_TEST(parse("{\"" + std::string(1 << 20, 'n') + "\":{" + kGood + "}}", 4).tensors[0].name.size() ==
             1U << 20);
  BOOST_CHECK_EXCEPTION(parse(R"({"\u001b[2J":{"dtype":"F32"}})", 4), Error, [](const Error& error) {
    const std::string what = error.what();
    return what.find('\x1b') == std::string::npos && what.find("\\x1b[2J") != std::string::npos;
  });
}

std::string many(uint64_t count) {
  std::string json = "{";
  for (uint64_t i = 0; i < count; ++i)
    fmt::format_to(std::back_inserter(json),
                   "{}\"t{}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{},{}]}}", i == 0 ? "" : ",",
                   i, i, i + 1);
  return json + "}";
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr double kMostSeconds = 20;  // under a sanitizer
#else
constexpr double kMostSeconds = 0.5;  // ten times what an idle machine needs
#endif

// T06: names out of order, as "t10" sorts before "t2".
BOOST_AUTO_TEST_CASE(large_headers_are_parsed_quickly) {
  const std::string json = many(20'000);
  const auto start = std::chrono::steady_clock::now();
  const Header header = parse(json, 20'000);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  BOOST_TEST(header.tensors.size() == 20'000U);
  BOOST_TEST(header.find("t19999")->begin == 19'999U);
  BOOST_TEST_MESSAGE("20,000 tensors: " << seconds.count() << " s");
  BOOST_TEST(seconds.count() < kMostSeconds);
}

BOOST_AUTO_TEST_CASE(the_number_of_tensors_is_limited) {
  std::string json = "{";
  for (uint64_t i = 0; i <= kMaxTensors; ++i)
    fmt::format_to(std::back_inserter(json),
                   "{}\"{:x}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", i == 0 ? "" : ",",
                   i);
  check_refused(json + "}", 0, "more than 1048576 tensors");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
