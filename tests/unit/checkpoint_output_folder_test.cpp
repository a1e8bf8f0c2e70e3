#include "checkpoint/output_folder.hpp"
#include "checkpoint/reader.hpp"
#include "faulty_system.hpp"
#include "output_bytes.hpp"
#include "temporary_folder.hpp"
#include "tmpfs.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <chrono>
#include <thread>

namespace octavo::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::ErrorWith;
using test::FaultySystem;
using test::TemporaryFolder;
using test::write_all;
using test::write_file;

using Names = std::set<std::string>;

ShardSet two_shards() {
  return lay_out_shards({}, {{{"a", OCTAVO_U8, {40}}, ""}, {{"b", OCTAVO_U8, {50}}, ""}}, {.count = 2});
}

Names names_in(const fs::path& path) {
  Names names;
  for (const fs::directory_entry& entry : fs::directory_iterator(path))
    names.insert(entry.path().filename().string());
  return names;
}

const Names kComplete{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                      "model.safetensors.index.json"};

struct Fixture {
  TemporaryFolder folder;
  const fs::path out = folder / "out";

  void convert(const OutputOptions& options = {}) const {
    OutputFolder target(out, two_shards(), options);
    for (size_t i = 0; i < target.size(); ++i) write_all(target.shard(i), 16);
    target.commit();
  }
  void check_refused(ErrorCode code, const std::string& text, const OutputOptions& options = {}) const {
    const Names before = folder.names();
    BOOST_CHECK_EXCEPTION(OutputFolder(out, two_shards(), options), Error, (ErrorWith{code, text}));
    BOOST_TEST((folder.names() == before));
  }
};

BOOST_FIXTURE_TEST_SUITE(checkpoint_output_folder, Fixture)

BOOST_AUTO_TEST_CASE(the_folder_appears_complete) {
  {
    OutputFolder target(fs::path(out.string() + "/"), two_shards(), {});
    for (size_t i = 0; i < target.size(); ++i) write_all(target.shard(i), 16);
    BOOST_TEST(!fs::exists(out));
    target.commit();
  }
  BOOST_TEST((folder.names() == Names{"out"}));
  BOOST_TEST((names_in(out) == kComplete));
  const Checkpoint checkpoint = Checkpoint::open(out);
  BOOST_TEST(checkpoint.notes().empty());
  const ShardSet set = two_shards();
  std::string bytes(50, '\0');
  checkpoint.read(*checkpoint.find("b"), 0, std::as_writable_bytes(std::span(bytes)));
  BOOST_TEST((bytes == test::bytes_of(set.layouts[1].find("b")->offset, 50)));
}

// As many as are allocated side by side, each in more than one piece.
ShardSet many_shards() {
  std::vector<GroupedTensor> tensors;
  for (const std::string name : {"a", "b", "c", "d", "e"})
    tensors.push_back({{name, OCTAVO_U8, {uint64_t{5} << 20}}, ""});
  return lay_out_shards({}, tensors, {.count = 5});
}

void check_many_shards(const fs::path& folder) {
  const ShardSet shards = many_shards();
  for (size_t i = 0; i < shards.names.size(); ++i)
    BOOST_TEST((test::read_file(folder / shards.names[i]) == test::whole_file(shards.layouts[i])));
}

bool is_allocated(OutputFile& file) {
  return test::allocated_bytes(file.temp_path()) >= file.layout().file_bytes;
}

