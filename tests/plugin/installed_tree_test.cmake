# Installs everything, moves the tree, and asks the program which plugins it finds: all of those that were built, none
# refused. Then opens every one through the installed octavo-manifest, which needs what the plugins link.
file(REMOVE_RECURSE "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/before" RESULT_VARIABLE failure
  OUTPUT_QUIET)
if(failure)
  message(FATAL_ERROR "cmake --install failed")
endif()
file(RENAME "${WORK}/before" "${WORK}/after")

file(GLOB built RELATIVE "${BUILD}" "${BUILD}/lib/octavo/plugins/*/*.so")
file(GLOB installed RELATIVE "${WORK}/after" "${WORK}/after/lib/octavo/plugins/*/*.so")
if(NOT built STREQUAL installed)
  message(FATAL_ERROR "built: ${built}\ninstalled: ${installed}")
endif()
# An empty entry in a library's search path means the current folder.
file(GLOB libraries "${BUILD}/lib/octavo/plugins/*/*.so" "${BUILD}/lib/octavo/*.so" "${WORK}/after/lib/octavo/*.so"
  "${WORK}/after/lib/octavo/plugins/*/*.so")
foreach(library ${libraries})
  file(READ_ELF "${library}" RPATH rpath RUNPATH runpath CAPTURE_ERROR failure)
  foreach(path IN ITEMS "${rpath}" "${runpath}")
    if(path MATCHES "^;|;;|;$|^:|::|:$" OR failure)
      message(FATAL_ERROR "${library} is searched for its libraries in '${path}' ${failure}")
    endif()
  endforeach()
endforeach()
foreach(plugin ${installed})
  execute_process(COMMAND "${WORK}/after/bin/octavo-manifest" "${WORK}/after/${plugin}" RESULT_VARIABLE failure)
  if(failure)
    message(FATAL_ERROR "${plugin} cannot be opened where it was moved to")
  endif()
endforeach()

# Runs every operation of the backends, also those in libraries that are opened when they are needed.
execute_process(COMMAND "${WORK}/after/bin/octavo" doctor WORKING_DIRECTORY / OUTPUT_VARIABLE report
  RESULT_VARIABLE failure)
if(failure)
  message(FATAL_ERROR "octavo doctor failed (${failure}):\n${report}")
endif()
execute_process(COMMAND "${WORK}/after/bin/octavo" plugins --json WORKING_DIRECTORY / OUTPUT_VARIABLE listing
  RESULT_VARIABLE failure)
if(failure)
  message(FATAL_ERROR "octavo plugins failed (${failure})")
endif()
foreach(plugin ${installed})
  get_filename_component(id "${plugin}" NAME_WE)
  if(NOT listing MATCHES "\"id\": ?\"${id}\"")
    message(FATAL_ERROR "${id} is not listed:\n${listing}")
  endif()
endforeach()
if(listing MATCHES "\"state\": ?\"refused\"")
  message(FATAL_ERROR "a plugin is refused:\n${listing}")
endif()
