#include "checkpoint/framing.hpp"
#include "checkpoint/writer.hpp"
#include "faulty_system.hpp"
#include "output_bytes.hpp"
#include "temporary_folder.hpp"
#include "tmpfs.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::allocated_bytes;
using test::ErrorWith;
using test::FaultySystem;
using test::has_tmpfs;
using test::large_layout;
using test::read_file;
using test::small_layout;
using test::TemporaryFolder;
using test::whole_file;
using test::write_all;
using test::write_file;
using test::write_range;

using Names = std::set<std::string>;

struct Fixture {
  TemporaryFolder folder;
  const fs::path out = folder / "out.safetensors";

  OutputOptions with_force() const { return {.force = true}; }
  void check_refused(const fs::path& path, ErrorCode code, const std::string& text,
                     const OutputOptions& options = {}, const Layout& layout = small_layout()) const {
    const Names before = folder.names();
    BOOST_CHECK_EXCEPTION(OutputFile(path, layout, options), Error, (ErrorWith{code, text}));
    BOOST_TEST((folder.names() == before));
  }
};

BOOST_FIXTURE_TEST_SUITE(checkpoint_writer, Fixture)

BOOST_AUTO_TEST_CASE(a_committed_file_has_exactly_its_bytes) {
  for (const VerifyLevel level : {VerifyLevel::header, VerifyLevel::sampled, VerifyLevel::full}) {
    OutputFile file(out, small_layout(), {.force = true, .verify = level});
    write_all(file, 100);
    file.commit();
    BOOST_TEST((read_file(out) == whole_file(small_layout())));
  }
  BOOST_TEST((folder.names() == Names{"out.safetensors"}));
}

BOOST_AUTO_TEST_CASE(every_way_of_writing_gives_the_same_bytes_from_many_threads) {
  for (const SinkKind kind : {SinkKind::mapping, SinkKind::positioned, SinkKind::ahead}) {
    const TemporaryFolder place(has_tmpfs() ? test::kTmpfs : folder.path());
    OutputFile file(place / "out", large_layout(), {.verify = VerifyLevel::full, .sink = kind});
    const PlacedTensor big = *file.layout().find("big");
    std::atomic<uint64_t> next{0};
    {
      std::vector<std::jthread> threads;
      threads.reserve(4);
      for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
          for (uint64_t row = next++; row < 70; row = next++)
            write_range(file, big.offset + row * (1 << 20), 1 << 20);
        });
      const PlacedTensor tail = *file.layout().find("tail");
      write_range(file, tail.offset, tail.bytes);
    }
    file.commit();
    BOOST_TEST((read_file(place / "out") == whole_file(large_layout())));
  }
}

BOOST_AUTO_TEST_CASE(where_nothing_can_be_reserved_the_bytes_are_the_same) {
  const test::NoFallocate fault(EOPNOTSUPP);
  for (const SinkKind kind : {SinkKind::mapping, SinkKind::positioned, SinkKind::ahead}) {
    OutputFile file(out, small_layout(), {.force = true, .sink = kind});
    write_all(file, 64);
    file.commit();
    BOOST_TEST((read_file(out) == whole_file(small_layout())));
  }
}

BOOST_AUTO_TEST_CASE(blocks_are_allocated_ahead_until_the_first_write,
                     *boost::unit_test::precondition(test::on_tmpfs)) {
  const TemporaryFolder place(test::kTmpfs);
  OutputFile file(place / "out", large_layout(), {.verify = VerifyLevel::full, .sink = SinkKind::ahead});
  BOOST_TEST(allocated_bytes(file.temp_path()) == 0);
  BOOST_TEST(file.reserve_more());
  const uint64_t after_one = allocated_bytes(file.temp_path());
  BOOST_TEST(after_one > 0);
  BOOST_TEST(file.reserve_more());
  BOOST_TEST(allocated_bytes(file.temp_path()) == 2 * after_one);
  write_all(file, 1 << 20);
  BOOST_TEST(!file.reserve_more());
  file.commit();
  BOOST_TEST((read_file(place / "out") == whole_file(large_layout())));
}

