// The SSE control word (MXCSR): rounding mode, flush-to-zero, denormals-are-zero. Code that is linked with
// fast-math changes it for the thread that loads or calls it, and with it the bits of every later result.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace octavo::plugin {

// The control bits of the calling thread, without the sticky exception flags; 0 on machines without SSE.
inline std::uint32_t control_word() {
#if defined(__SSE__)
  return _mm_getcsr() & ~std::uint32_t{0x3f};
#else
  return 0;
#endif
}

// Puts the control word back when it was changed since construction.
class ControlWordGuard {
 public:
  ControlWordGuard() : before_(control_word()) {}
  ControlWordGuard(const ControlWordGuard&) = delete;
  ControlWordGuard& operator=(const ControlWordGuard&) = delete;
  ~ControlWordGuard() { restore(); }

  // True if it was changed; it is then put back.
  bool restore() {
    if (control_word() == before_) return false;
#if defined(__SSE__)
    _mm_setcsr(before_);
#endif
    return true;
  }

 private:
  std::uint32_t before_;
};

}  // namespace octavo::plugin
