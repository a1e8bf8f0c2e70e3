// Treatments with their plugins opened. Treatments that ask for the same share one.
#pragma once

#include "plan/settings.hpp"
#include "plan/treatment.hpp"
#include "plugin/catalog.hpp"
#include "plugin/format.hpp"
#include "plugin/optimizer.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace octavo::plan {

// The optimizer that everything is compared with: the only plugin that the host names.
inline constexpr const char* kNearest = "nearest";

// A plugin that makes the output, with the parameters that are not its defaults.
struct PlannedPlugin {
  std::string id;
  std::string params;
};

// "id" or "id:name=value,...", as it is written on the command line.
std::string spec_of(const PlannedPlugin& plugin);

template <typename Handle>
struct SharedPlugin {
  std::shared_ptr<Handle> handle;
  PlannedPlugin plugin;
};

struct OpenedTreatment {
  SharedPlugin<plugin::Format> format;
  SharedPlugin<plugin::Optimizer> optimizer;
  bool full_precision_matmul = false;
  bool bias_correction = true;
};

// The grid of a large layer that blocks and groups divide, which says what kind of format it is. Nothing
// where the format refuses that layer.
std::optional<octavo_grid> usual_grid(const plugin::Format& format);

class TreatmentOpener {
 public:
  // All outlive it.
  TreatmentOpener(const Settings& settings, plugin::Catalog& catalog, const octavo_host* host)
      : settings_(settings), catalog_(catalog), host_(host) {}

  // Throws what finding, opening and creating throw; for a treatment that comes from a file Error bad_input
  // in place of usage, and the place in the file with it.
  OpenedTreatment open(const Treatment& treatment);
  // The optimizer of grids that only cast: there is nothing to choose.
  SharedPlugin<plugin::Optimizer> nearest();

 private:
  OpenedTreatment open_plugins(const Treatment& treatment);
  SharedPlugin<plugin::Format> open_format(plugin::Selection selection, uint32_t block_size);
  SharedPlugin<plugin::Optimizer> open_optimizer(plugin::Selection selection, uint32_t block_size);

  const Settings& settings_;
  plugin::Catalog& catalog_;
  const octavo_host* host_;
  std::map<std::string, SharedPlugin<plugin::Format>> formats_;
  std::map<std::string, SharedPlugin<plugin::Optimizer>> optimizers_;
};

}  // namespace octavo::plan
