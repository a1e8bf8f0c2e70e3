#include "backend_under_test.hpp"

#include "reference/operations.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

namespace octavo::test {
namespace {

constexpr std::uint8_t kUntouched = 0xa5;

// A host that logs to the standard error stream, has all the memory in the world, and one thread.
const octavo_host& quiet_host() {
  static const octavo_host host = {
      sizeof(octavo_host),
      OCTAVO_ABI_MAJOR,
      OCTAVO_ABI_MINOR,
      nullptr,
      [](void*, std::uint32_t, const char* message) { std::cerr << message << std::endl; },
      [](void*) { return std::int32_t{0}; },
      [](void*, std::uint64_t, octavo_error*) { return OCTAVO_OK; },
      [](void*, std::uint64_t) {},
      [](void*, std::int64_t count, octavo_status (*task)(void*, std::int64_t), void* context,
         octavo_error*) {
        for (std::int64_t i = 0; i < count; ++i) {
          if (const octavo_status status = task(context, i); status != OCTAVO_OK) return status;
        }
        return OCTAVO_OK;
      },
      [](void*, std::uint64_t, const char*, std::uint64_t, std::uint64_t count, std::uint32_t* words) {
        std::fill_n(words, count, 0u);
      },
      &reference::operations()};
  return host;
}

[[noreturn]] void skip(const std::string& why) {
  std::cout << "skipped: " << why << std::endl;
  std::_Exit(77);
}

const octavo_plugin& load_plugin() {
  const char* path = std::getenv("OCTAVO_TEST_BACKEND");
  void* const library = dlopen(path != nullptr ? path : OCTAVO_TEST_CPU_BACKEND, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto function = reinterpret_cast<octavo_plugin_function>(dlsym(library, OCTAVO_PLUGIN_SYMBOL));
  if (function == nullptr) throw std::runtime_error(dlerror());
  return *function();
}

// The backend's table, with `reference` where it has no entry.
octavo_operations filled(const octavo_operations& own, const octavo_operations& reference,
                         bool (&has)[OCTAVO_OP_COUNT]) {
  octavo_operations all = reference;
  const auto take = [&](octavo_operation index, auto member) {
    has[index] = own.*member != nullptr;
    if (has[index]) all.*member = own.*member;
  };
  take(OCTAVO_OP_QUANTIZE_NEAREST, &octavo_operations::quantize_nearest);
  take(OCTAVO_OP_ABSMAX, &octavo_operations::absmax);
  take(OCTAVO_OP_TO_BASIS, &octavo_operations::to_basis);
  take(OCTAVO_OP_FROM_BASIS, &octavo_operations::from_basis);
  take(OCTAVO_OP_DEQUANTIZE, &octavo_operations::dequantize);
  take(OCTAVO_OP_ROUND_FEEDBACK, &octavo_operations::round_feedback);
  take(OCTAVO_OP_MATMUL, &octavo_operations::matmul);
  take(OCTAVO_OP_MATMUL_INT8, &octavo_operations::matmul_int8);
  take(OCTAVO_OP_GRAM, &octavo_operations::gram);
  take(OCTAVO_OP_ERROR_SUMS, &octavo_operations::error_sums);
  take(OCTAVO_OP_CAST, &octavo_operations::cast);
  take(OCTAVO_OP_MERGE_LOW_RANK, &octavo_operations::merge_low_rank);
  take(OCTAVO_OP_ROW_METRIC, &octavo_operations::row_metric);
  return all;
}

}  // namespace

octavo_tensor HostTensor::view() {
  octavo_tensor made =
      rank == 2 ? tensor_view(bytes.data(), dtype, {rows, cols}) : tensor_view(bytes.data(), dtype, {rows});
  if (rank == 2) made.row_stride = stride;
  return made;
}

HostTensor matrix(std::uint32_t dtype, std::int64_t rows, std::int64_t cols, std::int64_t room) {
  HostTensor made{dtype, rows, cols, cols + room, 2, {}};
  made.bytes.assign(static_cast<std::size_t>(rows * made.stride) * bytes_of(dtype), kUntouched);
  return made;
}

HostTensor vector(std::uint32_t dtype, std::int64_t count) {
  HostTensor made{dtype, count, 1, 1, 1, {}};
  made.bytes.assign(static_cast<std::size_t>(count) * bytes_of(dtype), kUntouched);
  return made;
}

BackendUnderTest& BackendUnderTest::get() {
  static BackendUnderTest backend;
  return backend;
}

BackendUnderTest::BackendUnderTest() {
  const octavo_host& host = quiet_host();
  const octavo_plugin& plugin = load_plugin();
  api_ = static_cast<const octavo_backend_api*>(plugin.api);
  octavo_error error = empty_error();
  octavo_probe probe{};
  probe.struct_size = sizeof probe;
  if (plugin.probe != nullptr) {
    if (plugin.probe(&host, &probe, &error) != OCTAVO_OK) skip(error.message);
    if (probe.score == 0) skip(probe.reason);
  }
  std::cout << plugin.id << ": " << probe.reason << std::endl;
  if (api_->create(&host, nullptr, 0, &self_, &error) != OCTAVO_OK) throw std::runtime_error(error.message);
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.count = 1;
  request.device = probe.device_count > 0 ? probe.devices[0].index : -1;
  request.slots = 1;
  request.slot_bytes = 64 << 20;
  lane_.struct_size = sizeof lane_;
  lane_.primary = 1;
  lane_.host = &host;
  if (api_->open_lane(self_, &request, &lane_, &error) != OCTAVO_OK) throw std::runtime_error(error.message);
  operations_ = filled(*lane_.operations, reference::operations(), has_);
  lane_.operations = &operations_;
}

BackendUnderTest::~BackendUnderTest() {
  api_->close_lane(self_, &lane_);
  api_->destroy(self_);
}

void BackendUnderTest::finish() {
  octavo_error error = empty_error();
  require_ok(api_->record(&lane_, 0, &error), error);
  require_ok(api_->wait(&lane_, 0, &error), error);
}

LaneTensor::LaneTensor(const HostTensor& tensor)
    : backend_(BackendUnderTest::get()), size_(tensor.bytes.size()) {
  view_ = const_cast<HostTensor&>(tensor).view();
  view_.memory = backend_.lane()->memory;
  view_.device = backend_.lane()->device;
  octavo_error error = empty_error();
  require_ok(backend_.api().allocate(backend_.lane(), view_.memory, std::max<std::size_t>(size_, 1),
                                     &view_.data, &error),
             error);
  require_ok(backend_.api().copy(backend_.lane(), view_.data, view_.memory, tensor.bytes.data(),
                                 OCTAVO_MEMORY_HOST, size_, &error),
             error);
}

LaneTensor::~LaneTensor() { backend_.api().release(backend_.lane(), view_.memory, view_.data); }

std::vector<std::uint8_t> LaneTensor::bytes() const {
  std::vector<std::uint8_t> all(size_);
  octavo_error error = empty_error();
  require_ok(backend_.api().copy(backend_.lane(), all.data(), OCTAVO_MEMORY_HOST, view_.data, view_.memory,
                                 size_, &error),
             error);
  backend_.finish();
  return all;
}

octavo_tile tile_with(const octavo_grid& grid, const octavo_tensor& source, const octavo_tensor& codes,
                      const octavo_tensor& scales) {
  octavo_tile tile{};
  tile.struct_size = sizeof tile;
  tile.grid = &grid;
  tile.source = source;
  tile.codes = codes;
  tile.scales[0] = scales;
  return tile;
}

void require_ok(octavo_status status, const octavo_error& error) {
  BOOST_REQUIRE_MESSAGE(status == OCTAVO_OK,
                        fmt::format("status {}: {}", static_cast<int>(status), error.message));
}

std::string difference(const std::vector<std::uint8_t>& found, const std::vector<std::uint8_t>& expected) {
  if (found.size() != expected.size())
    return fmt::format("{} bytes instead of {}", found.size(), expected.size());
  const auto [at, other] = std::mismatch(found.begin(), found.end(), expected.begin());
  if (at == found.end()) return {};
  std::size_t count = 0;
  for (std::size_t i = 0; i < found.size(); ++i) count += found[i] != expected[i];
  return fmt::format("byte {} is {:#04x} instead of {:#04x}; {} of {} bytes differ", at - found.begin(), *at,
                     *other, count, found.size());
}

}  // namespace octavo::test
