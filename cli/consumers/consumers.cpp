// Each program is a row of a table: versions, what its reader of the container takes, whether it renames
// networks in diffusers' layout, and its rule for a layer.
#include "consumers/consumers.hpp"

#include "base/error.hpp"
#include "checkpoint/dtypes.hpp"
#include "consumers/layer_rules.hpp"
#include "consumers/renamed_network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string_view>

namespace octavo::cli {
namespace {

struct Program {
  const char* name;
  std::array<const char*, 3>
      versions;         // any; the first that loads such a layer; the first that loads some others
  bool reads_metadata;  // `_quantization_metadata` overrules markers
  bool single_file;
  bool renames;                          // diffusers' keys, but not those of scales and markers
  std::span<const octavo_dtype> dtypes;  // empty: all
  size_t max_rank;
  Opinion (*layer)(const LayerForm&, const MarkerForm*);
};

constexpr size_t kAnyRank = 32;

// ComfyUI's reader for dynamic VRAM.
constexpr octavo_dtype kComfyDtypes[] = {
    OCTAVO_F64, OCTAVO_F32,  OCTAVO_F16,     OCTAVO_BF16,    OCTAVO_I64, OCTAVO_I32, OCTAVO_I16, OCTAVO_I8,
    OCTAVO_U8,  OCTAVO_BOOL, OCTAVO_F8_E4M3, OCTAVO_F8_E5M2, OCTAVO_C64, OCTAVO_U64, OCTAVO_U32, OCTAVO_U16};
// stable-diffusion.cpp skips U8 without looking at it.
constexpr octavo_dtype kCppDtypes[] = {OCTAVO_F16,     OCTAVO_BF16, OCTAVO_F32, OCTAVO_F64, OCTAVO_F8_E4M3,
                                       OCTAVO_F8_E5M2, OCTAVO_I32,  OCTAVO_I64, OCTAVO_I8,  OCTAVO_U8};

const Program kPrograms[] = {
    {"ComfyUI", {"", "0.27.0", "0.27.0"}, true, true, true, kComfyDtypes, kAnyRank, comfyui_layer},
    {"comfy-kitchen", {"", "0.2.31", "0.2.31"}, true, false, false, {}, kAnyRank, comfy_kitchen_layer},
    {"stable-diffusion.cpp",
     {"", "2026-08", "newer than 2026-08"},
     false,
     false,
     false,
     kCppDtypes,
     5,
     stable_diffusion_cpp_layer},
    {"ComfyUI-INT8-Fast",
     {"", "2026-04", "newer than 2026-04"},
     false,
     true,
     false,
     {},
     kAnyRank,
     int8_fast_layer},
    {"Forge Neo",
     {"", "neo branch, loader of ComfyUI 0.27", "neo branch, loader of ComfyUI 0.27"},
     true,
     true,
     true,
     kComfyDtypes,
     kAnyRank,
     forge_neo_layer},
    {"InvokeAI", {"", "2026-08", "2026-08"}, false, false, false, {}, kAnyRank, invokeai_layer},
    {"ComfyUI-QuantOps", {"", "", ""}, false, true, false, {}, kAnyRank, quantops_layer},
    {"diffusers", {"", "", ""}, false, false, false, {}, kAnyRank, diffusers_layer},
};

// What is known about one program while the file is looked through.
class Verdict {
 public:
  explicit Verdict(const Program& program) : program_(program) {}

  void add(const Opinion& opinion, const std::string& culprit) {
    if (opinion.loads > loads_) {
      loads_ = opinion.loads;
      blame_.clear();
    }
    version_ = std::max(version_, opinion.version);
    if (opinion.loads != loads_ || opinion.reason.empty()) return;
    Blame& blame = blame_[opinion.reason];
    if (blame.count++ == 0) blame.first = culprit;
  }

