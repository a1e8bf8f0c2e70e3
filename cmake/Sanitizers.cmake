# OCTAVO_SANITIZE: "", "address;undefined" or "thread". Presets asan and tsan set it.
set(OCTAVO_SANITIZE "" CACHE STRING "Sanitizers, a list for -fsanitize")
if(OCTAVO_SANITIZE)
  list(JOIN OCTAVO_SANITIZE "," octavo_sanitizers)
  add_compile_options(-fsanitize=${octavo_sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${octavo_sanitizers})
  # With their checks inserted g++ 13 and newer see overruns in the standard library's copies where there are none.
  add_compile_options(-Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-maybe-uninitialized)
  if("thread" IN_LIST OCTAVO_SANITIZE)
    # The thread sanitizer knows no fences; Boost.Asio's only double what its locks already order.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()
