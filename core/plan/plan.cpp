#include "plan/plan.hpp"

#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"
#include "plan/activation_scales.hpp"
#include "plan/plan_notes.hpp"
#include "plan/provenance.hpp"
#include "plan/smoother.hpp"
#include "plan/stored_sources.hpp"

#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace octavo::plan {
namespace {

constexpr const char* kMeasured = "measured";  // the rule of layers that stay because of what they hold

// What a layer's bias and scales share with its weight, so that a shard holds all of them.
std::string group_of(std::string_view key) { return std::string(key.substr(0, key.rfind('.'))); }

class Planner {
 public:
  Planner(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
          const octavo_host* host, const Unfit* unfit, const SourceChanges& changes)
      : source_(source),
        stored_(source, changes.stored, settings.requantize),
        merges_(changes.merges),
        calibration_(changes.calibration),
        rules_(settings, source, catalog, host, stored_.codes()),
        opener_(settings, catalog, host),
        unfit_(unfit) {
    plan_.settings = settings;
    for (const Treatment& treatment : rules_.treatments()) treatments_.push_back(opener_.open(treatment));
    plan_.format = treatments_.front().format.plugin;
    plan_.optimizer = treatments_.front().optimizer.plugin;
  }

  Plan make() {
    plan_.model_reasons = rules_.model_reasons();
    plan_.keeps_integers = stored_.hint_at_requantize();
    for (const checkpoint::Note& note : source_.notes()) plan_.warnings.push_back(note.text);
    plan_.warnings.insert(plan_.warnings.end(), rules_.warnings().begin(), rules_.warnings().end());
    keep_unfit_stored_layers();
    find_folds();
    make_room();
    for (size_t i = 0; i < source_.tensors().size(); ++i) place(i);
    correct_biases();
    if (calibration_ != nullptr) {
      const std::vector<std::string> unknown = activation_scale_warnings(plan_, unit_scales_);
      plan_.warnings.insert(plan_.warnings.end(), unknown.begin(), unknown.end());
    }
    if (smoother_) finish_smoothing();
    plan_.metadata = output_metadata(plan_, source_, treatments_, rules_.model_ids());
    add_quantization_metadata(plan_, source_, stored_.remaining(rules_.quantized_layers()));
    for (const auto& notes : {placement_notes(plan_), left_out_notes(plan_)})
      plan_.notes.insert(plan_.notes.end(), notes.begin(), notes.end());
    return std::move(plan_);
  }

 private:
  // Most files become about twice as many tensors: codes, scales and a marker for a weight.
  void make_room() {
    const size_t tensors = source_.tensors().size();
    plan_.tensors.reserve(tensors);
    plan_.outputs.reserve(2 * tensors);
    plan_.groups.reserve(2 * tensors);
  }

  void place(size_t index) {
    const checkpoint::TensorRef& tensor = source_.tensors()[index];
    PlannedTensor planned{&tensor, decide(index), "", "", 0};
    plan_.bytes_in += tensor.info.bytes();
    if (planned.verdict.decision == Decision::quantize) quantize(tensor, planned);
    if (planned.verdict.decision == Decision::keep || planned.verdict.decision == Decision::high_precision) {
      const RowOrigin origin{&tensor, nullptr, deltas_of(tensor), columns_of(tensor), rows_of(tensor)};
      if (origin.deltas != nullptr) planned.verdict.reason += "; a LoRA is merged into it";
      if (origin.is_scaled()) planned.verdict.reason += "; SmoothQuant's factors are folded into it";
      if (origin.is_plain()) {
        copy(tensor);
      } else {
        merge(origin);
      }
      planned.bytes_out = tensor.info.bytes();
    }
    plan_.bytes_out += planned.bytes_out;
    plan_.tensors.push_back(std::move(planned));
  }

  void copy(const checkpoint::TensorRef& tensor) {
    plan_.copies.push_back({&tensor, plan_.outputs.size()});
    add_as_it_is(tensor);
  }

  void add_as_it_is(const checkpoint::TensorRef& tensor) {
    plan_.outputs.push_back({tensor.info.name, tensor.info.dtype, tensor.info.shape});
    plan_.groups.push_back(group_of(tensor.info.name));
  }

