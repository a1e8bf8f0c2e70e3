// Layers that need more than a tile's memory: in which order they get it, who prepares them, and what they
// hold.
//
// A layer is here if its optimizer wants to prepare it or to have it whole. In the order of the work each is
//   admitted    its memory is leased under --max-ram,
//   prepared    by one lane (if the optimizer wants that), with what its inputs' group shares,
//   finished    when its last tile is stored: what was prepared is released and the lease returned.
// Lanes that would wait prepare the next layers meanwhile, at most as many as there are lanes, so the memory
// is bounded by lanes x the largest layer, and by --max-ram.
//
// It cannot lock up. The only layer in work is admitted whatever is leased, for inputs of layers to come.
// Lanes take pieces in the order of the work and finish what they have in flight before they wait, so all
// layers before the one that a lane waits to admit are in the hands of lanes that wait for nothing behind
// them. A plugin's own leases (host.lease_bytes) wait too, but never those of the first unfinished layer, and
// a lane that prepares ahead has handed back the piece that it had taken.
#pragma once

#include "calibration/calibration.hpp"
#include "calibration/samples.hpp"
#include "plan/plan.hpp"
#include "plugin/host_services.hpp"
#include "plugin/optimizer.hpp"
#include "run/idle_lanes.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace octavo::run {

// A number of bytes leased from the host, returned with the object.
class Lease {
 public:
  Lease() = default;
  Lease(plugin::HostServices& services, uint64_t bytes) : services_(&services), bytes_(bytes) {}
  Lease(Lease&& other) noexcept : services_(other.services_), bytes_(std::exchange(other.bytes_, 0)) {}
  Lease& operator=(Lease&& other) noexcept {
    std::swap(services_, other.services_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Lease() {
    if (bytes_ != 0) services_->give_back(bytes_);
  }

 private:
  plugin::HostServices* services_ = nullptr;
  uint64_t bytes_ = 0;
};

// What the layers of one input group share in one basis: their inputs while layers are prepared, and what the
// optimizer made of them until the last of the layers is finished.
struct SharedInputs {
  uint32_t layers = 0;  // that share them
  Lease lease;
  std::unique_ptr<calibration::Samples> samples;
  plugin::OptimizerState state;
};

// What one layer's tiles need, alive until it is finished.
struct PreparedLayer {
  std::shared_ptr<SharedInputs> shared;  // nullptr: none
  plugin::Preparation preparation;
};

// Thread safe.
class LayerQueue {
 public:
  // `order`: layers of the plan in the order in which lanes come to them.
  LayerQueue(const plan::Plan& plan, const std::vector<uint32_t>& order, plugin::HostServices& services,
             IdleLanes& idle, uint32_t most_ahead);
  LayerQueue(const LayerQueue&) = delete;
  LayerQueue& operator=(const LayerQueue&) = delete;
  ~LayerQueue();

  bool contains(uint32_t layer) const { return entries_.contains(layer); }
  bool prepares() const { return prepares_; }  // something is to be prepared

  // Admits the layer, if its turn has come and its memory can be leased; true if it is admitted.
  bool admit(uint32_t layer);

  // True: the caller is to prepare this admitted layer and then to call prepared(). False: it is prepared, or
  // somebody is about it or about what its group shares.
  bool claim(uint32_t layer);
  // The same for the next layer that may be prepared ahead and can be without waiting.
  std::optional<uint32_t> claim_ahead();
  bool can_claim_ahead() const;
  // For a lane that is to do a tile of this layer: it can be admitted, or is prepared, or (if the lane
  // prepares layers) can be claimed, or another one can.
  bool can_go_on(uint32_t layer, bool prepares) const;

  // What the group of a claimed layer shares; made by `make` where the layer is the first of it, which then
  // runs in the calling thread without a lock. nullptr where the optimizer wants no inputs or none are known.
  std::shared_ptr<SharedInputs> shared_inputs(
      uint32_t layer, const std::function<void(SharedInputs&, const calibration::InputGroup&)>& make);

  void prepared(uint32_t layer, PreparedLayer prepared);
  bool is_prepared(uint32_t layer) const;  // also if there is nothing to prepare
  // Of a prepared layer; valid until it is finished.
  const plugin::Preparation& get(uint32_t layer) const;
  void finished(uint32_t layer);

  // The layer's place in the order, for HostServices::Turn; nothing for one that is not here.
  std::optional<uint64_t> turn(uint32_t layer) const;

 private:
  // One group of inputs in one basis, for one optimizer.
  struct Group {
    const calibration::InputGroup* inputs = nullptr;
    const plan::SmoothFactors* factors = nullptr;  // that divide the inputs; nullptr: 1
    uint32_t layers_to_prepare = 0;
    bool is_leased = false;   // then `shared` exists
    bool is_claimed = false;  // some lane makes it
    bool is_made = false;
    std::shared_ptr<SharedInputs> shared;  // until all of its layers are prepared
  };
  enum class Stage { waiting, admitted, claimed, prepared, finished };
  struct Entry {
    uint64_t turn = 0;
    uint64_t bytes = 0;
    bool wants_prepare = false;
    Group* group = nullptr;
    Stage stage = Stage::waiting;
    Lease lease;
    PreparedLayer prepared;
  };

  // All with the lock held.
  bool try_admit(Entry& entry);
  static uint64_t group_bytes(const Entry& entry);
  static bool is_free(const Entry& entry);
  static bool is_claimable(const Entry& entry);
  static bool is_ready(const Entry& entry);
  bool can_admit(const Entry& entry) const;
  bool can_claim_next() const;
  static void take(Entry& entry);
  Group* group_of(const plan::PlannedLayer& layer);

  plugin::HostServices& services_;
  IdleLanes& idle_;
  const uint32_t most_ahead_;
  bool prepares_ = false;
  mutable std::mutex mutex_;
  std::map<uint32_t, Entry> entries_;  // by index in the plan
  std::vector<uint32_t> order_;        // of those with an entry
  uint64_t next_turn_ = 0;             // the first that is not admitted
  uint32_t unfinished_ = 0;            // admitted and not finished
  std::map<std::string, Group> groups_;
};

}  // namespace octavo::run