BOOST_AUTO_TEST_CASE(all_of_a_file_is_allocated_ahead_if_there_is_time,
                     *boost::unit_test::precondition(test::on_tmpfs)) {
  const TemporaryFolder place(test::kTmpfs);
  OutputFile file(place / "out", large_layout(), {.sink = SinkKind::ahead});
  while (file.reserve_more()) {
  }
  BOOST_TEST(allocated_bytes(file.temp_path()) >= large_layout().file_bytes);
  BOOST_TEST(fs::file_size(file.temp_path()) == large_layout().file_bytes);
}

// What has the bytes stored is a thread that runs when it can.
void write_until_a_sync_has_started(OutputFile& file) {
  FaultySystem::started_syncs = 0;
  write_all(file, 1 << 20);
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (FaultySystem::started_syncs == 0 && std::chrono::steady_clock::now() < patience)
    std::this_thread::yield();
  BOOST_TEST(FaultySystem::started_syncs > 0);
}

BOOST_AUTO_TEST_CASE(what_is_written_is_on_its_way_to_the_disk_before_the_end) {
  OutputFile file(out, large_layout(), {.verify = VerifyLevel::full, .sink = SinkKind::positioned});
  write_until_a_sync_has_started(file);
  file.commit();
  BOOST_TEST((read_file(out) == whole_file(large_layout())));
}

BOOST_AUTO_TEST_CASE(files_that_share_a_thread_are_on_their_way_too) {
  const auto early_sync = make_early_sync(true);
  for (const char* const name : {"first", "second"}) {
    OutputFile file(folder / name, large_layout(), {.sink = SinkKind::positioned, .early_sync = early_sync});
    write_until_a_sync_has_started(file);
    file.commit();
    BOOST_TEST(fs::file_size(folder / name) == large_layout().file_bytes);
  }
}

BOOST_AUTO_TEST_CASE(a_disk_that_fails_early_is_an_error_of_the_commit) {
  const test::ErrorScope full(FaultySystem::start_sync_error, ENOSPC);
  {
    OutputFile file(out, large_layout(), {.sink = SinkKind::positioned});
    write_until_a_sync_has_started(file);
    BOOST_CHECK_EXCEPTION(file.commit(), Error, (ErrorWith{ErrorCode::io, "No space left"}));
  }
  BOOST_TEST(folder.names().empty());
}

BOOST_AUTO_TEST_CASE(a_file_system_that_knows_no_early_syncs_is_no_error) {
  const test::ErrorScope unknown(FaultySystem::start_sync_error, EINVAL);
  OutputFile file(out, large_layout(), {.sink = SinkKind::positioned});
  write_until_a_sync_has_started(file);
  file.commit();
  BOOST_TEST(fs::file_size(out) == large_layout().file_bytes);
}

BOOST_AUTO_TEST_CASE(nothing_is_on_its_way_to_the_disk_where_nobody_waits_for_it) {
  FaultySystem::started_syncs = 0;
  OutputFile file(out, large_layout(), {.durable = false, .sink = SinkKind::positioned});
  write_all(file, 1 << 20);
  file.commit();
  BOOST_TEST(FaultySystem::started_syncs == 0);
}

long resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "RssShmem:") {
      long kib = 0;
      status >> kib;
      return kib;
    }
  return -1;
}

BOOST_AUTO_TEST_CASE(a_mapped_output_does_not_count_as_memory,
                     *boost::unit_test::precondition(test::on_tmpfs)) {
  const TemporaryFolder place(test::kTmpfs);
  OutputFile file(place / "out", large_layout(), {.sink = SinkKind::mapping});
  const long before = resident_kib();
  BOOST_REQUIRE(before >= 0);
  write_all(file, 1 << 20);
  BOOST_TEST(resident_kib() - before < 1024);
}