  // A layer that is quantized already is decided as a whole, by its weight.
  void keep_unfit_stored_layers() {
    for (const auto& [name, layer] : stored_.layers()) {
      const checkpoint::TensorRef& codes = *layer->find(OCTAVO_ROLE_CODES);
      Verdict verdict = rules_.decide(stored_.index_of(codes));
      if (verdict.decision == Decision::quantize) verdict = fitting(codes, name, std::move(verdict));
      if (verdict.decision != Decision::quantize) kept_stored_.emplace(name, std::move(verdict));
    }
    for (const auto& [name, verdict] : kept_stored_) stored_.keep(name);
  }

  // `verdict`, or keep where the layer has no place.
  Verdict fitting(const checkpoint::TensorRef& codes, const std::string& name, Verdict verdict) const {
    PlannedLayer layer;
    layer.source = &codes;
    layer.origin = {&codes, stored_.find(codes), nullptr};
    layer.name = name;
    layer.layer = describe(layer);
    placement_of(layer, verdict);
    return verdict;
  }

  // How the format stores a layer. Nothing, and the verdict becomes keep, where a measuring pass found the
  // layer unfit or the format refuses it.
  std::optional<plugin::Placement> placement_of(const PlannedLayer& layer, Verdict& verdict) const {
    if (unfit_ != nullptr) {
      if (const auto found = unfit_->find(layer.name); found != unfit_->end()) {
        verdict = {Decision::keep, kMeasured, found->second};
        return std::nullopt;
      }
    }
    const SharedPlugin<plugin::Format>& format = treatments_[verdict.treatment].format;
    plugin::Placement placement = format.handle->grid(layer.layer);
    if (placement.grid) return placement;
    verdict = {Decision::keep, "format " + format.plugin.id, placement.note};
    return std::nullopt;
  }

  Verdict decide(size_t index) const {
    const checkpoint::TensorRef& tensor = source_.tensors()[index];
    const std::string_view owner = stored::owner_of(tensor.info.name, rules_.quantized_layers());
    if (const auto kept = kept_stored_.find(owner); kept != kept_stored_.end()) {
      if (stored_.is_codes(tensor) || kept->second.decision == Decision::remove) return kept->second;
    }
    if (std::optional<Verdict> verdict = stored_.decide_part(tensor, rules_.quantized_layers()))
      return std::move(*verdict);
    Verdict verdict = rules_.decide(index);
    stored_.explain(tensor, verdict);
    return verdict;
  }

  const std::vector<lora::Delta>* deltas_of(const checkpoint::TensorRef& tensor) const {
    const std::vector<lora::Delta>* deltas = merges_ == nullptr ? nullptr : merges_->find(tensor.info.name);
    if (deltas == nullptr) return nullptr;
    const bool is_dequantized = stored_.find(tensor) != nullptr;
    const bool is_kept_code = !stored::owner_of(tensor.info.name, rules_.quantized_layers()).empty();
    if (is_dequantized || (octavo::is_weight_dtype(tensor.info.dtype) && !is_kept_code)) return deltas;
    if (merges_->allow_partial) return nullptr;
    throw Error(
        ErrorCode::bad_input,
        fmt::format("[lora] tensor {} is {} and stays as it is, so that nothing can be merged into it",
                    printable(tensor.info.name),
                    is_kept_code ? "quantized" : checkpoint::name(tensor.info.dtype)),
        "--requantize takes INT8 layers as a source, --allow-partial-lora leaves such layers out");
  }

  void merge(const RowOrigin& origin) {
    const checkpoint::TensorInfo& info = origin.tensor->info;
    const auto rows = info.shape.empty() ? int64_t{1} : static_cast<int64_t>(info.shape[0]);
    plan_.merges.push_back(
        {origin, plan_.outputs.size(), rows, static_cast<int64_t>(info.elements()) / rows});
    add_as_it_is(*origin.tensor);
  }

  // Nothing in it depends on how a layer is stored, so that it is known before the first tensor is placed.
  void find_folds() {
    if (!plan_.settings.smoothing || calibration_ == nullptr) return;
    smoother_.emplace(SmoothingContext{source_, stored_, rules_, merges_, *calibration_,
                                       [this](size_t index) { return decide(index); }});
  }

  const SmoothFactors* columns_of(const checkpoint::TensorRef& tensor) const {
    return smoother_ ? smoother_->columns_of(tensor) : nullptr;
  }

