#include "plugin/optimizer.hpp"

#include "plugin/carried.hpp"

#include <utility>

namespace octavo::plugin {
namespace {

// The layer's rows as a plugin reads them.
struct RowSource {
  const ReadRows& read_rows;
  Carried carried;

  static octavo_status read(void* context, std::int64_t row_begin, octavo_tensor* target,
                            octavo_error* error) {
    auto& source = *static_cast<RowSource*>(context);
    return source.carried.run(error, [&] { source.read_rows(row_begin, *target); });
  }
};

}  // namespace

std::uint32_t Optimizer::wants(const octavo_layer& layer, const octavo_grid& grid, bool has_inputs) const {
  return contain(id(), "wants",
                 [&] { return instance_.api().wants(instance_.self(), &layer, &grid, has_inputs ? 1 : 0); });
}

OptimizerState Optimizer::own(void* state, Release release, const char* operation) const {
  if (state == nullptr) return nullptr;
  return {state, [release, operation, self = instance_.self(), who = id()](void* released) {
            try {
              contain(who, operation, [&] { release(self, released); });
            } catch (...) {  // releasing happens in destructors: nobody can be told
            }
          }};
}

OptimizerState Optimizer::prepare_inputs(octavo_lane& lane, const octavo_inputs& inputs,
                                         const octavo_grid& grid) const {
  const octavo_optimizer_api& api = instance_.api();
  if (api.prepare_inputs == nullptr) return nullptr;
  void* shared = nullptr;
  call(id(), "prepare_inputs", [&](octavo_error* error) {
    return api.prepare_inputs(instance_.self(), &lane, &inputs, &grid, &shared, error);
  });
  return own(shared, api.release_inputs, "release_inputs");
}

Preparation Optimizer::prepare(octavo_lane& lane, const octavo_layer& layer, const octavo_grid& grid,
                               const ReadRows& rows, const octavo_inputs* inputs,
                               const OptimizerState& shared) const {
  const octavo_optimizer_api& api = instance_.api();
  if (api.prepare == nullptr) return {};
  RowSource source{rows, {}};
  const octavo_rows raw_rows{sizeof raw_rows, 0, &source, RowSource::read};
  octavo_preparation raw{};
  raw.struct_size = sizeof raw;
  OptimizerState made;
  call_carrying(id(), "prepare", source.carried, [&](octavo_error* error) {
    void* state = nullptr;
    const octavo_status status = api.prepare(instance_.self(), &lane, &layer, &grid, &raw_rows, inputs,
                                             shared.get(), &state, &raw, error);
    if (status == OCTAVO_OK) made = own(state, api.release, "release");
    return status;
  });
  const auto verdict = raw.verdict == OCTAVO_VERDICT_GO ? OCTAVO_VERDICT_GO : OCTAVO_VERDICT_NEAREST;
  return {std::move(made), verdict, text_of(raw.reason)};
}

void Optimizer::warm_up(octavo_memory memory, std::int32_t device) const {
  const octavo_optimizer_api& api = instance_.api();
  if (!OCTAVO_HAS(&api, octavo_optimizer_api, warm_up) || api.warm_up == nullptr) return;
  call(id(), "warm_up",
       [&](octavo_error* error) { return api.warm_up(instance_.self(), memory, device, error); });
}

void Optimizer::quantize(const OptimizerState& state, octavo_lane& lane, const octavo_tile& tile,
                         octavo_tile_result& result) const {
  call(id(), "quantize", [&](octavo_error* error) {
    return instance_.api().quantize(instance_.self(), state.get(), &lane, &tile, &result, error);
  });
}

}  // namespace octavo::plugin
