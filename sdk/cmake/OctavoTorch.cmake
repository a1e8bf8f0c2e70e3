# octavo_find_torch([DEFAULT <folder>]): the target octavo::torch, where there is a LibTorch.
#
# It is looked for in OCTAVO_TORCH (a CMake variable, else one of the environment): the folder `torch` of a Python
# environment, from the wheel on PyPI. DEFAULT is used when that is empty. Plugins link torch_cpu and c10 and nothing
# else of it; its headers come last, because it brings old copies of other libraries'. Properties of the target:
#   OCTAVO_TORCH_VERSION  "2.11.0": what a plugin's `links` names
#   OCTAVO_TORCH_RPATH    where a plugin finds the libraries when it is loaded
set(OCTAVO_TORCH "$ENV{OCTAVO_TORCH}" CACHE PATH "LibTorch: the folder 'torch' of a Python environment")

function(octavo_find_torch)
  cmake_parse_arguments(ARG "" "DEFAULT" "" ${ARGN})
  if(TARGET octavo::torch)
    return()
  endif()
  set(folder "${OCTAVO_TORCH}")
  if(NOT folder)
    set(folder "${ARG_DEFAULT}")
  endif()
  set(library "${folder}/lib/libtorch_cpu.so")
  set(version_header "${folder}/include/torch/headeronly/version.h")
  if(NOT folder OR NOT EXISTS "${library}" OR NOT EXISTS "${version_header}")
    if(OCTAVO_TORCH)
      message(FATAL_ERROR "OCTAVO_TORCH is ${OCTAVO_TORCH}, where there is no LibTorch (expected ${library})")
    endif()
    return()
  endif()
  set(version "")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${version_header}" line REGEX "^#define TORCH_VERSION_${part} [0-9]+")
    string(REGEX REPLACE "[^0-9]" "" number "${line}")
    list(APPEND version "${number}")
  endforeach()
  list(JOIN version "." version)
  add_library(octavo::torch INTERFACE IMPORTED GLOBAL)
  set_target_properties(octavo::torch PROPERTIES OCTAVO_TORCH_VERSION "${version}" OCTAVO_TORCH_FOLDER "${folder}"
    OCTAVO_TORCH_RPATH "${folder}/lib")
  target_compile_options(octavo::torch INTERFACE "SHELL:-idirafter \"${folder}/include\"")
  target_link_libraries(octavo::torch INTERFACE "${library}" "${folder}/lib/libc10.so")
  # What those link is found by their own search paths when they are loaded.
  target_link_options(octavo::torch INTERFACE "-Wl,--allow-shlib-undefined")
endfunction()
