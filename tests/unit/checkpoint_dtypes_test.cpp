#include "checkpoint/dtypes.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <vector>

namespace octavo::checkpoint {
namespace {

using Shape = std::vector<uint64_t>;

BOOST_AUTO_TEST_SUITE(checkpoint_dtypes)

BOOST_AUTO_TEST_CASE(names_and_widths_are_those_of_the_format) {
  struct Row {
    const char* name;
    int bits;
    bool is_float;
  };
  // In the order of the reference writer, which is the numbering of octavo_dtype.
  const std::array<Row, 22> rows{
      {{"BOOL", 8, false},   {"F4", 4, true},          {"F6_E2M3", 6, true},     {"F6_E3M2", 6, true},
       {"U8", 8, false},     {"I8", 8, false},         {"F8_E5M2", 8, true},     {"F8_E4M3", 8, true},
       {"F8_E8M0", 8, true}, {"F8_E4M3FNUZ", 8, true}, {"F8_E5M2FNUZ", 8, true}, {"I16", 16, false},
       {"U16", 16, false},   {"F16", 16, true},        {"BF16", 16, true},       {"I32", 32, false},
       {"U32", 32, false},   {"F32", 32, true},        {"C64", 64, false},       {"F64", 64, true},
       {"I64", 64, false},   {"U64", 64, false}}};
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto dtype = static_cast<octavo_dtype>(i);
    BOOST_TEST(name(dtype) == rows[i].name);
    BOOST_TEST(bits(dtype) == rows[i].bits);
    BOOST_TEST(is_float(dtype) == rows[i].is_float);
    BOOST_TEST((dtype_from_name(rows[i].name) == dtype));
  }
  for (const char* unknown : {"", "f32", "F31", "C128", "BF16 ", "?"}) BOOST_TEST(!dtype_from_name(unknown));
}

BOOST_AUTO_TEST_CASE(sizes_notice_overflow_and_half_bytes) {
  BOOST_TEST(element_count(Shape{}).value() == 1U);
  BOOST_TEST(element_count(Shape{3, 5, 7}).value() == 105U);
  BOOST_TEST(element_count(Shape{0, 1ULL << 40}).value() == 0U);
  BOOST_TEST(!element_count(Shape{1ULL << 32, 1ULL << 32}));
  BOOST_TEST(!element_count(Shape{0, UINT64_MAX, UINT64_MAX}));
  BOOST_TEST(byte_count(OCTAVO_F32, Shape{3, 5}).value() == 60U);
  BOOST_TEST(byte_count(OCTAVO_F4, Shape{6}).value() == 3U);
  BOOST_TEST(!byte_count(OCTAVO_F4, Shape{3}));
  BOOST_TEST(!byte_count(OCTAVO_F64, Shape{1ULL << 59}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
