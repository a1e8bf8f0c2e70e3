# octavo_options: what every target of this project is compiled with.
add_library(octavo_options INTERFACE)
# One result everywhere: no fused multiply-add unless the source asks for it, never fast-math.
target_compile_options(octavo_options INTERFACE
  -ffp-contract=off -fno-fast-math
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
# g++ 12 sees an overlap in std::string's operator+ where there is none (GCC bug 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(octavo_options INTERFACE -Wno-restrict)
endif()
if(OCTAVO_WARNINGS_AS_ERRORS)
  target_compile_options(octavo_options INTERFACE -Werror)
endif()
