// What an optimizer makes before a layer's first tile: of the inputs that it shares with others, then of
// itself.
#pragma once

#include "plugin/backend.hpp"
#include "run/layer_queue.hpp"
#include "run/run_shared.hpp"

#include <cstdint>

namespace octavo::run {

// Prepares a layer that the caller has claimed from the queue, on the lane that prepares. Throws as reading
// and the optimizer do.
PreparedLayer prepare_layer(RunShared& shared, uint32_t layer, plugin::Lane& lane);

}  // namespace octavo::run
