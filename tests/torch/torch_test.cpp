#define BOOST_TEST_MODULE torch
#include <octavo/lane.hpp>
#include <octavo/torch.hpp>

#include <ATen/ops/linalg_cholesky_ex.h>
#include <boost/test/unit_test.hpp>

#include <array>
#include <thread>

namespace octavo {
namespace {

BOOST_AUTO_TEST_CASE(a_view_and_its_tensor_are_the_same_memory) {
  octavo_lane lane{};
  const TorchScope scope(lane);
  std::array<float, 12> values{};
  const octavo_tensor view = tensor_view(values.data(), OCTAVO_F32, {3, 4});
  const at::Tensor tensor = as_tensor(view);
  tensor.data_ptr<float>()[5] = 2.0f;
  BOOST_TEST(values[5] == 2.0f);
  BOOST_TEST(tensor.size(0) == 3);
  BOOST_TEST(tensor.stride(0) == 4);

  const at::Tensor part = as_tensor(part_of(view, 1, 2, 1, 2));
  BOOST_TEST(part.size(0) == 2);
  BOOST_TEST(part.size(1) == 2);
  BOOST_TEST(part.data_ptr<float>()[0] == 2.0f);
  const octavo_tensor back = view_of(part);
  BOOST_TEST(back.data == static_cast<void*>(&values[5]));
  BOOST_TEST(back.row_stride == 4);
  BOOST_TEST(back.shape[1] == 2);
}

BOOST_AUTO_TEST_CASE(columns_that_are_not_contiguous_are_no_view) {
  octavo_lane lane{};
  const TorchScope scope(lane);
  std::array<float, 4> values{};
  const at::Tensor tensor = as_tensor(tensor_view(values.data(), OCTAVO_F32, {2, 2}));
  BOOST_CHECK_THROW(view_of(tensor.t()), PluginError);
  BOOST_CHECK_THROW(as_tensor(tensor_view(values.data(), OCTAVO_F8_E4M3, {2, 2})), PluginError);
}

BOOST_AUTO_TEST_CASE(a_factor_comes_out_and_every_thread_has_one_thread) {
  // [[4, 2], [2, 5]] = C C^T, C = [[2, 0], [1, 2]].
  const auto factor = [] {
    octavo_lane lane{};
    const TorchScope scope(lane);
    std::array<float, 4> values{4, 2, 2, 5};
    const at::Tensor lower =
        std::get<0>(at::linalg_cholesky_ex(as_tensor(tensor_view(values.data(), OCTAVO_F32, {2, 2}))));
    BOOST_TEST(lower[0][0].item<float>() == 2.0f);
    BOOST_TEST(lower[1][0].item<float>() == 1.0f);
    BOOST_TEST(lower[1][1].item<float>() == 2.0f);
    BOOST_TEST(at::get_num_threads() == 1);
    BOOST_CHECK(scope.device().is_cpu());
  };
  factor();
  std::thread(factor).join();
}

BOOST_AUTO_TEST_CASE(memory_of_a_lane_without_a_backend_is_ordinary) {
  octavo_lane lane{};
  LaneMatrix matrix(lane, OCTAVO_F32, 3, 5);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(matrix.view().data) % 64 == 0u);
  const octavo_tensor part = part_of(matrix.view(), 1, 2, 2, 3);
  BOOST_TEST(part.data == static_cast<void*>(static_cast<float*>(matrix.view().data) + 7));
  const float value = 3.0f;
  copy_bytes(lane, part.data, OCTAVO_MEMORY_HOST, &value, OCTAVO_MEMORY_HOST, sizeof value);
  BOOST_TEST(static_cast<float*>(matrix.view().data)[7] == 3.0f);
}

}  // namespace
}  // namespace octavo
