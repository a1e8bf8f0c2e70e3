# octavo_options: what every target of this project is compiled with.
add_library(octavo_options INTERFACE)
# One result everywhere: no fused multiply-add unless the source asks for it, never fast-math.
target_compile_options(octavo_options INTERFACE
  -ffp-contract=off -fno-fast-math
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
if(OCTAVO_WARNINGS_AS_ERRORS)
  target_compile_options(octavo_options INTERFACE -Werror)
endif()