  const SmoothFactors* rows_of(const checkpoint::TensorRef& tensor) const {
    return smoother_ ? smoother_->rows_of(tensor) : nullptr;
  }

  // Where nothing is there to fold into, the format may have room for the factors.
  SmoothingDecision smooth(const checkpoint::TensorRef& tensor, PlannedLayer& layer) {
    if (layer.grid.code == OCTAVO_CODE_CAST) return {{}, "it is only cast, so that nothing is rounded"};
    if (layer.origin.columns == nullptr) {
      const std::string why = smoother_->why_not(tensor);
      const bool stores = stores_factors(layer);
      Smoothing* group = nullptr;
      if (stores) {
        const SmoothedReader reader{layer.name, layer.origin, calibration_->find(layer.name), nullptr};
        group = smoother_->store_with(tensor, reader, layer.layer.cols);
      }
      if (group == nullptr) {
        return {{}, stores ? kNoMaxima : fmt::format("{}, and {} stores no factors", why, layer.stored_as)};
      }
      layer.stores_factors = group;
      layer.origin.columns = &group->factors;
      layer.layer = describe(layer);
    }
    smoother_->set_grid(tensor, layer.grid);
    const std::string target = smoother_->target_of(tensor);
    return {target, {}};
  }

  bool stores_factors(const PlannedLayer& layer) const {
    const std::vector<plugin::Entry> entries =
        layer.format->entries(layer.layer, layer.grid, OCTAVO_ENTRIES_SMOOTH_FACTORS);
    return std::any_of(entries.begin(), entries.end(),
                       [](const plugin::Entry& entry) { return entry.role == OCTAVO_ROLE_SMOOTH_FACTORS; });
  }

  void finish_smoothing() {
    plan_.smoothings = smoother_->take();
    const std::vector<std::string> refusals = smoothing_refusals(plan_.tensors);
    plan_.warnings.insert(plan_.warnings.end(), refusals.begin(), refusals.end());
  }

  // Turns the verdict into keep where the layer has no place.
  void quantize(const checkpoint::TensorRef& tensor, PlannedTensor& planned) {
    auto layer = std::make_unique<PlannedLayer>();
    layer->source = &tensor;
    layer->origin = {&tensor, stored_.find(tensor), deltas_of(tensor), columns_of(tensor), rows_of(tensor)};
    layer->name = stored::base_name(tensor.info.name);
    layer->layer = describe(*layer);
    const std::optional<plugin::Placement> placement = placement_of(*layer, planned.verdict);
    if (!placement) return;
    const OpenedTreatment& treatment = treatments_[planned.verdict.treatment];
    layer->grid = *placement->grid;
    layer->stored_as = placement->fallback ? placement->stored_as : treatment.format.plugin.id;
    layer->note = placement->note;
    layer->format = treatment.format.handle;
    if (smoother_) planned.smoothing = smooth(tensor, *layer);
    finish(*layer, treatment);
    planned.format = layer->stored_as;
    planned.optimizer = layer->optimizer_id;
    planned.bytes_out = layer->bytes_out;
    plan_.layers.push_back(std::move(layer));
  }

  octavo_layer describe(const PlannedLayer& layer) const {
    const checkpoint::TensorInfo& info = layer.source->info;
    octavo_layer described{};
    described.struct_size = sizeof described;
    described.dtype = layer.origin.is_plain() ? info.dtype : OCTAVO_F32;
    described.name = layer.name.c_str();
    described.key = info.name.c_str();
    const stored::Layer* stored = layer.origin.stored;  // its codes may be padded
    described.rows = stored != nullptr ? stored->rows : static_cast<int64_t>(info.shape[0]);
    described.cols = stored != nullptr ? stored->cols : static_cast<int64_t>(info.shape[1]);
    described.seed = plan_.settings.seed;
    described.has_bias = source_.find(layer.name + ".bias") != nullptr ? 1 : 0;
    return described;
  }

  // A grid that only casts leaves an optimizer nothing to choose.
  SharedPlugin<plugin::Optimizer> optimizer_for(const octavo_grid& grid, const OpenedTreatment& treatment) {
    return grid.code == OCTAVO_CODE_CAST ? opener_.nearest() : treatment.optimizer;
  }

