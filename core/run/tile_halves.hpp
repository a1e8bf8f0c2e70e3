// A tile in two halves, for when memory runs out.
#pragma once

#include "base/error.hpp"
#include "plan/plan.hpp"
#include "run/work.hpp"

#include <octavo/abi/grid.h>

#include <functional>
#include <optional>
#include <vector>

namespace octavo::run {

// Two pieces of a tile, each of whole row multiples (plan::tile_row_multiple); none where there is only one,
// or where the layer must stay whole.
std::vector<WorkItem> plan_halves(const plan::PlannedLayer& layer, const WorkItem& tile);

// Makes one piece to the end and returns what was found in it. Throws as lanes do.
using MakePiece = std::function<octavo_tile_result(const WorkItem& piece)>;

// Makes a tile again that failed with `error`, in two halves, and a half that there is no memory for in its
// own halves, down to an eighth. Returns what was found in all; nothing, and nothing is made, where the tile
// cannot be halved or the error is another one than memory that ran out. Throws what `make` throws last.
std::optional<octavo_tile_result> make_in_halves(const plan::PlannedLayer& layer, const WorkItem& tile,
                                                 const Error& error, const MakePiece& make);

}  // namespace octavo::run
