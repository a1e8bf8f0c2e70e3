// Every system call of a write and commit is made to fail in turn, until the run gets through. Whatever
// fails, the output is the old file or the whole new one, the error is an I/O error, and nothing else is left
// in the folder.
#include "checkpoint/output_folder.hpp"
#include "checkpoint/reader.hpp"
#include "checkpoint/writer.hpp"
#include "faulty_system.hpp"
#include "output_bytes.hpp"
#include "temporary_folder.hpp"
#include "tmpfs.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <functional>
#include <optional>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::Fault;
using test::FaultScope;
using test::FaultySystem;
using test::read_file;
using test::small_layout;
using test::TemporaryFolder;
using test::whole_file;
using test::write_all;
using test::write_file;
using test::write_range;

// Runs `attempt` with the first call failing, then the second ... until none fails; returns how many did.
int fail_every_call(const std::function<void()>& attempt, const std::function<void(bool)>& check) {
  for (int n = 1; n < 1000; ++n) {
    bool succeeded = true;
    bool reached = false;
    {
      const FaultScope fault(Fault::nth_call, n);
      try {
        attempt();
      } catch (const Error& error) {
        succeeded = false;
        BOOST_TEST((error.code() == ErrorCode::io), "call " << n << ": " << error.what());
      }
      reached = FaultySystem::calls >= n;
    }
    BOOST_TEST(succeeded == !reached, "call " << n << " failed without a consequence");
    check(succeeded);
    if (!reached) return n - 1;
  }
  return -1;
}

BOOST_AUTO_TEST_SUITE(checkpoint_writer_fault)

// T26.
BOOST_AUTO_TEST_CASE(whatever_call_fails_the_output_is_old_or_new) {
  const std::string whole = whole_file(small_layout());
  for (const bool force : {false, true}) {
    const TemporaryFolder folder;
    const fs::path out = folder / "out";
    const auto attempt = [&] {
      if (force) write_file(out, "old");
      OutputFile file(out, small_layout(),
                      {.force = force, .verify = VerifyLevel::full, .sink = SinkKind::positioned});
      write_all(file, 500);
      file.commit();
    };
    const int failed = fail_every_call(attempt, [&](bool succeeded) {
      const std::string now = fs::exists(out) ? read_file(out) : "none";
      const bool is_old = now == (force ? "old" : "none");
      BOOST_TEST((succeeded ? now == whole : is_old || now == whole));
      BOOST_TEST(folder.names().size() == (now == "none" ? 0U : 1U));
      fs::remove(out);
    });
    BOOST_TEST(failed > 10);  // reserve, resize, writes, syncs, reads, rename, sync of the folder
  }
}

BOOST_AUTO_TEST_CASE(a_disk_that_fills_up_under_the_mapping_is_an_error_of_the_write,
                     *boost::unit_test::precondition(test::on_tmpfs)) {
  const TemporaryFolder folder(test::kTmpfs);
  {
    const test::NoRoom full;
    OutputFile file(folder / "out", test::large_layout(), {.sink = SinkKind::mapping});
    const uint64_t end = file.layout().file_bytes;
    BOOST_CHECK_EXCEPTION(write_range(file, end - (2 << 20), 2 << 20), Error,
                          (test::ErrorWith{ErrorCode::io, "No space left"}));
  }
  BOOST_TEST(folder.names().empty());
}

// What a write is ahead of: nothing allocated but the first piece, on a kernel that creates pages when it is
// asked and on one that is older than that.
BOOST_AUTO_TEST_CASE(a_mapping_is_written_ahead_of_its_allocation,
                     *boost::unit_test::precondition(test::on_tmpfs)) {
  for (const int populate_error : {0, EINVAL}) {
    const TemporaryFolder folder(test::kTmpfs);
    std::optional<test::NoFallocate> first_piece_only;
    if (populate_error == 0) first_piece_only.emplace(ENOSPC, 1);
    const test::ErrorScope pages(FaultySystem::populate_error, populate_error);
    OutputFile file(folder / "out", test::large_layout(),
                    {.verify = VerifyLevel::full, .sink = SinkKind::mapping});
    const uint64_t begin = file.layout().header_bytes.size(), end = file.layout().file_bytes;
    constexpr uint64_t kPiece = 1 << 20;
    for (uint64_t at = end; at > begin; at -= std::min(kPiece, at - begin)) {
      const uint64_t bytes = std::min(kPiece, at - begin);
      write_range(file, at - bytes, bytes);
    }
    file.commit();
    BOOST_TEST((read_file(folder / "out") == whole_file(test::large_layout())));
  }
}

// T28.
BOOST_AUTO_TEST_CASE(short_transfers_and_interrupts_change_nothing) {
  const TemporaryFolder folder;
  {
    const FaultScope fault(Fault::short_transfers);
    OutputFile file(folder / "out", small_layout(),
                    {.verify = VerifyLevel::full, .sink = SinkKind::positioned});
    write_all(file, 500);
    file.commit();
    BOOST_TEST(FaultySystem::interrupts > 100);
    const Checkpoint checkpoint = Checkpoint::open(folder / "out");
    std::string read(1200, '\0');
    checkpoint.read(*checkpoint.find("w"), 0, std::as_writable_bytes(std::span(read)));
    BOOST_TEST((read == test::bytes_of(small_layout().find("w")->offset, 1200)));
  }
  BOOST_TEST((read_file(folder / "out") == whole_file(small_layout())));
}

BOOST_AUTO_TEST_CASE(whatever_call_fails_a_folder_is_old_or_new) {
  for (const bool no_exchange : {false, true}) {
    const TemporaryFolder folder;
    const fs::path out = folder / "out";
    const auto attempt = [&] {
      fs::create_directory(out);
      write_file(out / "old-00001-of-00001.safetensors", "old");
      write_file(out / "old.safetensors.index.json", "old");
      OutputFolder target(
          out, lay_out_shards({}, {{{"a", OCTAVO_U8, {9}}, ""}, {{"b", OCTAVO_U8, {9}}, ""}}, {.count = 2}),
          {.force = true});
      for (size_t i = 0; i < target.size(); ++i) write_all(target.shard(i), 100);
      target.commit();
    };
    FaultySystem::no_exchange = no_exchange;
    const int failed = fail_every_call(attempt, [&](bool succeeded) {
      const bool is_old = fs::exists(out / "old-00001-of-00001.safetensors");
      const bool is_new = fs::exists(out / "model.safetensors.index.json");
      BOOST_TEST(is_old != is_new);
      BOOST_TEST((is_new || !succeeded));
      if (is_new) BOOST_TEST(Checkpoint::open(out).tensors().size() == 2U);
      fs::remove_all(out);
      for (const std::string& name : folder.names()) fs::remove_all(folder / name);
    });
    FaultySystem::no_exchange = false;
    BOOST_TEST(failed > 20);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
