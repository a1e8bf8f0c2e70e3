#include "base/work_sharing.hpp"

#include "base/crew.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

namespace octavo {

void share_out(size_t pieces, unsigned threads,
               const std::function<void(size_t piece, unsigned worker)>& work, const CheckStop& check_stop) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto take_pieces = [&](unsigned worker) {
    try {
      for (size_t piece = next++; piece < pieces; piece = next++) {
        if (check_stop) check_stop();
        work(piece, worker);
      }
    } catch (...) {
      next = pieces;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  const unsigned count =
      static_cast<unsigned>(std::min<size_t>(std::max(1u, threads), std::max<size_t>(1, pieces)));
  Crew(count, take_pieces).join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace octavo
