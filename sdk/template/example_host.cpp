// A backend on ordinary memory with two operations of its own, error_sums and gram.
//
// The host fills in its scalar reference for every operation that a backend leaves out, so a backend can grow
// one operation at a time. What it computes must agree with the reference: the class A operations bit for
// bit.
#include <octavo/backend.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

// Element (row, col) of an f32 view.
float& at(const octavo_tensor& view, std::int64_t row, std::int64_t col) {
  return octavo::row_of<float>(view, row)[col];
}

void require_f32(const octavo_tensor& view, const char* what) {
  if (view.dtype != OCTAVO_F32 || view.rank != 2)
    throw octavo::PluginError(OCTAVO_UNSUPPORTED, std::string(what) + " is not a 2-D F32 tensor");
}

// One for each thread of a run. Work is done when a function returns, so record() and wait() have nothing to
// do.
class HostLane final : public octavo::BackendLane {
 public:
  void* allocate(octavo_memory, std::uint64_t bytes) override {
    constexpr std::size_t kAlignment = 64;
    void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (data == nullptr) throw std::bad_alloc();  // reaches the host as OCTAVO_NO_MEMORY
    return data;
  }
  void release(octavo_memory, void* data) override { std::free(data); }
  void copy(void* target, octavo_memory, const void* source, octavo_memory, std::uint64_t bytes) override {
    std::memcpy(target, source, bytes);
  }

  void error_sums(const octavo_tensor& a, const octavo_tensor& b, octavo_error_sums& sums) override {
    require_f32(a, "a");
    require_f32(b, "b");
    sums.error_sum = sums.signal_sum = 0;
    sums.max_error = 0;
    for (std::int64_t row = 0; row < a.shape[0]; ++row) {
      for (std::int64_t col = 0; col < a.shape[1]; ++col) {
        const double signal = at(a, row, col);
        const double error = signal - at(b, row, col);
        sums.error_sum += error * error;
        sums.signal_sum += signal * signal;
        sums.max_error = std::fmax(sums.max_error, static_cast<float>(std::fabs(error)));
      }
    }
  }

  // h = x^T x, plus h if accumulate.
  void gram(const octavo_tensor& x, octavo_tensor& h, bool accumulate) override {
    require_f32(x, "x");
    require_f32(h, "h");
    for (std::int64_t i = 0; i < h.shape[0]; ++i) {
      for (std::int64_t k = 0; k < h.shape[1]; ++k) {
        double sum = accumulate ? at(h, i, k) : 0;
        for (std::int64_t row = 0; row < x.shape[0]; ++row) sum += double{at(x, row, i)} * at(x, row, k);
        at(h, i, k) = static_cast<float>(sum);
      }
    }
  }
};

class ExampleHost final : public octavo::Backend {
 public:
  // Lanes 0: one for each CPU. Operations: bit i stands for octavo_operation i.
  static constexpr octavo::LaneAdvice advice = {0, 1};
  static constexpr std::uint32_t operations = (1u << OCTAVO_OP_ERROR_SUMS) | (1u << OCTAVO_OP_GRAM);

  // Asked before anything is created: can this machine do it, and how well (0 to 1000, the highest is taken)?
  static octavo::ProbeResult probe(const octavo::Host&) { return {1, "an example that runs everywhere", {}}; }

  ExampleHost(const octavo::Host&, const octavo::Params&) {}

  std::unique_ptr<octavo::BackendLane> open_lane(const octavo_lane_request&) override {
    return std::make_unique<HostLane>();
  }

  std::string unsupported(octavo_operation operation, const octavo_grid*,
                          std::span<const octavo_tensor> operands) const override {
    if (((operations >> operation) & 1u) == 0) return "left to the host's reference";
    for (const octavo_tensor& operand : operands) {
      if (operand.dtype != OCTAVO_F32) return "only F32 is supported";
    }
    return {};
  }
};

}  // namespace

OCTAVO_BACKEND_PLUGIN(ExampleHost, {.id = "example_host",
                                    .version = OCTAVO_PLUGIN_VERSION,
                                    .summary = "Ordinary memory and two operations (an example)"})
