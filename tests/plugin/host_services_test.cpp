#include "base/philox.hpp"
#include "fixture.hpp"
#include "reference/operations.hpp"

#include <boost/test/unit_test.hpp>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <xxhash.h>

#include <array>
#include <chrono>
#include <future>
#include <sstream>

namespace octavo::plugin {
namespace {

using Block = std::array<std::uint32_t, 4>;
using namespace std::chrono_literals;

octavo_error no_error() {
  octavo_error error{};
  error.struct_size = sizeof error;
  return error;
}

BOOST_AUTO_TEST_SUITE(host_services)

// Known answers of the authors' own implementation: Random123, tests/kat_vectors, philox4x32 with 10 rounds.
BOOST_AUTO_TEST_CASE(philox_gives_the_published_words) {
  constexpr std::uint32_t kOnes = 0xffffffff;
  BOOST_TEST((philox_block({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  BOOST_TEST((philox_block({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
              Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  BOOST_TEST((philox_block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

BOOST_AUTO_TEST_CASE(a_stream_is_keyed_by_seed_and_name) {
  const std::uint64_t stream = XXH3_64bits("layer", 5);
  const Block expected =
      philox_block({3, 0, static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
                   {0x55667788, 0x11223344});
  std::array<std::uint32_t, 16> words{};
  random_words(0x1122334455667788, "layer", 0, words);
  BOOST_TEST((Block{words[12], words[13], words[14], words[15]} == expected));
  std::array<std::uint32_t, 16> others{};
  random_words(0x1122334455667788, "other", 0, others);
  BOOST_TEST((words != others));
  random_words(0x1122334455667789, "layer", 0, others);
  BOOST_TEST((words != others));
}

BOOST_AUTO_TEST_CASE(a_stream_without_a_name_is_zeros) {
  const octavo_host& host = *test::services().host();
  std::array<std::uint32_t, 4> words{1, 2, 3, 4};
  host.random(host.context, 7, nullptr, 0, words.size(), words.data());
  BOOST_TEST((words == std::array<std::uint32_t, 4>{}));
  host.random(host.context, 7, "layer", 0, 4, nullptr);  // nowhere to write to
}

BOOST_AUTO_TEST_CASE(any_part_of_a_stream_can_be_asked_for) {
  const octavo_host& host = *test::services().host();
  std::array<std::uint32_t, 64> whole{};
  host.random(host.context, 7, "blocks.0.weight", 0, whole.size(), whole.data());
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}, std::size_t{6}, std::size_t{31}}) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{33}}) {
      std::vector<std::uint32_t> part(count);
      host.random(host.context, 7, "blocks.0.weight", first, count, part.data());
      BOOST_TEST(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first)));
    }
  }
  std::uint32_t far = 0;  // block 2^62: the counter's high word is used
  host.random(host.context, 7, "blocks.0.weight", std::uint64_t{1} << 63, 1, &far);
  BOOST_TEST(far != whole[0]);
}

BOOST_AUTO_TEST_CASE(leases_wait_until_they_fit) {
  HostServices services(reference::operations(), 100);
  BOOST_TEST(services.lease(60));
  BOOST_TEST(services.lease(40));
  auto third = std::async(std::launch::async, [&] { return services.lease(50); });
  BOOST_TEST((third.wait_for(50ms) == std::future_status::timeout));
  services.give_back(40);
  BOOST_TEST((third.wait_for(50ms) == std::future_status::timeout));  // 60 + 50 are still too many
  services.give_back(60);
  BOOST_TEST((third.wait_for(10s) == std::future_status::ready));
  BOOST_TEST(third.get());
  BOOST_TEST(services.leased() == 50u);
  BOOST_TEST(services.most_leased() == 100u);
}

BOOST_AUTO_TEST_CASE(one_that_is_larger_than_the_limit_is_granted_alone) {
  HostServices services(reference::operations(), 100);
  BOOST_TEST(services.lease(1));
  auto large = std::async(std::launch::async, [&] { return services.lease(1000); });
  BOOST_TEST((large.wait_for(50ms) == std::future_status::timeout));
  services.give_back(1);
  BOOST_TEST((large.wait_for(10s) == std::future_status::ready));
  auto small = std::async(std::launch::async, [&] { return services.lease(1); });
  BOOST_TEST((small.wait_for(50ms) == std::future_status::timeout));
  services.give_back(1000);
  BOOST_TEST(small.get());
}

BOOST_AUTO_TEST_CASE(asking_does_not_wait) {
  HostServices services(reference::operations(), 100);
  BOOST_TEST(services.try_lease(90));
  BOOST_TEST(!services.can_lease(20));
  BOOST_TEST(!services.try_lease(20));
  BOOST_TEST(services.try_lease(0));
  services.lease_at_once(20);
  BOOST_TEST(services.leased() == 110u);
  services.give_back(110);
  BOOST_TEST(services.try_lease(1000));  // nothing else is held
}

BOOST_AUTO_TEST_CASE(the_first_open_turn_never_waits) {
  HostServices services(reference::operations(), 100);
  services.open_turn(3);
  services.open_turn(4);
  services.settle_turn(3);
  BOOST_TEST(services.lease(100));
  auto second = std::async(std::launch::async, [&] {
    const HostServices::Turn turn(4);
    return services.lease(10);
  });
  BOOST_TEST((second.wait_for(50ms) == std::future_status::timeout));
  {
    const HostServices::Turn turn(3);
    BOOST_TEST(services.lease(10));
  }
  BOOST_TEST((second.wait_for(50ms) == std::future_status::timeout));
  services.close_turn(3);  // now 4 is the first
  BOOST_TEST((second.wait_for(10s) == std::future_status::ready));
  BOOST_TEST(second.get());
  BOOST_TEST(services.leased() == 120u);
}

BOOST_AUTO_TEST_CASE(a_later_turn_waits_until_earlier_ones_have_what_they_need) {
  HostServices services(reference::operations(), 100);
  services.open_turn(0);
  services.open_turn(1);
  auto second = std::async(std::launch::async, [&] {
    const HostServices::Turn turn(1);
    return services.lease(10);
  });
  BOOST_TEST((second.wait_for(50ms) == std::future_status::timeout));  // it would fit
  services.settle_turn(0);
  BOOST_TEST((second.wait_for(10s) == std::future_status::ready));
  BOOST_TEST(second.get());
}

BOOST_AUTO_TEST_CASE(cancelling_wakes_who_waits) {
  HostServices services(reference::operations(), 100);
  const octavo_host& host = *services.host();
  BOOST_TEST(host.cancelled(host.context) == 0);
  BOOST_TEST(services.lease(100));
  octavo_error error = no_error();
  auto waiting = std::async(std::launch::async, [&] { return host.lease_bytes(host.context, 1, &error); });
  BOOST_TEST((waiting.wait_for(50ms) == std::future_status::timeout));
  services.cancel();
  BOOST_TEST((waiting.wait_for(10s) == std::future_status::ready));
  BOOST_TEST(waiting.get() == OCTAVO_CANCELLED);
  BOOST_TEST(std::string(error.message).find("cancelled") != std::string::npos);
  BOOST_TEST(host.cancelled(host.context) == 1);
}

BOOST_AUTO_TEST_CASE(loops_run_in_the_calling_thread_until_the_run_says_otherwise) {
  struct Seen {
    std::vector<std::int64_t> indices;
    static octavo_status task(void* context, std::int64_t index) {
      static_cast<Seen*>(context)->indices.push_back(index);
      return index == 2 ? OCTAVO_NO_MEMORY : index == 3 ? OCTAVO_FAILED : OCTAVO_OK;
    }
  };
  HostServices services(reference::operations());
  const octavo_host& host = *services.host();
  Seen seen;
  octavo_error error = no_error();
  BOOST_TEST(host.parallel(host.context, 5, Seen::task, &seen, &error) == OCTAVO_NO_MEMORY);
  BOOST_TEST(seen.indices == (std::vector<std::int64_t>{0, 1, 2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(std::string(error.message).find("a task returned status 6") != std::string::npos);
  BOOST_TEST(host.parallel(host.context, 0, Seen::task, &seen, nullptr) == OCTAVO_OK);

  services.set_parallel([](std::int64_t count, ParallelTask task, void* context) {
    for (std::int64_t i = count; i-- > 0;) task(context, i);
    return OCTAVO_OK;
  });
  seen.indices.clear();
  BOOST_TEST(host.parallel(host.context, 3, Seen::task, &seen, &error) == OCTAVO_OK);
  BOOST_TEST(seen.indices == (std::vector<std::int64_t>{2, 1, 0}), boost::test_tools::per_element());

  services.set_parallel([](std::int64_t, ParallelTask, void*) -> octavo_status {
    throw std::runtime_error("no threads left");
  });
  BOOST_TEST(host.parallel(host.context, 3, Seen::task, &seen, &error) == OCTAVO_FAILED);
  BOOST_TEST(std::string(error.message) == "no threads left");
}

BOOST_AUTO_TEST_CASE(messages_go_to_the_log_without_control_characters) {
  std::ostringstream text;
  const auto before = spdlog::default_logger();
  const auto logger =
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(text));
  logger->set_pattern("%l: %v");
  spdlog::set_default_logger(logger);
  const octavo_host& host = *test::services().host();
  host.log(host.context, OCTAVO_LOG_WARNING, "a\x1b[31m\nb {}");
  host.log(host.context, OCTAVO_LOG_ERROR, nullptr);
  host.log(host.context, OCTAVO_LOG_DEBUG, "not shown at this level");
  spdlog::set_default_logger(before);
  BOOST_TEST(text.str() == "warning: a [31m b {}\nerror: \n");
}

BOOST_AUTO_TEST_CASE(the_reference_is_handed_on) {
  BOOST_TEST(test::services().host()->reference == &reference::operations());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::plugin