BOOST_AUTO_TEST_CASE(shards_are_allocated_side_by_side, *boost::unit_test::precondition(test::on_tmpfs)) {
  const TemporaryFolder place(test::kTmpfs);
  OutputFolder target(place / "out", many_shards(), {.sink = SinkKind::ahead});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (size_t i = 0; i < target.size(); ++i) {
    while (!is_allocated(target.shard(i)) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    BOOST_TEST(is_allocated(target.shard(i)));
  }
  for (size_t i = 0; i < target.size(); ++i) write_all(target.shard(i), 1 << 20);
  target.commit();
  check_many_shards(place / "out");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_allocated_ahead_is_written_all_the_same,
                     *boost::unit_test::precondition(test::on_tmpfs)) {
  for (const int error : {EOPNOTSUPP, ENOSPC}) {
    const test::NoFallocate fault(error);
    const TemporaryFolder place(test::kTmpfs);
    OutputFolder target(place / "out", many_shards(), {.sink = SinkKind::ahead});
    for (size_t i = 0; i < target.size(); ++i) write_all(target.shard(i), 1 << 20);
    target.commit();
    check_many_shards(place / "out");
  }
}

BOOST_AUTO_TEST_CASE(a_folder_may_go_while_it_is_being_allocated) {
  const TemporaryFolder place(test::has_tmpfs() ? test::kTmpfs : folder.path());
  for (int i = 0; i < 5; ++i) OutputFolder(place / "out", many_shards(), {.sink = SinkKind::ahead});
  BOOST_TEST(place.names().empty());
}

BOOST_AUTO_TEST_CASE(without_a_commit_nothing_is_left) {
  {
    OutputFolder target(out, two_shards(), {});
    write_all(target.shard(0), 16);
    BOOST_TEST(fs::exists(target.temp_path()));
  }
  BOOST_TEST(folder.names().empty());
}

BOOST_AUTO_TEST_CASE(an_unfinished_shard_stops_the_commit) {
  {
    OutputFolder target(out, two_shards(), {});
    write_all(target.shard(0), 16);
    BOOST_CHECK_EXCEPTION(target.commit(), Error, (ErrorWith{ErrorCode::failed, "do not cover"}));
  }
  BOOST_TEST(folder.names().empty());
}

BOOST_AUTO_TEST_CASE(an_old_output_is_replaced_only_with_force) {
  fs::create_directory(out);
  write_file(out / "old-00001-of-00001.safetensors", "old");
  write_file(out / "old.safetensors.index.json", "old");
  check_refused(ErrorCode::usage, "exists");
  for (const bool no_exchange : {false, true}) {
    FaultySystem::no_exchange = no_exchange;
    convert({.force = true});
    BOOST_TEST((folder.names() == Names{"out"}));
    BOOST_TEST((names_in(out) == kComplete));
  }
  FaultySystem::no_exchange = false;
}

BOOST_AUTO_TEST_CASE(a_folder_with_anything_else_in_it_is_never_replaced) {
  const OutputOptions force{.force = true};
  fs::create_directory(out);
  write_file(out / "thesis.docx", "");
  check_refused(ErrorCode::usage, "something else than one index", force);
  fs::remove(out / "thesis.docx");
  fs::create_directory(out / "sub.safetensors");
  check_refused(ErrorCode::usage, "something else than one index", force);
  fs::remove(out / "sub.safetensors");
  for (const char* name : {"flux.safetensors", "flux-00001-of-00002.safetensors"}) {  // somebody's models
    write_file(out / name, "");
    check_refused(ErrorCode::usage, "something else than one index", force);
    fs::remove(out / name);
  }
  for (const char* name : {"a.safetensors.index.json", "b-00001-of-00001.safetensors"})  // of two sets
    write_file(out / name, "");
  check_refused(ErrorCode::usage, "something else than one index", force);
  for (const fs::path& path : {out / "a.safetensors.index.json", out / "b-00001-of-00001.safetensors"})
    fs::remove(path);
  write_file(out / "in.safetensors", "");
  check_refused(ErrorCode::usage, "holds an input",
                {.force = true, .inputs = {snapshot_of(out / "in.safetensors")->identity}});
  fs::remove_all(out);
  write_file(out, "a file");
  check_refused(ErrorCode::usage, "is not a folder", force);
}

BOOST_AUTO_TEST_CASE(a_folder_that_got_something_else_meanwhile_stays) {
  fs::create_directory(out);
  OutputFolder target(out, two_shards(), {.force = true});
  for (size_t i = 0; i < target.size(); ++i) write_all(target.shard(i), 16);
  write_file(out / "thesis.docx", "");
  BOOST_CHECK_EXCEPTION(target.commit(), Error, (ErrorWith{ErrorCode::usage, "something else"}));
  BOOST_TEST((names_in(out) == Names{"thesis.docx"}));
}

BOOST_AUTO_TEST_CASE(all_shards_together_must_fit) {
  FaultySystem::free_bytes = two_shards().bytes() - 1;
  check_refused(ErrorCode::io, "1 too few");
  FaultySystem::free_bytes = 0;
}

BOOST_AUTO_TEST_CASE(a_second_run_on_the_same_folder_fails_at_once) {
  const OutputFolder first(out, two_shards(), {});
  check_refused(ErrorCode::io, "another run");
}

BOOST_AUTO_TEST_CASE(discard_creates_nothing) {
  convert({.discard = true});
  BOOST_TEST(folder.names().empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace octavo::checkpoint
