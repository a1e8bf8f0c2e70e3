// Entries are grouped by layer, and each group is made into one update of the weight and one of the bias. The
// cores of convolutions (".lora_mid", ".hada_t1", ".lokr_t2": Tucker decompositions) are multiplied into one
// of the factors here, so that what is left are products of two matrices.
#include "lora/lora_file.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"
#include "checkpoint/reader.hpp"
#include "lora/names.hpp"
#include "reference/operations.hpp"

#include <octavo/plugin.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <span>

namespace octavo::lora {
namespace {

// A tensor's values with its shape.
struct Factor {
  const checkpoint::TensorRef* tensor = nullptr;
  std::vector<uint64_t> shape;
  std::vector<float> values;

  // First dimension by all the others.
  Matrix matrix() const {
    Matrix made;
    made.rows = shape.empty() ? 1 : static_cast<int64_t>(shape[0]);
    made.cols = made.rows == 0 ? 0 : static_cast<int64_t>(values.size()) / made.rows;
    made.values = values;
    return made;
  }
};

using Group = std::map<Role, Factor>;

// Thrown inside of a group: the layer cannot be used.
struct Unusable {
  std::string why;
};

std::vector<float> to_f32(std::span<std::byte> raw, octavo_dtype dtype, uint64_t count) {
  std::vector<float> values(count);
  if (count == 0) return values;
  const auto width = static_cast<int64_t>(count);
  const octavo_tensor source = octavo::tensor_view(raw.data(), dtype, {1, width});
  octavo_tensor target = octavo::tensor_view(values.data(), OCTAVO_F32, {1, width});
  octavo_cast_result result{};
  result.struct_size = sizeof result;
  octavo_error error{};
  error.struct_size = sizeof error;
  const octavo_status status = reference::operations().cast(nullptr, &source, &target, 0, &result, &error);
  if (status != OCTAVO_OK) throw Error(ErrorCode::failed, fmt::format("[lora] {}", error.message));
  return values;
}

// Diffusers writes PEFT's configuration as JSON, its keys behind the network's name:
// "transformer.lora_alpha", "transformer.alpha_pattern" (by layer), "transformer.use_rslora" (alpha /
// sqrt(rank) in place of alpha / rank). `rank`: of the layer, and its alpha where nothing is said.
double adapter_alpha(const std::map<std::string, std::string>& metadata, const std::string& layer,
                     double rank) {
  const auto said = metadata.find("lora_adapter_metadata");
  if (said == metadata.end()) return rank;
  const nlohmann::json config = nlohmann::json::parse(said->second, nullptr, false);
  if (!config.is_object()) throw Unusable{"lora_adapter_metadata of the file is not JSON"};
  const std::string network = layer.substr(0, layer.find('.') + 1);
  double alpha = rank;
  if (const auto all = config.find(network + "lora_alpha"); all != config.end() && all->is_number())
    alpha = all->get<double>();
  if (const auto some = config.find(network + "alpha_pattern"); some != config.end() && some->is_object()) {
    for (const auto& [name, value] : some->items()) {
      if (value.is_number() && ("." + layer).ends_with("." + name)) alpha = value.get<double>();
    }
  }
  const auto rooted = config.find(network + "use_rslora");
  const bool is_rooted = rooted != config.end() && rooted->is_boolean() && rooted->get<bool>();
  return is_rooted ? alpha * std::sqrt(rank) : alpha;
}

class Reader {
 public:
  Reader(const std::filesystem::path& path, const checkpoint::Checkpoint& source) : source_(source) {
    file_.name = path.filename().string();
    file_.bytes = source.source_bytes();
    file_.identities = source.identities();
  }

  LoraFile read() {
    for (const checkpoint::TensorRef& tensor : source_.tensors()) add(tensor);
    for (auto& [layer, group] : groups_) make(layer, group);
    file_.data_hash = xxh3_128_hex(hashes_);
    return std::move(file_);
  }

 private:
  void add(const checkpoint::TensorRef& tensor) {
    const std::string& name = tensor.info.name;
    const std::optional<EntryName> entry = parse_entry(name);
    if (!entry) {
      file_.problems.push_back({name, "its name is that of no LoRA entry"});
      return;
    }
    if (entry->role == Role::unsupported) {
      // What remains of such a layer would be another update than the one that was trained.
      file_.problems.push_back({name, "this kind of update is not supported, so its layer is left out"});
      refused_.insert(entry->layer);
      return;
    }
    Factor factor = load(tensor);
    if (!groups_[entry->layer].emplace(entry->role, std::move(factor)).second) {
      file_.problems.push_back({name, "another entry of this file says the same of its layer"});
      refused_.insert(entry->layer);
    }
  }

