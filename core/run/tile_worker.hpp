// What one lane does with one piece of work.
#pragma once

#include "checkpoint/reader.hpp"
#include "plan/plan.hpp"
#include "plugin/backend.hpp"
#include "run/layer_run.hpp"
#include "run/output.hpp"
#include "run/slot.hpp"
#include "run/work.hpp"

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

namespace octavo::run {

// What all lanes of a run share.
struct RunShared {
  const plan::Plan& plan;
  const checkpoint::Checkpoint& source;
  Output* output = nullptr;                            // nullptr: a measuring pass
  std::vector<std::unique_ptr<LayerRun>> layers = {};  // by index in the plan
  std::vector<octavo_absmax_result> measured = {};     // of a measuring pass, by item
  std::atomic<uint64_t> bytes_done{0};
  std::atomic<uint64_t> items_done{0};
};

// Lives on its lane's thread.
class TileWorker {
 public:
  TileWorker(RunShared& shared, plugin::Lane lane, uint32_t slots, uint64_t slot_bytes);

  // Starts a piece; it is finished when its slot comes round again, or by drain(). `number`: of the piece.
  void start(const WorkItem& item, size_t number, std::stop_token stop);
  // Waits for everything that was started and writes it.
  void drain();
  // Numbers of the pieces that were started and are not written.
  std::vector<size_t> unfinished() const;

 private:
  // A piece whose work has been issued to the lane. Results are written by the backend until it is waited
  // for.
  struct Pending {
    WorkItem item;
    size_t number = 0;
    octavo_tile tile{};
    octavo_tile_result result{};
    octavo_absmax_result absmax{};
    octavo_cast_result cast_in{};   // while the rows are made
    octavo_cast_result cast_out{};  // of merged rows to the stored dtype
  };

  void copy(const WorkItem& item, Slot& slot);
  void measure(Pending& pending, Slot& slot);
  void quantize(Pending& pending, Slot& slot, std::stop_token stop);
  void merge(Pending& pending, Slot& slot);
  void finish(size_t slot);
  void finish_absmax(const Pending& pending);
  void finish_tile(const Pending& pending, Slot& slot);
  void finish_merge(const Pending& pending, Slot& slot);
  void read_rows(const plan::PlannedLayer& layer, Pending& pending, Slot& slot);
  uint64_t source_bytes(const plan::PlannedLayer& layer, const WorkItem& item) const;
  void write_parts(const plan::PlannedLayer& layer, const Pending& pending, Slot& slot);
  void write_scales(const plan::PlannedLayer& layer, const Pending& pending, const std::byte* block,
                    const plan::LayerOutput& output, uint32_t level);
  plugin::Preparation prepare(const plan::PlannedLayer& layer);

  RunShared& shared_;
  plugin::Lane lane_;
  std::deque<Slot> slots_;
  std::vector<std::optional<Pending>> pending_;
  size_t next_slot_ = 0;
};

}  // namespace octavo::run