BOOST_AUTO_TEST_CASE(the_temporary_file_is_hidden_private_and_invalid_until_the_end) {
  OutputFile file(out, small_layout(), {});
  const fs::path temp = file.temp_path();
  BOOST_TEST(temp.parent_path() == folder.path());
  BOOST_TEST(temp.filename().string().starts_with(fmt::format(".out.safetensors.{}-", ::getpid())));
  BOOST_TEST(temp.extension() == ".part");
  BOOST_TEST(fs::file_size(temp) == small_layout().file_bytes);
  BOOST_TEST((fs::status(temp).permissions() == (fs::perms::owner_read | fs::perms::owner_write)));
  write_all(file, 1 << 20);
  BOOST_TEST(read_file(temp).substr(0, 8) == std::string(8, '\0'));
  BOOST_CHECK_THROW(read_header(File::open_to_read(temp)), Error);
  BOOST_TEST(!fs::exists(out));
}

BOOST_AUTO_TEST_CASE(without_a_commit_nothing_is_left) {
  {
    OutputFile file(out, small_layout(), {});
    write_all(file, 1 << 20);
  }
  BOOST_TEST(folder.names().empty());
}

BOOST_AUTO_TEST_CASE(the_mode_follows_the_umask_or_the_option) {
  const mode_t before = ::umask(027);
  const auto mode_after = [&](const OutputOptions& options) {
    OutputFile file(out, small_layout(), options);
    write_all(file, 1 << 20);
    file.commit();
    return static_cast<int>(fs::status(out).permissions());
  };
  BOOST_TEST(mode_after({}) == 0640);
  BOOST_TEST(mode_after({.force = true, .mode = 0444}) == 0444);
  ::umask(before);
}

BOOST_AUTO_TEST_CASE(a_byte_that_was_never_written_stops_the_commit) {
  OutputFile file(out, small_layout(), {});
  const PlacedTensor w = *file.layout().find("w");
  const PlacedTensor s = *file.layout().find("s");
  write_range(file, w.offset, w.bytes);
  write_range(file, s.offset, s.bytes - 1);
  BOOST_CHECK_EXCEPTION(file.commit(), Error, (ErrorWith{ErrorCode::failed, "do not cover"}));
  BOOST_TEST(!fs::exists(out));
}

BOOST_AUTO_TEST_CASE(a_write_may_replace_what_lies_within_its_bounds) {
  {
    OutputFile file(out, small_layout(), {.verify = VerifyLevel::full});
    const PlacedTensor w = *file.layout().find("w");
    const std::string wrong(w.bytes, 'x');
    file.write(w.offset, std::as_bytes(std::span(wrong)));
    write_all(file, 1 << 20);
    file.commit();
  }
  BOOST_TEST((read_file(out) == whole_file(small_layout())));
  {
    OutputFile file(folder / "pieces", small_layout(), {.verify = VerifyLevel::full});
    const PlacedTensor w = *file.layout().find("w");
    const std::string wrong(w.bytes, 'x');  // in two pieces, as of a device that was lost
    file.write(w.offset, std::as_bytes(std::span(wrong).first(5)));
    file.write(w.offset + 5, std::as_bytes(std::span(wrong).subspan(5)));
    write_all(file, 1 << 20);
    file.commit();
  }
  BOOST_TEST((read_file(folder / "pieces") == whole_file(small_layout())));
  {
    OutputFile file(folder / "again", small_layout(), {.verify = VerifyLevel::full});
    write_all(file, 1 << 20);
    file.begin_again();
    write_all(file, 3);
    file.commit();
  }
  BOOST_TEST((read_file(folder / "again") == whole_file(small_layout())));
  OutputFile file(folder / "other", small_layout(), {});
  write_all(file, 1 << 20);
  write_range(file, file.layout().find("w")->offset, 5);
  BOOST_CHECK_EXCEPTION(file.commit(), Error, (ErrorWith{ErrorCode::failed, "overlap"}));
}