  void finish(PlannedLayer& layer, const OpenedTreatment& treatment) {
    const SharedPlugin<plugin::Optimizer> optimizer = optimizer_for(layer.grid, treatment);
    layer.full_precision_matmul = treatment.full_precision_matmul;
    layer.format_spec = spec_of(treatment.format.plugin);
    layer.optimizer = optimizer.handle;
    layer.optimizer_id = optimizer.plugin.id;
    layer.optimizer_spec = spec_of(optimizer.plugin);
    layer.inputs = calibration_ == nullptr ? nullptr : calibration_->find(layer.name);
    const bool has_inputs = layer.inputs != nullptr && layer.inputs->has_samples();
    layer.wants = layer.optimizer->wants(layer.layer, layer.grid, has_inputs);
    layer.corrects_bias =
        treatment.bias_correction && layer.inputs != nullptr && layer.inputs->contents.has_mean();
    layer.bytes_in =
        layer.origin.stored != nullptr ? layer.origin.stored->bytes() : layer.source->info.bytes();
    uint32_t flags = 0;
    if (layer.full_precision_matmul) flags |= OCTAVO_ENTRIES_FULL_PRECISION_MATMUL;
    if (plan_.settings.legacy_keys) flags |= OCTAVO_ENTRIES_LEGACY_KEYS;
    if (plan_.settings.input_scale || (plan_.settings.static_activations && knows_activation_scale(layer)))
      flags |= OCTAVO_ENTRIES_INPUT_SCALE;
    if (layer.stores_factors != nullptr) flags |= OCTAVO_ENTRIES_SMOOTH_FACTORS;
    for (plugin::Entry& entry : layer.format->entries(layer.layer, layer.grid, flags))
      add_output(layer, std::move(entry));
    const bool may_change =
        plan_.settings.nonfinite == Nonfinite::keep || !plan_.settings.fragile.empty() ||
        (layer.grid.code == OCTAVO_CODE_CAST && plan_.settings.cast_overflow == CastOverflow::keep);
    if (may_change && unfit_ == nullptr) plan_.size_exact = false;
  }

  void add_output(PlannedLayer& layer, plugin::Entry entry) {
    std::vector<uint64_t> shape(entry.shape.begin(), entry.shape.end());
    const auto bytes = checkpoint::byte_count(entry.dtype, shape);
    if (!bytes)
      throw Error(ErrorCode::failed,
                  fmt::format("[plan] {}: the format gives an impossible shape", entry.key));
    if (!entry.bytes.empty() && entry.bytes.size() != *bytes) {
      throw Error(ErrorCode::failed, fmt::format("[plan] {}: the format gives {} bytes for a tensor of {}",
                                                 entry.key, entry.bytes.size(), *bytes));
    }
    if (entry.role == OCTAVO_ROLE_INPUT_SCALE && entry.bytes.empty())
      plan_activation_scale(layer, entry, *bytes);
    if (entry.role == OCTAVO_ROLE_SMOOTH_FACTORS) plan_factors(layer, entry, *bytes);
    layer.bytes_out += *bytes;
    layer.outputs.push_back({entry.role, plan_.outputs.size()});
    if (!entry.bytes.empty()) {
      const auto* text = reinterpret_cast<const char*>(entry.bytes.data());
      plan_.constants.push_back(
          {.output = plan_.outputs.size(), .role = entry.role, .bytes = {text, entry.bytes.size()}});
    }
    plan_.outputs.push_back({std::move(entry.key), entry.dtype, std::move(shape)});
    plan_.groups.push_back(layer.name);
  }

  void plan_factors(PlannedLayer& layer, const plugin::Entry& entry, uint64_t bytes) {
    if (layer.stores_factors == nullptr || entry.dtype != OCTAVO_F32 ||
        bytes != static_cast<uint64_t>(layer.layer.cols) * sizeof(float)) {
      throw Error(ErrorCode::failed, fmt::format("[plan] {}: smooth factors are F32 [{}], and asked for",
                                                 entry.key, layer.layer.cols));
    }
    layer.stores_factors->stored_in = plan_.outputs.size();
  }

