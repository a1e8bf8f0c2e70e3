#include "base/work_sharing.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

namespace octavo {

void share_out(size_t pieces, unsigned threads,
               const std::function<void(size_t piece, unsigned worker)>& work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto take_pieces = [&](unsigned worker) {
    try {
      for (size_t piece = next++; piece < pieces; piece = next++) work(piece, worker);
    } catch (...) {
      next = pieces;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  const unsigned count =
      static_cast<unsigned>(std::min<size_t>(std::max(1u, threads), std::max<size_t>(1, pieces)));
  boost::asio::thread_pool pool(count);
  for (unsigned worker = 0; worker < count; ++worker)
    boost::asio::post(pool, [&, worker] { take_pieces(worker); });
  pool.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace octavo