BOOST_AUTO_TEST_CASE(writes_outside_of_the_data_are_refused) {
  OutputFile file(out, small_layout(), {});
  const uint64_t start = small_layout().header_bytes.size();
  const uint64_t end = small_layout().file_bytes;
  for (const auto& [offset, size] :
       {std::pair<uint64_t, uint64_t>{0, 8}, {start - 1, 2}, {end - 1, 2}, {end, 1}, {UINT64_MAX, 2}})
    BOOST_CHECK_EXCEPTION(write_range(file, offset, size), Error,
                          (ErrorWith{ErrorCode::failed, "outside of the data"}));
}

// Changes the stored file behind the writer's back, as a faulty disk would.
void corrupt(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(test::byte_at(offset) ^ 1));
}

BOOST_AUTO_TEST_CASE(stored_bytes_that_differ_are_found) {
  for (const VerifyLevel level : {VerifyLevel::sampled, VerifyLevel::full}) {
    OutputFile file(out, small_layout(), {.verify = level});
    write_all(file, 100);
    corrupt(file.temp_path(), file.layout().find("w")->offset + 517);
    BOOST_CHECK_EXCEPTION(file.commit(), Error,
                          (ErrorWith{ErrorCode::io, "are not the ones that were written"}));
    BOOST_TEST(!fs::exists(out));
  }
  OutputFile file(out, large_layout(), {.verify = VerifyLevel::full});
  write_all(file, 1 << 20);
  corrupt(file.temp_path(), file.layout().find("big")->offset + 33 * (1 << 20) + 5);
  BOOST_CHECK_EXCEPTION(file.commit(), Error,
                        (ErrorWith{ErrorCode::io, "are not the ones that were written"}));
}

// Whichever of its looks ends it, a commit leaves the old file and nothing else.
BOOST_AUTO_TEST_CASE(a_commit_can_be_stopped_at_every_step) {
  write_file(out, "old");
  int looks = 0;
  for (int last = 1;; ++last) {
    looks = 0;
    const auto stop = [&] {
      if (++looks == last) throw Error(ErrorCode::interrupted, "stopped");
    };
    OutputFile file(out, small_layout(), {.force = true, .verify = VerifyLevel::header, .check_stop = stop});
    write_all(file, 100);
    try {
      file.commit();
      break;
    } catch (const Error& error) {
      BOOST_TEST((error.code() == ErrorCode::interrupted));
    }
    BOOST_TEST(read_file(out) == "old");
  }
  BOOST_TEST(looks >= 4);
  BOOST_TEST(read_file(out) == whole_file(small_layout()));
  BOOST_TEST((folder.names() == Names{"out.safetensors"}));
}

// A file that holds the bytes of `layout` from `at` on.
File source_of(const TemporaryFolder& folder, const Layout& layout, uint64_t at) {
  const uint64_t start = layout.header_bytes.size();
  write_file(folder / "source", std::string(at, '?') + test::bytes_of(start, layout.file_bytes - start));
  return File::open_to_read(folder / "source");
}

BOOST_AUTO_TEST_CASE(copies_are_writes_wherever_they_lie_in_their_blocks) {
  for (const uint64_t at : {uint64_t{0}, uint64_t{1}, uint64_t{4096}, large_layout().header_bytes.size()}) {
    const Layout layout = large_layout();
    const File source = source_of(folder, layout, at);
    OutputFile file(out, layout, {.force = true, .verify = VerifyLevel::full, .sink = SinkKind::unreserved});
    const uint64_t start = layout.header_bytes.size();
    const uint64_t first = (40 << 20) + 123;
    file.copy_from(source, at, start, first);
    file.copy_from(source, at + first, start + first, layout.file_bytes - start - first);
    file.commit();
    BOOST_TEST((read_file(out) == whole_file(layout)));
  }
}