  Factor load(const checkpoint::TensorRef& tensor) {
    const checkpoint::TensorInfo& info = tensor.info;
    if (!octavo::is_weight_dtype(info.dtype)) {
      throw Error(ErrorCode::bad_input,
                  fmt::format("[lora] {}: tensor {} is {}, floats were expected", printable(file_.name),
                              printable(info.name), checkpoint::name(info.dtype)));
    }
    std::vector<std::byte> raw(info.bytes());
    source_.read(tensor, 0, raw);
    hashes_ += info.name + ':' + xxh3_128_hex(raw) + '\n';
    Factor factor{&tensor, info.shape, to_f32(raw, info.dtype, info.elements())};
    for (size_t i = 0; i < factor.values.size(); ++i) {
      if (std::isfinite(factor.values[i])) continue;
      throw Error(ErrorCode::bad_input, fmt::format("[lora] {}: tensor {} is not finite at element {}",
                                                    printable(file_.name), printable(info.name), i));
    }
    return factor;
  }

  void make(const std::string& layer, Group& group) {
    if (refused_.contains(layer)) return;
    try {
      if (group.size() == 1 && group.contains(Role::alpha)) throw Unusable{"it is an alpha without a layer"};
      if (group.contains(Role::bias_difference)) make_difference(layer, group, Role::bias_difference);
      if (group.contains(Role::weight_difference)) make_difference(layer, group, Role::weight_difference);
      if (group.contains(Role::down) || group.contains(Role::up)) make_low_rank(layer, group);
      if (group.contains(Role::hada_1a)) make_hadamard(layer, group);
      if (group.contains(Role::kron_1) || group.contains(Role::kron_1a)) make_kronecker(layer, group);
      for (const auto& [role, factor] : group) {
        if (role == Role::alpha) continue;
        throw Unusable{"its partner is missing"};
      }
    } catch (const Unusable& unusable) {
      const Factor* named = nullptr;
      for (const auto& [role, factor] : group) {
        if (named == nullptr || role != Role::alpha) named = &factor;
      }
      file_.problems.push_back({named == nullptr ? layer : named->tensor->info.name, unusable.why});
    }
  }

  static Factor take(Group& group, Role role, const char* what) {
    const auto found = group.find(role);
    if (found == group.end()) throw Unusable{fmt::format("its partner, {}, is missing", what)};
    Factor factor = std::move(found->second);
    group.erase(found);
    return factor;
  }

  double alpha(const std::string& layer, const Group& group, double otherwise) const {
    if (const auto found = group.find(Role::alpha); found != group.end()) {
      if (found->second.values.size() != 1)
        throw Unusable{fmt::format("its alpha has the shape {}, one number was expected",
                                   shape_text(found->second.shape))};
      return found->second.values[0];
    }
    std::string key = layer;
    std::replace(key.begin(), key.end(), '.', '_');
    const auto said = source_.metadata().find(key + "_alpha");
    if (said == source_.metadata().end()) return adapter_alpha(source_.metadata(), layer, otherwise);
    double value = 0;
    const char* end = said->second.data() + said->second.size();
    if (std::from_chars(said->second.data(), end, value).ptr != end || !std::isfinite(value))
      throw Unusable{
          fmt::format("its alpha in the metadata is '{}', a number was expected", printable(said->second))};
    return value;
  }

  void put(Adapter adapter, bool bias = false) {
    if (adapter.rows <= 0 || adapter.cols <= 0) throw Unusable{"it has no elements"};
    file_.updates.push_back({std::make_shared<const Adapter>(std::move(adapter)), bias});
  }

  void make_difference(const std::string& layer, Group& group, Role role) {
    Adapter made{.layer = layer, .kind = Kind::difference};
    made.up = take(group, role, "").matrix();
    made.rows = made.up.rows;
    made.cols = made.up.cols;
    put(std::move(made), role == Role::bias_difference);
  }

  // down [rank, cols, kernel...] with the core mid [rank, rank', kernel...] folded in, if there is one:
  // down'[i, c, k] = sum over j of core[i, j, k] down[j, c].
  static Matrix with_core(const Factor& core, const Matrix& down) {
    if (core.shape.size() < 2 || static_cast<int64_t>(core.shape[1]) != down.rows)
      throw Unusable{fmt::format("its core {} does not fit the factor [{}, {}]", shape_text(core.shape),
                                 down.rows, down.cols)};
    const auto rank = static_cast<int64_t>(core.shape[0]);
    const int64_t kernel =
        core.values.empty() ? 0 : static_cast<int64_t>(core.values.size()) / rank / down.rows;
    Matrix made{rank, down.cols * kernel, std::vector<float>(static_cast<size_t>(rank * down.cols * kernel))};
    for (int64_t i = 0; i < rank; ++i) {
      for (int64_t j = 0; j < down.rows; ++j) {
        const float* taps = core.values.data() + (i * down.rows + j) * kernel;
        for (int64_t c = 0; c < down.cols; ++c) {
          float* to = made.values.data() + i * made.cols + c * kernel;
          for (int64_t k = 0; k < kernel; ++k) to[k] += taps[k] * down.row(j)[c];
        }
      }
    }
    return made;
  }

