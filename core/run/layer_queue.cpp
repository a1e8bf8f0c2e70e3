#include "run/layer_queue.hpp"

#include "plan/tile_shape.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace octavo::run {
namespace {

bool wants(const plan::PlannedLayer& layer, uint32_t what) { return (layer.wants & what) != 0; }

// What makes two layers of one group share a state.
std::string group_key(const plan::PlannedLayer& layer) {
  const octavo_grid& grid = layer.grid;
  return fmt::format("{}\n{} {} {} {} {} {}", layer.inputs->name, grid.basis, grid.basis_group,
                     grid.basis_seed, grid.cols, fmt::ptr(layer.optimizer.get()),
                     fmt::ptr(layer.origin.columns));
}

}  // namespace

LayerQueue::LayerQueue(const plan::Plan& plan, const std::vector<uint32_t>& order,
                       plugin::HostServices& services, IdleLanes& idle, uint32_t most_ahead)
    : services_(services), idle_(idle), most_ahead_(most_ahead) {
  for (const uint32_t index : order) {
    const plan::PlannedLayer& layer = *plan.layers[index];
    if (!plan::needs_admission(layer) || entries_.contains(index)) continue;
    Entry entry;
    entry.turn = order_.size();
    entry.bytes = plan::tile_lease(layer);
    entry.wants_prepare = plan::is_prepared(layer);
    entry.group = group_of(layer);
    prepares_ = prepares_ || entry.wants_prepare;
    order_.push_back(index);
    entries_.emplace(index, std::move(entry));
  }
}

LayerQueue::~LayerQueue() {
  for (auto& [index, entry] : entries_) {
    if (entry.stage != Stage::waiting && entry.stage != Stage::finished) services_.close_turn(entry.turn);
  }
}

LayerQueue::Group* LayerQueue::group_of(const plan::PlannedLayer& layer) {
  if (!wants(layer, OCTAVO_WANTS_INPUTS) || layer.inputs == nullptr) return nullptr;
  Group& group = groups_[group_key(layer)];
  group.inputs = layer.inputs;
  group.factors = layer.origin.columns;
  ++group.layers_to_prepare;
  return &group;
}

// What is leased for a layer's group: once, with the first of its layers.
uint64_t LayerQueue::group_bytes(const Entry& entry) {
  if (entry.group == nullptr || entry.group->is_leased) return 0;
  return calibration::Samples::bytes_of(*entry.group->inputs, entry.group->factors != nullptr);
}

bool LayerQueue::try_admit(Entry& entry) {
  const uint64_t for_group = group_bytes(entry);
  const uint64_t bytes = entry.bytes + for_group;
  if (entry.turn != next_turn_) return false;
  if (unfinished_ == 0) {
    services_.lease_at_once(bytes);  // what is held then is held for layers to come
  } else if (!services_.try_lease(bytes)) {
    return false;
  }
  if (entry.group != nullptr && !entry.group->is_leased) {
    entry.group->is_leased = true;
    entry.group->shared = std::make_shared<SharedInputs>();
    entry.group->shared->layers = entry.group->layers_to_prepare;  // of the first one: all of them
    entry.group->shared->lease = Lease(services_, for_group);
  }
  entry.lease = Lease(services_, entry.bytes);
  entry.stage = Stage::admitted;
  services_.open_turn(entry.turn);
  if (!entry.wants_prepare) services_.settle_turn(entry.turn);
  ++next_turn_;
  ++unfinished_;
  return true;
}

bool LayerQueue::can_admit(const Entry& entry) const {
  return entry.turn == next_turn_ &&
         (unfinished_ == 0 || services_.can_lease(entry.bytes + group_bytes(entry)));
}

bool LayerQueue::admit(uint32_t layer) {
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_.at(layer);
    if (entry.stage != Stage::waiting) return true;
    if (!try_admit(entry)) return false;
  }
  idle_.changed();  // the next one's turn has come
  return true;
}

bool LayerQueue::can_go_on(uint32_t layer, bool prepares) const {
  const std::lock_guard lock(mutex_);
  const Entry& entry = entries_.at(layer);
  if (entry.stage == Stage::waiting ? can_admit(entry) : is_ready(entry)) return true;
  return prepares && (is_claimable(entry) || can_claim_next());
}

