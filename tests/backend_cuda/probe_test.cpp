// The plugin loads on every machine and says whether it can work there, and why not.
#define BOOST_TEST_MODULE octavo_cuda_probe
#include <octavo/abi/backend.h>
#include <octavo/plugin.hpp>

#include <boost/test/unit_test.hpp>

#include <dlfcn.h>

#include <string>

namespace {

const octavo_plugin& plugin() {
  void* const library = dlopen(OCTAVO_TEST_CUDA_BACKEND, RTLD_NOW | RTLD_LOCAL);
  BOOST_REQUIRE_MESSAGE(library != nullptr, dlerror());
  return *reinterpret_cast<octavo_plugin_function>(dlsym(library, OCTAVO_PLUGIN_SYMBOL))();
}

// The driver is there if its library and a device node are.
bool has_driver() { return dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) != nullptr; }

}  // namespace

BOOST_AUTO_TEST_CASE(every_operation_is_there) {
  const octavo_plugin& cuda = plugin();
  BOOST_CHECK_EQUAL(cuda.id, "cuda");
  BOOST_CHECK_EQUAL(cuda.kind, static_cast<std::uint32_t>(OCTAVO_KIND_BACKEND));
  const auto& api = *static_cast<const octavo_backend_api*>(cuda.api);
  BOOST_CHECK_EQUAL(api.lanes, 12u);
  BOOST_CHECK_EQUAL(api.slots, 2u);
}

BOOST_AUTO_TEST_CASE(a_machine_without_a_driver_is_told_so) {
  octavo_probe probe{};
  probe.struct_size = sizeof probe;
  octavo_error error = octavo::empty_error();
  BOOST_REQUIRE_EQUAL(plugin().probe(nullptr, &probe, &error), OCTAVO_OK);
  BOOST_CHECK_NE(std::string(probe.reason), "");
  if (has_driver()) {
    BOOST_CHECK_EQUAL(probe.score > 0, probe.device_count > 0);
    return;
  }
  BOOST_CHECK_EQUAL(probe.score, 0u);
  BOOST_CHECK_EQUAL(probe.device_count, 0u);
  BOOST_CHECK_EQUAL(probe.absent, 1u);
  BOOST_CHECK_EQUAL(std::string(probe.reason), "no NVIDIA driver is installed (libcuda.so.1 was not found)");
}

BOOST_AUTO_TEST_CASE(a_lane_without_a_device_is_an_error_with_a_reason) {
  if (has_driver()) return;
  const octavo_plugin& cuda = plugin();
  const auto& api = *static_cast<const octavo_backend_api*>(cuda.api);
  const octavo_host host{};
  octavo_error error = octavo::empty_error();
  void* self = nullptr;
  BOOST_REQUIRE_EQUAL(api.create(&host, nullptr, 0, &self, &error), OCTAVO_OK);
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.count = request.slots = 1;
  request.slot_bytes = 1 << 20;
  octavo_lane lane{};
  lane.struct_size = sizeof lane;
  BOOST_CHECK_NE(api.open_lane(self, &request, &lane, &error), OCTAVO_OK);
  BOOST_CHECK_NE(std::string(error.message).find("driver"), std::string::npos);
  api.destroy(self);
}