  Consumer consumer(size_t layers) const {
    const bool lost = loads_ == Loads::no;
    return {program_.name, loads_, lost ? "" : program_.versions[version_], reason(layers)};
  }

 private:
  struct Blame {
    size_t count = 0;
    std::string first;
  };

  std::string reason(size_t layers) const {
    if (blame_.empty())
      return layers == 0 ? "nothing is quantized" : fmt::format("all {} quantized layers", layers);
    const auto worst = std::max_element(blame_.begin(), blame_.end(), [](const auto& a, const auto& b) {
      return a.second.count < b.second.count;
    });
    const auto& [text, blame] = *worst;
    if (blame.first.empty()) return text;
    if (blame.count == 1) return fmt::format("'{}': {}", printable(blame.first), text);
    return fmt::format("'{}' and {} more: {}", printable(blame.first), blame.count - 1, text);
  }

  const Program& program_;
  Loads loads_ = Loads::yes;
  size_t version_ = 0;
  std::map<std::string, Blame> blame_;  // by reason, of the worst verdict so far
};

void look_at_container(const Program& program, const StoredFile& file, Verdict& verdict) {
  if (program.single_file && file.files > 1)
    verdict.add({Loads::no, 0, fmt::format("it takes single files, not {} shards", file.files)}, "");
  if (program.reads_metadata && !file.metadata_readable)
    verdict.add({Loads::no, 0, "_quantization_metadata is not JSON with an object 'layers'"}, "");
  for (const TensorForm& tensor : file.tensors) {
    const bool known = program.dtypes.empty() || std::find(program.dtypes.begin(), program.dtypes.end(),
                                                           tensor.dtype) != program.dtypes.end();
    if (!known)
      verdict.add({Loads::no, 0, fmt::format("its reader does not know {}", checkpoint::name(tensor.dtype))},
                  tensor.name);
    if (tensor.rank > program.max_rank)
      verdict.add({Loads::no, 0, fmt::format("more than {} dimensions", program.max_rank)}, tensor.name);
  }
}

Consumer judge_container(const Program& program, const StoredFile& file) {
  Verdict verdict(program);
  look_at_container(program, file, verdict);
  return verdict.consumer(file.layers.size());
}

Consumer judge(const Program& program, const StoredFile& file) {
  Verdict verdict(program);
  look_at_container(program, file, verdict);
  const std::optional<RenamedNetwork> renamed = program.renames ? renamed_network(file) : std::nullopt;
  for (const LayerForm& layer : file.layers) {
    if (renamed && layer.name.starts_with(renamed->prefix)) {
      verdict.add({Loads::no, 0,
                   fmt::format("{} keys in diffusers' layout are renamed without their scales and markers",
                               renamed->family)},
                  layer.name);
    } else {
      verdict.add(program.layer(layer, marker_for(layer, program.reads_metadata)), layer.name);
    }
  }
  return verdict.consumer(file.layers.size());
}

const Program& program(std::string_view name) {
  return *std::find_if(std::begin(kPrograms), std::end(kPrograms),
                       [name](const Program& program) { return program.name == name; });
}

}  // namespace

const char* name(Loads loads) {
  switch (loads) {
    case Loads::yes:
      return "yes";
    case Loads::dequantized:
      return "dequantized";
    default:
      return "no";
  }
}

std::vector<Consumer> consumers_of(const StoredFile& file) {
  std::vector<Consumer> consumers;
  for (const Program& program : kPrograms) consumers.push_back(judge(program, file));
  return consumers;
}

std::vector<std::string> loading_warnings(const StoredFile& file) {
  std::vector<std::string> warnings;
  for (const Consumer& consumer :
       {judge(program("ComfyUI"), file), judge_container(program("stable-diffusion.cpp"), file)}) {
    if (consumer.loads == Loads::no)
      warnings.push_back(fmt::format("{} does not load the output: {}", consumer.name, consumer.reason));
  }
  return warnings;
}

}  // namespace octavo::cli
