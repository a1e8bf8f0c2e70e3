// What progress says, and when.
#include "progress.hpp"

#include "checkpoint_file.hpp"
#include "program.hpp"

#include <boost/test/unit_test.hpp>

using namespace octavo::cli;
using octavo::Progress;

BOOST_AUTO_TEST_SUITE(progress)

BOOST_AUTO_TEST_CASE(texts) {
  const Progress half{5'000'000'000, 10'000'000'000, "a.weight", 2.5, 3, 7};
  BOOST_TEST(progress_text(half) == " 50 %  5.00 GB of 10.0 GB  2.00 GB/s  2.5 s left  a.weight");
  BOOST_TEST(progress_bar(half, 200) ==
             "[============>           ]  50 %  5.00 GB of 10.0 GB  2.00 GB/s  2.5 s left  a.weight");
  BOOST_TEST(progress_bar(half, 10) == "[=========");
  const Progress done{10, 10, "", 1, 7, 7};
  BOOST_TEST(progress_bar(done, 26) == "[========================]");
  const Progress unknown{1000, 0, "", 1, 0, 0};
  BOOST_TEST(progress_text(unknown) == "1.00 kB  1.00 kB/s");
}

BOOST_AUTO_TEST_CASE(json_line) {
  const auto line = nlohmann::json::parse(progress_json({50, 200, "t", 2, 1, 4}));
  BOOST_TEST(line["schema"] == "octavo.progress/1");
  BOOST_TEST(line["bytes_done"] == 50);
  BOOST_TEST(line["bytes_total"] == 200);
  BOOST_TEST(line["bytes_per_second"].get<double>() == 25.0);
  BOOST_TEST(line["seconds_left"].get<double>() == 6.0);
  BOOST_TEST(line["tensor"] == "t");
  BOOST_TEST(line["tensors_total"] == 4);
}

BOOST_AUTO_TEST_CASE(in_the_program) {
  const octavo::test::TemporaryFolder folder;
  octavo::test::write_checkpoint(folder / "a.safetensors", {octavo::test::f32("a", {2}, {1, 2})});
  const std::string file = folder / "a.safetensors";
  // A short run in a pipe says nothing; the two streams are kept apart.
  BOOST_TEST(octavo::test::run({"verify", file}).error == "");
  const auto json = octavo::test::run({"verify", file, "--progress", "json", "--json"});
  BOOST_TEST(json.json()["schema"] == "octavo.verify/1");
  const std::string last = json.error.substr(json.error.rfind("\n{", json.error.size() - 2) + 1);
  BOOST_TEST(nlohmann::json::parse(last)["schema"] == "octavo.progress/1");
  BOOST_TEST(nlohmann::json::parse(last)["bytes_done"] == 8);
  BOOST_TEST(octavo::test::run({"verify", file, "--progress", "bar"}).error.find("100 %") !=
             std::string::npos);
  BOOST_TEST(octavo::test::run({"verify", file, "--progress=bar", "--no-progress"}).error == "");
}

BOOST_AUTO_TEST_SUITE_END()