BOOST_AUTO_TEST_CASE(copies_are_checked) {
  const Layout layout = small_layout();
  const File source = source_of(folder, layout, 5);
  const uint64_t start = layout.header_bytes.size();
  const uint64_t size = layout.file_bytes - start;
  OutputFile file(out, layout, {.verify = VerifyLevel::full});
  BOOST_CHECK_EXCEPTION(file.copy_from(source, 5, start - 1, 2), Error,
                        (ErrorWith{ErrorCode::failed, "outside of the data"}));
  BOOST_CHECK_EXCEPTION(file.copy_from(source, 6, start, size), Error,
                        (ErrorWith{ErrorCode::bad_input, "the file ends at"}));
  file.copy_from(source, 5, start, size);
  corrupt(file.temp_path(), layout.find("w")->offset + 3);
  BOOST_CHECK_EXCEPTION(file.commit(), Error,
                        (ErrorWith{ErrorCode::io, "are not the ones that were written"}));
}

// T21.
BOOST_AUTO_TEST_CASE(an_output_that_is_an_input_is_refused_under_every_name) {
  write_file(out, "input");
  fs::create_hard_link(out, folder / "hard");
  fs::create_symlink("out.safetensors", folder / "soft");
  fs::create_directory_symlink(folder.path(), folder / "folder");
  const OutputOptions options{.force = true, .inputs = {snapshot_of(out)->identity}};
  for (const fs::path& name : {out, folder / "hard", folder / "soft", folder / "folder" / "out.safetensors"})
    check_refused(name, ErrorCode::usage, "same file as an input", options);
  BOOST_TEST(read_file(out) == "input");
}

// T22.
BOOST_AUTO_TEST_CASE(an_existing_output_stays_until_the_commit) {
  write_file(out, "old");
  check_refused(out, ErrorCode::usage, "exists");
  {
    OutputFile file(out, small_layout(), with_force());
    write_all(file, 1 << 20);
    BOOST_TEST(read_file(out) == "old");
  }
  BOOST_TEST(read_file(out) == "old");
  OutputFile file(out, small_layout(), with_force());
  write_all(file, 1 << 20);
  file.commit();
  BOOST_TEST((read_file(out) == whole_file(small_layout())));
}

BOOST_AUTO_TEST_CASE(an_output_that_appears_meanwhile_is_not_replaced_without_force) {
  for (const bool unsupported : {false, true}) {
    FaultySystem::no_exchange = unsupported;
    OutputFile file(out, small_layout(), {});
    write_all(file, 1 << 20);
    write_file(out, "theirs");
    BOOST_CHECK_EXCEPTION(file.commit(), Error, (ErrorWith{ErrorCode::usage, "exists"}));
    BOOST_TEST(read_file(out) == "theirs");
    fs::remove(out);
  }
  FaultySystem::no_exchange = false;
}

BOOST_AUTO_TEST_CASE(a_link_is_replaced_and_never_written_through) {
  write_file(folder / "blob", "blob");
  fs::create_symlink("blob", out);
  check_refused(out, ErrorCode::usage, "exists");
  OutputFile file(out, small_layout(), with_force());
  write_all(file, 1 << 20);
  file.commit();
  BOOST_TEST(!fs::is_symlink(out));
  BOOST_TEST(read_file(folder / "blob") == "blob");
}

BOOST_AUTO_TEST_CASE(only_regular_files_are_outputs) {
  fs::create_directory(folder / "d");
  check_refused(folder / "d", ErrorCode::usage, "is a folder", with_force());
  BOOST_REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  check_refused(folder / "fifo", ErrorCode::usage, "not a regular file", with_force());
  fs::create_symlink("/dev/null", folder / "null");
  check_refused(folder / "null", ErrorCode::usage, "not a regular file", with_force());
  check_refused(folder / "d/", ErrorCode::usage, "is a folder", with_force());
  check_refused(folder / "new/", ErrorCode::usage, "names a folder");
  check_refused("", ErrorCode::usage, "not a name");
  check_refused("/", ErrorCode::usage, "not a name");
  check_refused(folder / "..", ErrorCode::usage, "not a name");
}