  void plan_activation_scale(const PlannedLayer& layer, plugin::Entry& entry, uint64_t bytes) {
    if (entry.dtype != OCTAVO_F32)
      throw Error(ErrorCode::failed, fmt::format("[plan] {}: an activation scale is F32", entry.key));
    const uint64_t elements = bytes / sizeof(float);
    const std::optional<float> stated = stated_activation_scale(layer);
    if (!stated && knows_activation_scale(layer)) {
      plan_.activation_scales.push_back({plan_.layers.size(), plan_.outputs.size(), elements});
      return;
    }
    if (!stated) ++unit_scales_;
    entry.bytes = equal_scales(stated.value_or(1.0F), elements);
  }

  // A bias was planned as a copy, or with a LoRA's update, before its layer was decided.
  void correct_biases() {
    std::map<const checkpoint::TensorRef*, PlannedLayer*> wanted;
    for (const auto& layer : plan_.layers) {
      const checkpoint::TensorRef* bias =
          layer->corrects_bias ? source_.find(layer->name + ".bias") : nullptr;
      if (bias != nullptr && can_be_corrected(*bias, *layer)) wanted.emplace(bias, layer.get());
    }
    const auto take = [&](const RowOrigin& origin, size_t output) {
      const auto found = wanted.find(origin.tensor);
      if (found == wanted.end()) return false;
      found->second->bias = {origin, output};
      return true;
    };
    std::erase_if(plan_.copies, [&](const PlannedCopy& copied) {
      return take({copied.source, nullptr, nullptr}, copied.output);
    });
    std::erase_if(plan_.merges, [&](const PlannedMerge& merge) { return take(merge.origin, merge.output); });
  }

  static bool can_be_corrected(const checkpoint::TensorRef& bias, const PlannedLayer& layer) {
    const octavo_dtype dtype = bias.info.dtype;
    return (dtype == OCTAVO_F32 || dtype == OCTAVO_BF16 || dtype == OCTAVO_F16) &&
           bias.info.shape.size() == 1 && static_cast<int64_t>(bias.info.shape[0]) == layer.layer.rows;
  }

  Plan plan_;
  const checkpoint::Checkpoint& source_;
  StoredSources stored_;
  const lora::MergePlan* merges_;
  const calibration::Calibration* calibration_;
  Rules rules_;
  TreatmentOpener opener_;
  std::vector<OpenedTreatment> treatments_;                  // of rules_, in its order
  std::map<std::string, Verdict, std::less<>> kept_stored_;  // layers that stay quantized, by base name
  const Unfit* unfit_;
  std::optional<Smoother> smoother_;  // nothing: not asked for
  size_t unit_scales_ = 0;            // activation scales that nothing is known about
};

}  // namespace

Plan make_plan(const Settings& settings, const checkpoint::Checkpoint& source, plugin::Catalog& catalog,
               const octavo_host* host, const Unfit* unfit, const SourceChanges& changes) {
  return Planner(settings, source, catalog, host, unfit, changes).make();
}

namespace {

// What may make layers of what these rules leave as they are.
std::string hint_of(const Plan& plan, const std::map<std::string, size_t>& rules) {
  if (plan.keeps_integers) return "--requantize takes layers that are INT8 already as a source";
  if (rules.contains(kMeasured))
    return "what was measured keeps every layer: another limit or policy may not";
  const bool by_filter = std::any_of(rules.begin(), rules.end(), [](const auto& rule) {
    return rule.first.starts_with("model ") && !rule.first.ends_with(": rank");
  });
  return by_filter ? "octavo plan shows why for each tensor; --model none takes every 2-D weight"
                   : "octavo plan shows why for each tensor";
}

}  // namespace

std::optional<Error> refusal_of(const Plan& plan) {
  if (!plan.layers.empty()) return std::nullopt;
  std::map<std::string, size_t> reasons;
  for (const PlannedTensor& tensor : plan.tensors) ++reasons[tensor.verdict.rule];
  std::string counts;
  for (const auto& [rule, count] : reasons)
    counts += fmt::format("{}{} by '{}'", counts.empty() ? "" : ", ", count, rule);
  return Error(ErrorCode::unsupported,
               fmt::format("[plan] nothing would be quantized of {}{}", plural(plan.tensors.size(), "tensor"),
                           counts.empty() ? "" : " (" + counts + ")"),
               hint_of(plan, reasons));
}

}  // namespace octavo::plan
