# What `cmake --install` puts where. The installed tree runs from anywhere: bin/octavo finds ../lib/octavo/plugins from
# its own place, and a plugin finds the libraries that are shipped with it (oneDNN) in lib/octavo from its own.
#
#   bin/octavo  lib/octavo/plugins/<kind>s/<id>.so and .json  lib/octavo/libdnnl.so*          (component octavo)
#   lib/octavo/torch/lib  lib/octavo/nvidia/cu13/lib: LibTorch, in the layout of its wheel    (component octavo)
#   include/octavo  lib/cmake/octavo-sdk  bin/octavo-manifest                                 (component sdk)

if(TARGET octavo)
  install(TARGETS octavo RUNTIME DESTINATION bin COMPONENT octavo)
endif()

# One that the system provides is found there.
if(NOT ONEDNN_LIBRARY MATCHES "^(/usr)?/lib")
  install(CODE "file(INSTALL \"${ONEDNN_LIBRARY}\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/octavo\"
    TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN)" COMPONENT octavo)
  get_filename_component(octavo_onednn_folder "${ONEDNN_LIBRARY}" DIRECTORY)
  file(GLOB octavo_onednn_files "${octavo_onednn_folder}/libdnnl.so*")
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/lib/octavo")
  foreach(file ${octavo_onednn_files})  # the build tree has the shape of the installed one
    get_filename_component(name "${file}" NAME)
    file(CREATE_LINK "${file}" "${PROJECT_BINARY_DIR}/lib/octavo/${name}" SYMBOLIC)
  endforeach()
endif()

# LibTorch from .deps (450 MB): hard links, where the file system can.
if(TARGET octavo::torch AND NOT OCTAVO_TORCH)
  get_target_property(octavo_torch_folder octavo::torch OCTAVO_TORCH_FOLDER)
  get_filename_component(octavo_torch_root "${octavo_torch_folder}" DIRECTORY)
  foreach(part torch nvidia)
    file(CREATE_LINK "${octavo_torch_root}/${part}" "${PROJECT_BINARY_DIR}/lib/octavo/${part}" SYMBOLIC)
  endforeach()
  install(CODE "
    file(GLOB libraries RELATIVE \"${octavo_torch_root}\" \"${octavo_torch_root}/torch/lib/*.so*\"
      \"${octavo_torch_root}/nvidia/cu13/lib/*.so*\" \"${octavo_torch_root}/*.dist-info/licenses/*\")
    foreach(library \${libraries})
      set(installed \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/octavo/\${library}\")
      get_filename_component(folder \"\${installed}\" DIRECTORY)
      file(MAKE_DIRECTORY \"\${folder}\")
      file(CREATE_LINK \"${octavo_torch_root}/\${library}\" \"\${installed}\" COPY_ON_ERROR)
    endforeach()" COMPONENT octavo)
endif()

get_property(octavo_plugin_targets GLOBAL PROPERTY OCTAVO_PLUGIN_TARGETS)
foreach(target ${octavo_plugin_targets})
  get_target_property(octavo_plugin_id ${target} OCTAVO_PLUGIN_ID)
  get_target_property(octavo_plugin_kind ${target} OCTAVO_PLUGIN_KIND)
  set(octavo_plugin_folder "lib/octavo/plugins/${octavo_plugin_kind}s")
  # The same in the build tree: CMake pads what it will change with empty entries, and those mean the current folder.
  set_property(TARGET ${target} APPEND PROPERTY INSTALL_RPATH "$ORIGIN/../..")
  set_target_properties(${target} PROPERTIES BUILD_WITH_INSTALL_RPATH ON)
  install(TARGETS ${target} LIBRARY DESTINATION ${octavo_plugin_folder} COMPONENT octavo)
  install(FILES "$<TARGET_FILE_DIR:${target}>/${octavo_plugin_id}.json" DESTINATION ${octavo_plugin_folder}
    COMPONENT octavo)
  # Installing may change the library (strip), and its manifest names its size.
  install(CODE "execute_process(COMMAND \"$<TARGET_FILE:octavo_manifest>\"
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${octavo_plugin_folder}/${octavo_plugin_id}.so\" RESULT_VARIABLE failure)
  if(failure)
    message(FATAL_ERROR \"the manifest of ${octavo_plugin_id} could not be written\")
  endif()" COMPONENT octavo)
endforeach()