// T24.
BOOST_AUTO_TEST_CASE(a_folder_that_cannot_take_the_output_is_an_io_error) {
  write_file(folder / "f", "");
  check_refused(folder / "none" / "out", ErrorCode::io, "no such folder");
  check_refused(folder / "f" / "out", ErrorCode::io, "");
  check_refused("/proc/out.safetensors", ErrorCode::io, "");
  if (::geteuid() == 0) {
    BOOST_TEST_MESSAGE("read-only folder skipped: root may write to it");
    return;
  }
  fs::create_directory(folder / "ro");
  fs::permissions(folder / "ro", fs::perms::owner_read | fs::perms::owner_exec);
  check_refused(folder / "ro" / "out", ErrorCode::io, "Permission denied");
}

// T25.
BOOST_AUTO_TEST_CASE(room_is_checked_to_the_byte) {
  FaultySystem::free_bytes = small_layout().file_bytes - 1;
  check_refused(out, ErrorCode::io, "1 too few");
  FaultySystem::free_bytes = small_layout().file_bytes;
  BOOST_CHECK_NO_THROW(OutputFile(out, small_layout(), {}));
  FaultySystem::free_bytes = 0;
  check_refused(out, ErrorCode::io, "are free", {}, lay_out({}, {{"huge", OCTAVO_U8, {uint64_t{1} << 50}}}));
}

class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const struct rlimit limit { bytes, before_.rlim_max };
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  struct rlimit before_ {};
};

// T30.
BOOST_AUTO_TEST_CASE(a_file_size_limit_is_an_error_and_no_signal) {
  {
    const FileSizeLimit limit(small_layout().file_bytes - 1);
    check_refused(out, ErrorCode::io, "this process may write files of");
  }
  OutputFile file(out, small_layout(), {.sink = SinkKind::positioned});
  // The limit comes into force in the middle of a tensor: a short write first, then the error.
  const PlacedTensor w = *file.layout().find("w");
  const FileSizeLimit limit(w.offset + w.bytes / 2);
  BOOST_CHECK_EXCEPTION(write_range(file, w.offset, w.bytes), Error,
                        (ErrorWith{ErrorCode::io, "File too large"}));
}

// T37.
BOOST_AUTO_TEST_CASE(a_second_run_on_the_same_output_fails_at_once) {
  {
    OutputFile file(out, small_layout(), {});
    check_refused(out, ErrorCode::io, "another run");
    fs::create_directory_symlink(folder.path(), folder / "link");
    check_refused(folder / "link" / "out.safetensors", ErrorCode::io, "another run");
    BOOST_CHECK_NO_THROW(OutputFile(folder / "other.safetensors", small_layout(), {}));
    check_refused(out, ErrorCode::io, "another run");  // the refusals have not let the lock go
  }
  BOOST_CHECK_NO_THROW(OutputFile(out, small_layout(), {}));
  write_file(folder / ".out.safetensors.lock", "");  // what a killed run leaves
  BOOST_CHECK_NO_THROW(OutputFile(out, small_layout(), {}));
  BOOST_TEST(!fs::exists(folder / ".out.safetensors.lock"));
}

BOOST_AUTO_TEST_CASE(the_longest_names_work) {
  const fs::path path = folder / std::string(255, 'n');
  OutputFile file(path, small_layout(), {});
  write_all(file, 1 << 20);
  file.commit();
  BOOST_TEST((read_file(path) == whole_file(small_layout())));
}

BOOST_AUTO_TEST_CASE(a_bare_name_is_written_to_the_current_folder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  OutputFile file("bare", small_layout(), {});
  write_all(file, 1 << 20);
  file.commit();
  fs::current_path(before);
  BOOST_TEST((folder.names() == Names{"bare"}));
}

BOOST_AUTO_TEST_CASE(discard_creates_nothing) {
  OutputFile file("/nowhere/out", small_layout(), {.discard = true});
  write_all(file, 100);
  BOOST_CHECK_EXCEPTION(write_range(file, 0, 8), Error, (ErrorWith{ErrorCode::failed, "outside"}));
  file.commit();
  BOOST_TEST(file.temp_path().empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
