// A filter that was built outside the tree, from one folder, works like the others. Run by the test
// models.new_architecture, after the folder is built.
#define BOOST_TEST_DYN_LINK
#include "filter.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>

namespace octavo::test {

BOOST_AUTO_TEST_SUITE(new_architecture, *boost::unit_test::disabled())

BOOST_AUTO_TEST_CASE(works_like_the_others) {
  const char* library = std::getenv("OCTAVO_TEST_NEW_ARCHITECTURE");
  BOOST_REQUIRE(library != nullptr);
  const Filter filter(library);
  BOOST_TEST(filter.id() == "starling");
  BOOST_TEST(filter.takes_part_in_auto());
  const Header header(tensors_of(R"(
    net.nest.in.weight 512x64
    net.wings.{12}.feather.qkv.weight 1536x512
    net.song.weight 64x512)"));
  BOOST_TEST(filter.detect(header).score == 914u);
  BOOST_TEST(filter.detect(header).reason == "14 of 14 signature keys");
  BOOST_TEST(filter.detect(Header(tensors_of("net.nest.in.weight 512x64"))).score == 0u);
  BOOST_TEST(filter.classify({"net.wings.0.feather.qkv.weight", {1536, 512}}).decision ==
             OCTAVO_DECISION_QUANTIZE);
  BOOST_TEST(filter.classify({"net.song.weight", {64, 512}}).rule == "song");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::test