  static Matrix transposed(const Matrix& matrix) {
    Matrix made{matrix.cols, matrix.rows, std::vector<float>(matrix.values.size())};
    for (int64_t r = 0; r < matrix.rows; ++r) {
      for (int64_t c = 0; c < matrix.cols; ++c)
        made.values[static_cast<size_t>(c * matrix.rows + r)] = matrix.row(r)[c];
    }
    return made;
  }

  static void expect_inner(const Matrix& up, const Matrix& down) {
    if (up.cols == down.rows && up.cols > 0) return;
    throw Unusable{fmt::format("its halves are [{}, {}] and [{}, {}]: the rank differs", up.rows, up.cols,
                               down.rows, down.cols)};
  }

  void make_low_rank(const std::string& layer, Group& group) {
    Adapter made{.layer = layer, .kind = Kind::low_rank};
    Factor down = take(group, Role::down, "the half that is called down or A");
    Factor up = take(group, Role::up, "the half that is called up or B");
    if (up.shape.size() < 2 || down.shape.size() < 2) throw Unusable{"its halves are no matrices"};
    made.down = down.matrix();
    made.up = up.matrix();
    const auto rank = static_cast<double>(made.down.rows);
    if (group.contains(Role::mid)) made.down = with_core(take(group, Role::mid, "mid"), made.down);
    expect_inner(made.up, made.down);
    made.rows = made.up.rows;
    made.cols = made.down.cols;
    made.scale = alpha(layer, group, rank) / rank;
    put(std::move(made));
  }

  // With a core: sum over i, j of core[i, j, k] a[i, row] b[j, col].
  static void hadamard_half(Group& group, Role a, Role b, Role core, Matrix& up, Matrix& down) {
    up = take(group, a, "hada_w*_a").matrix();
    down = take(group, b, "hada_w*_b").matrix();
    if (group.contains(core)) {
      down = with_core(take(group, core, ""), down);
      up = transposed(up);
    }
    expect_inner(up, down);
  }

  void make_hadamard(const std::string& layer, Group& group) {
    Adapter made{.layer = layer, .kind = Kind::hadamard};
    const Factor& first_b = group.contains(Role::hada_1b)
                                ? group.at(Role::hada_1b)
                                : throw Unusable{"its partner, hada_w1_b, is missing"};
    const double rank = first_b.shape.empty() ? 0 : static_cast<double>(first_b.shape[0]);
    hadamard_half(group, Role::hada_1a, Role::hada_1b, Role::hada_t1, made.up, made.down);
    hadamard_half(group, Role::hada_2a, Role::hada_2b, Role::hada_t2, made.up2, made.down2);
    made.rows = made.up.rows;
    made.cols = made.down.cols;
    if (made.up2.rows != made.rows || made.down2.cols != made.cols)
      throw Unusable{fmt::format("its halves are [{}, {}] and [{}, {}], equal shapes were expected",
                                 made.rows, made.cols, made.up2.rows, made.down2.cols)};
    made.scale = alpha(layer, group, rank) / rank;
    put(std::move(made));
  }

  // A whole factor, or the product of its two halves; `rank` becomes that of the halves.
  static Matrix kronecker_factor(Group& group, Role whole, Role a, Role b, Role core, double& rank) {
    if (group.contains(whole)) return take(group, whole, "").matrix();
    Matrix up = take(group, a, "lokr_w*_a").matrix();
    Matrix down = take(group, b, "lokr_w*_b").matrix();
    rank = static_cast<double>(down.rows);
    if (core != whole && group.contains(core)) {
      down = with_core(take(group, core, ""), down);
      up = transposed(up);
    }
    expect_inner(up, down);
    return product(up, down);
  }

  void make_kronecker(const std::string& layer, Group& group) {
    Adapter made{.layer = layer, .kind = Kind::kronecker};
    double rank = 0;
    made.up = kronecker_factor(group, Role::kron_1, Role::kron_1a, Role::kron_1b, Role::kron_1, rank);
    made.down = kronecker_factor(group, Role::kron_2, Role::kron_2a, Role::kron_2b, Role::kron_t2, rank);
    made.rows = made.up.rows * made.down.rows;
    made.cols = made.up.cols * made.down.cols;
    // Two whole factors have no rank, and their alpha says nothing (LyCORIS).
    made.scale = rank == 0 ? 1 : alpha(layer, group, rank) / rank;
    put(std::move(made));
  }

  const checkpoint::Checkpoint& source_;
  LoraFile file_;
  std::map<std::string, Group> groups_;
  std::set<std::string> refused_;
  std::string hashes_;
};

}  // namespace

LoraFile open_lora(const std::filesystem::path& path) {
  const checkpoint::Checkpoint source = checkpoint::Checkpoint::open(path);
  return Reader(path, source).read();
}

}  // namespace octavo::lora
