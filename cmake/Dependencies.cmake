# Every library octavo uses, with the oldest version it is built with. scripts/setup installs them.

# Debian 12 ships Boost 1.74 and 1.81 side by side; take the newest that is there.
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(Threads REQUIRED)
find_package(fmt 8 REQUIRED)
find_package(spdlog 1.9 REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy>=0.16)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.30)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)

# oneDNN: any installation >= 3.0; scripts/setup puts the PyPI build into .deps/onednn.
find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp HINTS "${PROJECT_SOURCE_DIR}/.deps/onednn/include")
find_library(ONEDNN_LIBRARY dnnl HINTS "${PROJECT_SOURCE_DIR}/.deps/onednn/lib")
if(NOT ONEDNN_INCLUDE_DIR OR NOT ONEDNN_LIBRARY)
  message(FATAL_ERROR "oneDNN 3 was not found. Run scripts/setup, or pass -DONEDNN_INCLUDE_DIR and -DONEDNN_LIBRARY.")
endif()
add_library(octavo_onednn SHARED IMPORTED)
set_target_properties(octavo_onednn PROPERTIES
  IMPORTED_LOCATION "${ONEDNN_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${ONEDNN_INCLUDE_DIR}")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()