// Nobody is about what the layer's group shares.
bool LayerQueue::is_free(const Entry& entry) {
  return entry.group == nullptr || entry.group->is_made || !entry.group->is_claimed;
}

bool LayerQueue::is_claimable(const Entry& entry) {
  return entry.stage == Stage::admitted && entry.wants_prepare && is_free(entry);
}

bool LayerQueue::is_ready(const Entry& entry) {
  return entry.stage == Stage::prepared || (!entry.wants_prepare && entry.stage != Stage::waiting);
}

void LayerQueue::take(Entry& entry) {
  entry.stage = Stage::claimed;
  if (entry.group != nullptr) entry.group->is_claimed = true;
}

bool LayerQueue::claim(uint32_t layer) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(layer);
  if (!is_claimable(entry)) return false;
  take(entry);
  return true;
}

std::optional<uint32_t> LayerQueue::claim_ahead() {
  const std::lock_guard lock(mutex_);
  for (const uint32_t layer : order_) {
    Entry& entry = entries_.at(layer);
    const bool may_wait = !entry.wants_prepare || unfinished_ >= most_ahead_;
    if (entry.stage == Stage::waiting && (may_wait || !try_admit(entry))) break;
    if (!is_claimable(entry)) continue;
    take(entry);
    return layer;
  }
  return std::nullopt;
}

bool LayerQueue::can_claim_ahead() const {
  const std::lock_guard lock(mutex_);
  return can_claim_next();
}

bool LayerQueue::can_claim_next() const {
  for (const uint32_t layer : order_) {
    const Entry& entry = entries_.at(layer);
    if (is_claimable(entry)) return true;
    if (entry.stage != Stage::waiting) continue;
    return entry.wants_prepare && unfinished_ < most_ahead_ && can_admit(entry) && is_free(entry);
  }
  return false;
}

std::shared_ptr<SharedInputs> LayerQueue::shared_inputs(
    uint32_t layer, const std::function<void(SharedInputs&, const calibration::InputGroup&)>& make) {
  std::shared_ptr<SharedInputs> shared;
  Group* group = nullptr;
  {
    const std::lock_guard lock(mutex_);
    group = entries_.at(layer).group;
    if (group == nullptr) return nullptr;
    shared = group->shared;
    if (group->is_made) return shared;
  }
  make(*shared, *group->inputs);
  {
    const std::lock_guard lock(mutex_);
    group->is_made = true;
  }
  idle_.changed();
  return shared;
}

void LayerQueue::prepared(uint32_t layer, PreparedLayer prepared) {
  std::shared_ptr<SharedInputs> released;
  Lease samples;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_.at(layer);
    entry.prepared = std::move(prepared);
    entry.stage = Stage::prepared;
    services_.settle_turn(entry.turn);
    if (entry.group != nullptr && --entry.group->layers_to_prepare == 0) {
      entry.group->shared->samples.reset();  // only preparing needs them
      samples = std::exchange(entry.group->shared->lease, {});
      released = std::move(entry.group->shared);
    }
  }
  released.reset();
  samples = {};
  idle_.changed();
}

bool LayerQueue::is_prepared(uint32_t layer) const {
  const std::lock_guard lock(mutex_);
  return is_ready(entries_.at(layer));
}

const plugin::Preparation& LayerQueue::get(uint32_t layer) const {
  const std::lock_guard lock(mutex_);
  return entries_.at(layer).prepared.preparation;
}

void LayerQueue::finished(uint32_t layer) {
  PreparedLayer released;
  Lease lease;
  uint64_t turn = 0;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_.at(layer);
    entry.stage = Stage::finished;
    --unfinished_;
    released = std::move(entry.prepared);
    lease = std::move(entry.lease);
    turn = entry.turn;
  }
  released = {};
  lease = {};
  services_.close_turn(turn);
  idle_.changed();
}

std::optional<uint64_t> LayerQueue::turn(uint32_t layer) const {
  const auto found = entries_.find(layer);
  if (found == entries_.end()) return std::nullopt;
  return found->second.turn;
}

}  // namespace octavo::run
