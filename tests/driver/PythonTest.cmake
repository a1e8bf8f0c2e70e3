# octavo_python_test(NAME FILE [LABEL label] [PYTHON interpreter] [ENVIRONMENT NAME=value ...])
# A Python test (unittest) of the built program. The modules of this folder can be imported.

function(octavo_python_test name file)
  cmake_parse_arguments(test "" "LABEL;PYTHON" "ENVIRONMENT" ${ARGN})
  if(NOT test_PYTHON)
    set(test_PYTHON "${OCTAVO_PYTHON}")
  endif()
  add_test(NAME ${name} COMMAND "${test_PYTHON}" -B "${CMAKE_CURRENT_SOURCE_DIR}/${file}" --verbose)
  set(environment "OCTAVO_PROGRAM=$<TARGET_FILE:octavo>" "PYTHONPATH=${CMAKE_CURRENT_FUNCTION_LIST_DIR}" ${test_ENVIRONMENT})
  if(OCTAVO_SANITIZE)
    # The library that makes calls fail is preloaded, and so comes before the sanitizer's.
    list(APPEND environment "OCTAVO_SANITIZED=1" "ASAN_OPTIONS=verify_asan_link_order=0")
  endif()
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${environment}" TIMEOUT 600)
  if(test_LABEL)
    set_tests_properties(${name} PROPERTIES LABELS ${test_LABEL})
  endif()
endfunction()
