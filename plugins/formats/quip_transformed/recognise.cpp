#include "int8/marker.hpp"
#include "layout.hpp"

#include <octavo/incoherent.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>

namespace octavo::quip_transformed {
namespace {

std::string base_of(std::string_view name, std::string_view ending) {
  return name.size() > ending.size() && name.ends_with(ending)
             ? std::string(name.substr(0, name.size() - ending.size()))
             : std::string();
}

// One layer, found by its sign of a Hadamard transform. Each step returns false after it has said what is
// wrong.
class Reader {
 public:
  Reader(const HeaderView& header, std::string base, const Recognition& recognition)
      : header_(header), base_(std::move(base)), recognition_(recognition) {}

  void read() {
    if (!read_weight() || !read_scale() || !read_signs()) return;
    read_shape();
    if (!read_smooth_factors()) return;
    found_.grid = reading_grid(found_.rows, found_.cols);
    for (const char* companion : {kHadamard, kRowsOfCodes, kColsOfCodes, kShape})
      add(OCTAVO_ROLE_CONSTANT, companion);
    add(OCTAVO_ROLE_INPUT_SCALE, ".input_scale");
    add(OCTAVO_ROLE_INPUT_SCALE, ".scale_input");
    recognition_.layer(found_);
  }

 private:
  bool fail(const char* code, const std::string& tensor, const std::string& message) {
    recognition_.finding({OCTAVO_SEVERITY_ERROR, code, tensor, message});
    return false;
  }

  bool read_weight() {
    std::optional<HeaderTensor> weight = header_.find(base_ + ".weight");
    if (!weight) weight = header_.find(base_);
    if (!weight) return fail("weight-missing", base_ + kHadamard, "there is no weight beside it");
    const std::string key(weight->name);
    if (weight->dtype != OCTAVO_I8) return fail("weight-dtype", key, "the weight is not I8");
    const auto is_power = [](std::int64_t size) {
      return size > 0 && std::has_single_bit(static_cast<std::uint64_t>(size));
    };
    if (weight->shape.size() != 2 || !is_power(weight->shape[0]) || !is_power(weight->shape[1]))
      return fail("weight-shape", key, "the weight has not two dimensions that are powers of two");
    found_.name = base_;
    found_.rows = weight->shape[0];
    found_.cols = weight->shape[1];
    found_.entries.push_back({OCTAVO_ROLE_CODES, 0, weight->index});
    return true;
  }

  bool read_scale() {
    const bool legacy = !header_.find(base_ + kScale) && header_.find(base_ + kLegacyScale);
    if (legacy) found_.flags |= OCTAVO_ENTRIES_LEGACY_KEYS;
    const std::string key = base_ + (legacy ? kLegacyScale : kScale);
    if (!require(OCTAVO_ROLE_SCALES, key, "scale-missing", "scale-shape", found_.rows)) return false;
    if (const auto marker = header_.find(base_ + kMarker)) {
      add(OCTAVO_ROLE_MARKER, kMarker);
      const auto bytes = header_.marker(marker->index);
      const int8::MarkerReading reading = int8::read_marker(bytes.value_or(""));
      if (!reading.marker || reading.marker->format != kFormat) {
        recognition_.finding(
            {OCTAVO_SEVERITY_ERROR, "marker-value", base_ + kMarker,
             "the layer is transformed, which its marker does not say: loaders compute garbage"});
      }
      if (reading.marker && reading.marker->full_precision)
        found_.flags |= OCTAVO_ENTRIES_FULL_PRECISION_MATMUL;
    }
    return true;
  }

  bool read_signs() {
    return require(OCTAVO_ROLE_ROW_SIGNS, base_ + kRowSigns, "signs-missing", "signs-shape", found_.rows) &&
           require(OCTAVO_ROLE_COLUMN_SIGNS, base_ + kColumnSigns, "signs-missing", "signs-shape",
                   found_.cols);
  }

  bool read_smooth_factors() {
    if (!header_.find(base_ + kSmoothFactors)) return true;
    found_.flags |= OCTAVO_ENTRIES_SMOOTH_FACTORS;
    return require(OCTAVO_ROLE_SMOOTH_FACTORS, base_ + kSmoothFactors, "factors-missing", "factors-shape",
                   found_.cols);
  }

  // An F32 tensor of `count` elements that the layer cannot do without.
  bool require(octavo_role role, const std::string& key, const char* missing, const char* misshapen,
               std::int64_t count) {
    const std::optional<HeaderTensor> tensor = header_.find(key);
    if (!tensor) return fail(missing, base_, "'" + key + "' is missing");
    std::int64_t elements = 1;
    for (const std::int64_t size : tensor->shape) elements *= size;
    if (tensor->dtype != OCTAVO_F32 || elements != count)
      return fail(misshapen, key, "expected F32 with " + std::to_string(count) + " elements");
    found_.entries.push_back({static_cast<std::uint32_t>(role), 0, tensor->index});
    return true;
  }

  // Without it nobody knows what was padded: the padded layer is read.
  void read_shape() {
    const std::optional<HeaderTensor> stored = header_.find(base_ + kShape);
    if (!stored) return;
    const auto shape = int8::parse_json(header_.marker(stored->index).value_or(""));
    const bool pair = shape && shape->is_array() && shape->size() == 2 && (*shape)[0].is_number_integer() &&
                      (*shape)[1].is_number_integer();
    const auto fits = [](std::int64_t size, std::int64_t padded) {
      return size > padded / 2 && size <= padded;
    };
    if (pair && fits((*shape)[0], found_.rows) && fits((*shape)[1], found_.cols)) {
      found_.rows = (*shape)[0];
      found_.cols = (*shape)[1];
      return;
    }
    recognition_.finding({OCTAVO_SEVERITY_NOTE, "original-shape", base_ + kShape,
                          "it is no shape of this weight: read as padded"});
  }

  void add(octavo_role role, const char* ending) {
    if (const auto tensor = header_.find(base_ + ending))
      found_.entries.push_back({static_cast<std::uint32_t>(role), 0, tensor->index});
  }

  const HeaderView& header_;
  std::string base_;
  const Recognition& recognition_;
  RecognisedLayer found_{};
};

// A marker that names the format without what else belongs to it.
void report_bare_markers(const HeaderView& header, const Recognition& recognition) {
  for (std::uint64_t i = 0; i < header.size(); ++i) {
    const HeaderTensor tensor = header.tensor(i);
    const std::string base = base_of(tensor.name, kMarker);
    if (base.empty() || header.find(base + kHadamard)) continue;
    const auto reading = int8::read_marker(header.marker(i).value_or(""));
    if (reading.marker && reading.marker->format == kFormat) {
      recognition.finding(
          {OCTAVO_SEVERITY_ERROR, "hadamard-missing", std::string(tensor.name),
           "'" + base + kHadamard + "' and the signs are missing: nobody can undo the transform"});
    }
  }
}

}  // namespace

octavo_grid reading_grid(std::int64_t rows, std::int64_t cols) {
  octavo_layer layer{};
  layer.rows = rows;
  layer.cols = cols;
  octavo_grid grid = cast_grid(layer, OCTAVO_F32);
  grid.row_multiple = std::min(kRowsAtATime, padded_to_power_of_two(rows));
  return grid;
}

void recognise(const HeaderView& header, const Recognition& recognition) {
  for (std::uint64_t i = 0; i < header.size(); ++i) {
    const std::string base = base_of(header.tensor(i).name, kHadamard);
    if (!base.empty()) Reader(header, base, recognition).read();
  }
  report_bare_markers(header, recognition);
}

}  // namespace octavo::quip_transformed
