#include "base/work_sharing.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

using namespace octavo;

BOOST_AUTO_TEST_SUITE(work_sharing)

BOOST_AUTO_TEST_CASE(every_piece_once) {
  for (const unsigned threads : {0u, 1u, 3u, 100u}) {
    std::vector<std::atomic<int>> done(57);
    std::atomic<bool> worker_in_range{true};
    share_out(done.size(), threads, [&](size_t piece, unsigned worker) {
      ++done[piece];
      if (worker >= std::max(1u, threads)) worker_in_range = false;
    });
    for (const auto& count : done) BOOST_TEST(count == 1);
    BOOST_TEST(worker_in_range);
  }
  share_out(0, 4, [](size_t, unsigned) { BOOST_ERROR("there is no piece"); });
}

BOOST_AUTO_TEST_CASE(a_failure_ends_the_work) {
  std::atomic<size_t> done{0};
  const auto fail_early = [&](size_t piece, unsigned) {
    if (piece == 3) throw std::runtime_error("piece 3");
    ++done;
  };
  BOOST_CHECK_EXCEPTION(share_out(1'000'000, 2, fail_early), std::runtime_error,
                        [](const auto& error) { return std::string(error.what()) == "piece 3"; });
  BOOST_TEST(done < 1'000'000u);
}

BOOST_AUTO_TEST_CASE(a_check_ends_the_work_before_the_next_piece) {
  std::atomic<size_t> done{0};
  const auto stop_after_ten = [&] {
    if (done >= 10) throw std::runtime_error("stopped");
  };
  const auto work = [&](size_t, unsigned) { ++done; };
  BOOST_CHECK_EXCEPTION(share_out(1'000'000, 1, work, stop_after_ten), std::runtime_error,
                        [](const auto& error) { return std::string(error.what()) == "stopped"; });
  BOOST_TEST(done == 10u);
}

BOOST_AUTO_TEST_SUITE_END()
