// Scans over every bit pattern of the small dtypes; how many of them are not finite is known from the
// formats.
#include "report/scan.hpp"

#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

using namespace octavo::report;

namespace {

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<std::byte> all_patterns_16() {
  std::vector<uint16_t> values(65536);
  std::iota(values.begin(), values.end(), uint16_t{0});
  return bytes_of(values);
}

std::vector<std::byte> all_patterns_8() {
  std::vector<uint8_t> values(256);
  std::iota(values.begin(), values.end(), uint8_t{0});
  return bytes_of(values);
}

void check(octavo_dtype dtype, const std::vector<std::byte>& bytes, uint64_t nans, uint64_t infinities,
           uint64_t first_nan) {
  const NonFinite found = scan_nonfinite(dtype, bytes, 1000);
  BOOST_TEST(found.nans.count == nans);
  BOOST_TEST(found.infinities.count == infinities);
  if (nans > 0) BOOST_TEST(found.nans.first == 1000 + first_nan);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scan)

BOOST_AUTO_TEST_CASE(every_pattern) {
  check(OCTAVO_F16, all_patterns_16(), 2 * 1023, 2, 0x7c01);
  check(OCTAVO_BF16, all_patterns_16(), 2 * 127, 2, 0x7f81);
  check(OCTAVO_F8_E5M2, all_patterns_8(), 6, 2, 0x7d);
  check(OCTAVO_F8_E4M3, all_patterns_8(), 2, 0, 0x7f);
  check(OCTAVO_F8_E4M3FNUZ, all_patterns_8(), 1, 0, 0x80);
  check(OCTAVO_F8_E5M2FNUZ, all_patterns_8(), 1, 0, 0x80);
  check(OCTAVO_F8_E8M0, all_patterns_8(), 1, 0, 0xff);
  check(OCTAVO_I8, all_patterns_8(), 0, 0, 0);
}

BOOST_AUTO_TEST_CASE(wide_floats) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values(10000, std::numeric_limits<float>::max());
  values[4097] = -infinity;
  values[9999] = std::nanf("1");
  check(OCTAVO_F32, bytes_of(values), 1, 1, 9999);
  BOOST_TEST(scan_nonfinite(OCTAVO_F32, bytes_of(values), 0).infinities.first == 4097u);
  const std::vector<double> wide = {1e308, std::nan(""), -std::numeric_limits<double>::infinity()};
  check(OCTAVO_F64, bytes_of(wide), 1, 1, 1);
}

BOOST_AUTO_TEST_CASE(codes) {
  BOOST_TEST(scan_codes(all_patterns_8(), -127, 127, 0).count == 1u);
  BOOST_TEST(scan_codes(all_patterns_8(), -127, 127, 5).first == 5u + 128u);  // -128 is the byte 128
  BOOST_TEST(scan_codes(all_patterns_8(), -128, 127, 0).count == 0u);
  BOOST_TEST(scan_codes(all_patterns_8(), -8, 7, 0).count == 240u);
  BOOST_TEST(scan_codes(all_patterns_8(), -8, 7, 0).first == 8u);
}

BOOST_AUTO_TEST_CASE(scales) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> values = {1,    tiny, 0, -1, std::nanf(""), std::numeric_limits<float>::infinity(),
                                     3e38f};
  const Found found = scan_scales(OCTAVO_F32, bytes_of(values), 10);
  BOOST_TEST(found.count == 4u);
  BOOST_TEST(found.first == 12u);
  // F16: of the positive half only zero, infinity and NaN; all of the negative half.
  BOOST_TEST(scan_scales(OCTAVO_F16, all_patterns_16(), 0).count == 32768u + 1 + 1 + 1023);
  BOOST_TEST(scan_scales(OCTAVO_F8_E8M0, all_patterns_8(), 0).count == 1u);
  BOOST_TEST(scan_scales(OCTAVO_F8_E4M3, all_patterns_8(), 0).count == 128u + 1 + 1);
}

BOOST_AUTO_TEST_CASE(zeros) {
  std::vector<std::byte> bytes(5000);
  BOOST_TEST(all_zero(bytes));
  bytes.back() = std::byte{1};
  BOOST_TEST(!all_zero(bytes));
}

BOOST_AUTO_TEST_CASE(sums_of_findings) {
  Found sum;
  sum.add(Found{0, 0});
  BOOST_TEST(sum.count == 0u);
  sum.add(Found{2, 50});
  sum.add(Found{0, 0});  // nothing found says nothing about places
  sum.add(Found{1, 7});
  BOOST_TEST(sum.count == 3u);
  BOOST_TEST(sum.first == 7u);
}

BOOST_AUTO_TEST_SUITE_END()
