# octavo_add_plugin(<id> KIND <format|optimizer|model|backend> SOURCES <file>... [LINK <target>...] [VERSION <v>])
#
# Builds lib/octavo/plugins/<kind>s/<id>.so: a module that exports octavo_plugin_v1 and nothing else, has no
# undefined symbols, and is never built with fast-math (which would change the rounding of the whole process).
# Everything lands below OCTAVO_PLUGIN_DIRECTORY (default: <build>/lib/octavo/plugins).

set(OCTAVO_PLUGIN_VERSION_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/plugin.map")

function(octavo_add_plugin id)
  cmake_parse_arguments(ARG "" "KIND;VERSION" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_KIND MATCHES "^(format|optimizer|model|backend)$")
    message(FATAL_ERROR "octavo_add_plugin(${id}): KIND is '${ARG_KIND}'; it is format, optimizer, model or backend")
  endif()
  if(NOT id MATCHES "^[a-z][a-z0-9_]*$")
    message(FATAL_ERROR "octavo_add_plugin(${id}): an id is [a-z][a-z0-9_]*")
  endif()
  if(CMAKE_CXX_FLAGS MATCHES "-ffast-math|-Ofast")
    message(FATAL_ERROR "octavo_add_plugin(${id}): fast-math changes the rounding mode of the whole process")
  endif()
  if(NOT ARG_VERSION)
    set(ARG_VERSION "${PROJECT_VERSION}")
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
    PREFIX "" OUTPUT_NAME "${id}" SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY "${folder}"
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_link_options(${target} PRIVATE "-Wl,--version-script=${OCTAVO_PLUGIN_VERSION_SCRIPT}")
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${OCTAVO_PLUGIN_VERSION_SCRIPT}")
  if(NOT OCTAVO_SANITIZE)  # a sanitizer's run time is resolved from the program
    target_link_options(${target} PRIVATE "-Wl,-z,defs")
  endif()
  set_property(GLOBAL APPEND PROPERTY OCTAVO_PLUGIN_TARGETS ${target})
endfunction()
