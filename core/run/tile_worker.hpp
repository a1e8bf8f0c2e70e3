// What one lane does with one piece of work.
#pragma once

#include "base/error.hpp"
#include "plan/plan.hpp"
#include "plugin/backend.hpp"
#include "run/row_gate.hpp"
#include "run/run_shared.hpp"
#include "run/slot.hpp"
#include "run/work.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

namespace octavo::run {

// Takes a piece that there is no memory for, to be made by another worker before it returns.
using SetAside = std::function<void(size_t number, const plugin::OutOfMemory& why)>;

// Lives on its lane's thread.
class TileWorker {
 public:
  // Without `set_aside` a piece that there is no memory for is an error.
  TileWorker(RunShared& shared, plugin::Lane lane, uint32_t slots, uint64_t slot_bytes,
             SetAside set_aside = {});

  // Starts a piece; it is finished when its slot comes round again, or by drain(). `number`: of the piece.
  // If the lane would have to wait for a layer that another one prepares, it may claim a later layer instead:
  // that one is returned, to be prepared, and the piece is not started. (A lane that held a piece while it
  // prepares what others wait for could be waited for in turn.)
  std::optional<uint32_t> start(const WorkItem& item, size_t number, const std::stop_token& stop);
  // Waits for everything that was started and writes it.
  void drain();
  // Numbers of the pieces that were started and are not written.
  std::vector<size_t> unfinished() const;

  // This lane prepares layers before it takes a piece: on a device, whose work goes on meanwhile.
  bool serves() const { return lane_.raw().primary != 0 && !lane_.on_host(); }
  // Prepares the layers that are next, as far as they can be without waiting.
  void prepare_ahead();
  // Prepares a claimed layer.
  void prepare(uint32_t layer);

 private:
  // A piece whose work has been issued to the lane. Results are written by the backend until it is waited
  // for.
  struct Pending {
    WorkItem item;
    size_t number = 0;
    octavo_tile tile{};
    octavo_tile_result result{};
    RowMetrics metrics{};  // of the optimizer, which the result points to
    octavo_absmax_result absmax{};
    octavo_cast_result cast_in{};   // while the rows are made
    octavo_cast_result cast_out{};  // of merged rows to the stored dtype
    bool is_stored = false;
  };

  void copy(const WorkItem& item, Slot& slot);
  void measure(Pending& pending, Slot& slot);
  std::optional<uint32_t> quantize(Pending& pending, Slot& slot, const std::stop_token& stop);
  // Waits until a tile of the layer can be started; false if the run was stopped.
  bool await_absmax(const plan::PlannedLayer& layer, uint32_t index, const std::stop_token& stop,
                    float& absmax);
  bool await_preparation(uint32_t index, const std::stop_token& stop, std::optional<uint32_t>& ahead);
  void finish_others(size_t slot);
  void find_activation_scale(const WorkItem& item, Slot& slot);
  void merge(Pending& pending, Slot& slot);
  // Reads the rows and has the optimizer quantize them.
  void issue(Pending& pending, Slot& slot, float absmax);
  // False where the tile cannot be halved, or the error is another one than memory that ran out.
  bool quantize_in_halves(Pending& pending, Slot& slot, const Error& error);
  void wait_for(Pending& pending, size_t slot);
  void finish(size_t slot);
  void finish_piece(Pending& pending, size_t slot);
  void set_aside(size_t slot, const plugin::OutOfMemory& why);
  // Waits for what has been issued; what it reports to must be there until then.
  void come_to_rest(const Slot& slot);
  void finish_absmax(const Pending& pending);
  void finish_tile(Pending& pending, Slot& slot);
  // Judges the rows and writes everything that the tile is.
  void store_tile(Pending& pending, Slot& slot);
  void correct_bias(const plan::PlannedLayer& layer, const Pending& pending);
  void finish_merge(const Pending& pending, Slot& slot);
  void read_rows(const plan::PlannedLayer& layer, Pending& pending, Slot& slot);
  uint64_t source_bytes(const plan::PlannedLayer& layer, const WorkItem& item) const;

  RunShared& shared_;
  plugin::Lane lane_;
  SetAside set_aside_;
  std::deque<Slot> slots_;
  std::optional<Slot> spare_;  // for the gate, once it has been needed
  std::vector<std::optional<Pending>> pending_;
  size_t next_slot_ = 0;
};

}  // namespace octavo::run
