// Pieces of work shared out to threads.
#pragma once

#include <cstddef>
#include <functional>

namespace octavo {

// Runs work(piece, worker) for every piece in [0, pieces); workers 0..threads-1 take pieces in ascending
// order. Returns when all are done. The first exception ends the work early and is thrown here.
void share_out(size_t pieces, unsigned threads,
               const std::function<void(size_t piece, unsigned worker)>& work);

}  // namespace octavo
