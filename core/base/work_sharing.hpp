// Pieces of work shared out to threads.
#pragma once

#include <cstddef>
#include <functional>

namespace octavo {

// Called between pieces of work, from any thread; throws where the work is to end early. May be empty.
using CheckStop = std::function<void()>;

// Runs work(piece, worker) for every piece in [0, pieces); workers 0..threads-1 take pieces in ascending
// order, and each calls `check_stop` before a piece. Returns when all are done. The first exception ends the
// work early and is thrown here; Error resources where no thread can be started.
void share_out(size_t pieces, unsigned threads,
               const std::function<void(size_t piece, unsigned worker)>& work,
               const CheckStop& check_stop = {});

}  // namespace octavo
