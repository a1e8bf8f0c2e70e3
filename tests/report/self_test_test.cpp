// The self-test of a backend, with backends that have one operation: a right one, and ones that are a little
// off.
#include "report/self_test.hpp"

#include "plugin/host_services.hpp"
#include "reference/operations.hpp"

#include <octavo/backend.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>

namespace octavo::report {
namespace {

// What is wrong with the sums over rows that the lane writes.
enum class Fault { none, rounding, last_row, every_row };
Fault fault = Fault::none;

class SumLane final : public BackendLane {
 public:
  void* allocate(octavo_memory, std::uint64_t bytes) override { return std::malloc(bytes); }
  void release(octavo_memory, void* data) override { std::free(data); }
  void copy(void* target, octavo_memory, const void* source, octavo_memory, std::uint64_t bytes) override {
    std::copy_n(static_cast<const std::byte*>(source), bytes, static_cast<std::byte*>(target));
  }
  void row_metric(const octavo_tensor& x, const octavo_tensor& pivots, octavo_tensor& metric) override {
    octavo_error error = empty_error();
    if (reference::operations().row_metric(nullptr, &x, &pivots, &metric, &error) != OCTAVO_OK)
      throw PluginError(OCTAVO_FAILED, error.message);
    auto* sums = static_cast<double*>(metric.data);
    const std::int64_t rows = metric.shape[0];
    if (fault == Fault::last_row) sums[rows - 1] *= 2;
    if (fault == Fault::every_row)
      std::transform(sums, sums + rows, sums, [](double sum) { return sum * 1.001; });
    if (fault == Fault::rounding)
      std::transform(sums, sums + rows, sums, [](double sum) { return sum * (1 + 1e-7); });
  }
};

class Sums final : public octavo::Backend {
 public:
  static constexpr LaneAdvice advice = {1, 1};
  static constexpr std::uint32_t operations = 1u << OCTAVO_OP_ROW_METRIC;
  static ProbeResult probe(const Host&) { return {1, "a test", {}}; }

  Sums(const Host&, const Params&) {}
  std::unique_ptr<BackendLane> open_lane(const octavo_lane_request&) override {
    return std::make_unique<SumLane>();
  }
  std::string unsupported(octavo_operation operation, const octavo_grid*,
                          std::span<const octavo_tensor>) const override {
    return operation == OCTAVO_OP_ROW_METRIC ? "" : "not here";
  }
};

OCTAVO_BACKEND_PLUGIN(Sums, {.id = "sums", .version = "1", .summary = "a test"})

// How row_metric fares; everything else is missing.
CheckOutcome row_metric_with(Fault wanted) {
  fault = wanted;
  const plugin::HostServices services(reference::operations());
  const plugin::Backend backend(*octavo_plugin_v1(), services.host(), {});
  CheckOutcome outcome = CheckOutcome::missing;
  for (const OperationCheck& check : self_test(backend, -1, *services.host())) {
    if (check.operation == "row_metric") {
      outcome = check.outcome;
    } else {
      BOOST_CHECK(check.outcome == CheckOutcome::missing);
    }
  }
  return outcome;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(self_test_of_backends)

BOOST_AUTO_TEST_CASE(right_sums_over_rows) {
  BOOST_CHECK(row_metric_with(Fault::none) == CheckOutcome::right);
  BOOST_CHECK(row_metric_with(Fault::rounding) == CheckOutcome::right);
}

BOOST_AUTO_TEST_CASE(wrong_sums_over_rows) {
  BOOST_CHECK(row_metric_with(Fault::every_row) == CheckOutcome::wrong);
  BOOST_CHECK(row_metric_with(Fault::last_row) == CheckOutcome::wrong);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace octavo::report
