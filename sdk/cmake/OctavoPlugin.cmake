# octavo_add_plugin(<id> KIND <format|optimizer|model|backend> SOURCES <file>... [LINK <target>...] [VERSION <v>]
#                   [TORCH])
#
# Builds lib/octavo/plugins/<kind>s/<id>.so, a module that exports octavo_plugin_v1 and nothing else, has no undefined
# symbols and is never built with fast-math (which would change the rounding of the whole process), and the manifest
# <id>.json beside it. Everything lands below OCTAVO_PLUGIN_DIRECTORY (default: <build>/lib/octavo/plugins). The
# target is octavo_<kind>_<id>; C and C++ sources see OCTAVO_PLUGIN_VERSION (VERSION, or that of the project).
#
# TORCH: the plugin uses LibTorch (octavo/torch.hpp); its sources see OCTAVO_PLUGIN_LINKS for the description's `links`.
# Where there is no LibTorch (see OctavoTorch.cmake) the plugin is left out with one line, and there is no target.

include("${CMAKE_CURRENT_LIST_DIR}/OctavoTorch.cmake")
set(OCTAVO_PLUGIN_VERSION_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/plugin.map")

# Refuses flags that set flush-to-zero for every thread that loads the plugin: GCC links crtfastmath.o for them.
function(octavo_check_plugin_flags id)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  get_directory_property(options COMPILE_OPTIONS)
  get_directory_property(link_options LINK_OPTIONS)
  set(flags "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${type}} ${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}} "
    "${CMAKE_MODULE_LINKER_FLAGS} ${CMAKE_MODULE_LINKER_FLAGS_${type}} ${options} ${link_options}")
  if(flags MATCHES "-ffast-math|-Ofast|-funsafe-math-optimizations")
    message(FATAL_ERROR "octavo_add_plugin(${id}): '${CMAKE_MATCH_0}' changes the rounding of the whole process")
  endif()
endfunction()

function(octavo_add_plugin id)
  cmake_parse_arguments(ARG "TORCH" "KIND;VERSION" "SOURCES;LINK" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "octavo_add_plugin(${id}): '${ARG_UNPARSED_ARGUMENTS}' was not expected")
  endif()
  if(NOT ARG_KIND MATCHES "^(format|optimizer|model|backend)$")
    message(FATAL_ERROR "octavo_add_plugin(${id}): KIND is '${ARG_KIND}'; it is format, optimizer, model or backend")
  endif()
  if(NOT id MATCHES "^[a-z][a-z0-9_]*$")
    message(FATAL_ERROR "octavo_add_plugin(${id}): an id is [a-z][a-z0-9_]*")
  endif()
  if(ARG_TORCH)
    octavo_find_torch()
    if(NOT TARGET octavo::torch)
      message(STATUS "${ARG_KIND} ${id} is left out: there is no LibTorch (OCTAVO_TORCH=<site-packages>/torch)")
      return()
    endif()
  endif()
  octavo_check_plugin_flags("${id}")
  if(NOT ARG_VERSION)
    set(ARG_VERSION "${PROJECT_VERSION}")
  endif()
  if(NOT ARG_VERSION)
    message(FATAL_ERROR "octavo_add_plugin(${id}): pass VERSION, or give project() one")
  endif()
  if(NOT OCTAVO_PLUGIN_DIRECTORY)
    set(OCTAVO_PLUGIN_DIRECTORY "${PROJECT_BINARY_DIR}/lib/octavo/plugins")
  endif()

  set(target octavo_${ARG_KIND}_${id})
  set(folder "${OCTAVO_PLUGIN_DIRECTORY}/${ARG_KIND}s")
  add_library(${target} MODULE ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE octavo::sdk ${ARG_LINK})
  target_compile_definitions(${target} PRIVATE OCTAVO_PLUGIN_VERSION="${ARG_VERSION}")
  target_compile_options(${target} PRIVATE -ffp-contract=off -fno-fast-math)
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME "${id}" SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY "$<1:${folder}>"
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    OCTAVO_PLUGIN_ID "${id}" OCTAVO_PLUGIN_KIND "${ARG_KIND}")
  if(ARG_TORCH)
    get_target_property(torch_version octavo::torch OCTAVO_TORCH_VERSION)
    get_target_property(torch_rpath octavo::torch OCTAVO_TORCH_RPATH)
    target_link_libraries(${target} PRIVATE octavo::torch)
    target_compile_definitions(${target} PRIVATE OCTAVO_PLUGIN_LINKS="libtorch=${torch_version}")
    set_property(TARGET ${target} APPEND PROPERTY INSTALL_RPATH "${torch_rpath}")
  endif()
  target_link_options(${target} PRIVATE "-Wl,--version-script=${OCTAVO_PLUGIN_VERSION_SCRIPT}")
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${OCTAVO_PLUGIN_VERSION_SCRIPT}")
  if(NOT OCTAVO_SANITIZE)  # a sanitizer's run time is resolved from the program
    target_link_options(${target} PRIVATE "-Wl,-z,defs")
  endif()
  add_dependencies(${target} octavo::manifest)
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND octavo::manifest "$<TARGET_FILE:${target}>" BYPRODUCTS "${folder}/${id}.json" VERBATIM)
  set_property(GLOBAL APPEND PROPERTY OCTAVO_PLUGIN_TARGETS ${target})
endfunction()
