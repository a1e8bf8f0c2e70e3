# Every library octavo uses, with the oldest version it is built with. scripts/setup installs them.

set(octavo_boost_components program_options)
if(OCTAVO_BUILD_TESTS)
  list(APPEND octavo_boost_components unit_test_framework)
endif()
find_package(Boost 1.74 REQUIRED COMPONENTS ${octavo_boost_components})
find_package(Threads REQUIRED)
find_package(fmt 8 REQUIRED)
find_package(spdlog 1.9 REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy>=0.16)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.30)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
if(OCTAVO_BUILD_BENCH)
  find_package(benchmark 1.6 REQUIRED)
endif()

# oneDNN: any installation >= 3.0; scripts/setup puts the PyPI build into .deps/onednn.
find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp HINTS "${PROJECT_SOURCE_DIR}/.deps/onednn/include")
find_library(ONEDNN_LIBRARY dnnl HINTS "${PROJECT_SOURCE_DIR}/.deps/onednn/lib")
if(NOT ONEDNN_INCLUDE_DIR OR NOT ONEDNN_LIBRARY)
  message(FATAL_ERROR "oneDNN 3 was not found. Run scripts/setup, or pass -DONEDNN_INCLUDE_DIR and -DONEDNN_LIBRARY.")
endif()
file(STRINGS "${ONEDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h" octavo_onednn_major
  REGEX "^#define DNNL_VERSION_MAJOR [0-9]+")
string(REGEX REPLACE "[^0-9]" "" octavo_onednn_major "${octavo_onednn_major}")
if(octavo_onednn_major LESS 3)
  message(FATAL_ERROR "oneDNN ${octavo_onednn_major} in ${ONEDNN_INCLUDE_DIR} is too old, 3.0 is needed. Run scripts/setup.")
endif()
add_library(octavo_onednn SHARED IMPORTED)
set_target_properties(octavo_onednn PROPERTIES
  IMPORTED_LOCATION "${ONEDNN_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${ONEDNN_INCLUDE_DIR}")

# LibTorch, for the optimizers that factor matrices: scripts/setup puts a wheel's CPU part into .deps/torch, which is
# installed beside the plugins; another one (OCTAVO_TORCH) is used where it lies. Without one they are left out.
include(OctavoTorch)
octavo_find_torch(DEFAULT "${PROJECT_SOURCE_DIR}/.deps/torch/torch")
if(TARGET octavo::torch AND NOT OCTAVO_TORCH)
  set_target_properties(octavo::torch PROPERTIES OCTAVO_TORCH_RPATH "$ORIGIN/../../torch/lib")
endif()

# What some tests run: OCTAVO_PYTHON has NumPy and safetensors. OCTAVO_ACCEPTANCE_PYTHON also has torch and the
# Python loaders; scripts/test --acceptance makes it and passes it. Tests that need it carry the label `acceptance`
# and exist only where it is set.
set(OCTAVO_PYTHON "${PROJECT_SOURCE_DIR}/.deps/python-venv/bin/python3" CACHE FILEPATH "Python with NumPy, for the tests")
set(OCTAVO_ACCEPTANCE_PYTHON "" CACHE FILEPATH "Python with torch and the loaders, for the acceptance tests")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()
