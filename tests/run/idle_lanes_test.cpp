#include "run/idle_lanes.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace octavo::run {
namespace {

using namespace std::chrono_literals;

struct Seen {
  std::mutex mutex;
  std::multiset<int64_t> indices;
  std::set<std::thread::id> threads;
  IdleLanes* nested = nullptr;

  static octavo_status task(void* context, int64_t index) {
    auto& seen = *static_cast<Seen*>(context);
    std::this_thread::sleep_for(2ms);
    if (seen.nested != nullptr) {
      Seen inner;
      if (seen.nested->parallel(3, task, &inner) != OCTAVO_OK || inner.threads.size() != 1)
        return OCTAVO_FAILED;
    }
    const std::lock_guard lock(seen.mutex);
    seen.indices.insert(index);
    seen.threads.insert(std::this_thread::get_id());
    return OCTAVO_OK;
  }
};

BOOST_AUTO_TEST_SUITE(idle_lanes)

BOOST_AUTO_TEST_CASE(lanes_that_wait_run_the_tasks_of_another) {
  IdleLanes idle;
  std::atomic<bool> done = false;
  std::stop_source stop;
  std::atomic<int> went_on = 0;
  std::vector<std::jthread> waiting;
  waiting.reserve(3);
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back([&] {
      if (idle.wait(stop.get_token(), [&] { return done.load(); })) ++went_on;
    });
  }
  std::this_thread::sleep_for(20ms);
  Seen seen;
  BOOST_TEST(idle.parallel(60, Seen::task, &seen) == OCTAVO_OK);
  BOOST_TEST(seen.indices.size() == 60u);
  BOOST_TEST(std::set<int64_t>(seen.indices.begin(), seen.indices.end()).size() == 60u);
  BOOST_TEST(seen.threads.size() > 1u);
  done = true;
  idle.changed();
  waiting.clear();
  BOOST_TEST(went_on == 3);
}

BOOST_AUTO_TEST_CASE(a_loop_within_a_task_runs_in_its_thread) {
  IdleLanes idle;
  Seen seen;
  seen.nested = &idle;
  BOOST_TEST(idle.parallel(4, Seen::task, &seen) == OCTAVO_OK);
  BOOST_TEST(seen.indices.size() == 4u);
}

BOOST_AUTO_TEST_CASE(the_failure_with_the_smallest_index_is_returned) {
  IdleLanes idle;
  const auto fails = [](void*, int64_t index) -> octavo_status {
    if (index == 4) throw std::runtime_error("4");
    return index == 2 ? OCTAVO_NO_MEMORY : index == 3 ? OCTAVO_BAD_INPUT : OCTAVO_OK;
  };
  BOOST_TEST(idle.parallel(6, fails, nullptr) == OCTAVO_NO_MEMORY);
  const auto throws = [](void*, int64_t) -> octavo_status { throw std::runtime_error("nothing may cross"); };
  BOOST_TEST(idle.parallel(1, throws, nullptr) == OCTAVO_FAILED);
  BOOST_TEST(idle.parallel(0, throws, nullptr) == OCTAVO_OK);
}

BOOST_AUTO_TEST_CASE(a_stop_ends_waiting) {
  IdleLanes idle;
  std::stop_source stop;
  std::atomic<bool> was_stopped = false;
  std::jthread waiting([&] { was_stopped = !idle.wait(stop.get_token(), [] { return false; }); });
  std::this_thread::sleep_for(10ms);
  stop.request_stop();
  waiting.join();
  BOOST_TEST(was_stopped);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::run
