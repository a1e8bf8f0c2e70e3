# Installs the SDK (and nothing else), builds the template against it outside of this tree, runs TESTS on the result.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failure)
  if(failure)
    message(FATAL_ERROR "failed (${failure}): ${ARGV}")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/sdk" --component sdk)
file(COPY "${SOURCE}/sdk/template/" DESTINATION "${WORK}/source")
run("${CMAKE_COMMAND}" -S "${WORK}/source" -B "${WORK}/build" -G Ninja "-DCMAKE_PREFIX_PATH=${WORK}/sdk"
  "-DCMAKE_CXX_COMPILER=${COMPILER}" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror")
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${TESTS}" -- "${WORK}/build/lib/octavo/plugins")
