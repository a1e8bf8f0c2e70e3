#include "int8/recognise.hpp"

#include "int8/scale.hpp"

#include <utility>

namespace octavo::int8 {
namespace {

constexpr std::int64_t kDefaultGroup = 256;  // ComfyUI's, where the marker names none

// Powers of 4 from 4: the sizes of the regular Hadamard matrix.
bool is_power_of_four(std::int64_t value) {
  if (value < 4) return false;
  while (value % 4 == 0) value /= 4;
  return value == 1;
}

// Reads one claim. Each step returns false after it has said why the layer cannot be read.
class Reader {
 public:
  Reader(const HeaderView& header, const Claim& claim, const Recognition& recognition)
      : header_(header), claim_(claim), recognition_(recognition) {}

  void read() {
    for (const Finding& finding : claim_.findings) recognition_.finding(finding);
    if (!read_weight() || !read_scale() || !read_rotation()) return;
    add_companions();
    recognition_.layer(found_);
  }

 private:
  bool fail(const char* code, const std::string& tensor, const std::string& message) {
    recognition_.finding({OCTAVO_SEVERITY_ERROR, code, tensor, message});
    return false;
  }

  bool read_weight() {
    if (claim_.weight.empty()) {
      return fail("weight-missing", claim_.said_by, "there is no weight for this marker");
    }
    const HeaderTensor weight = *header_.find(claim_.weight);
    if (weight.shape.size() == 3 && weight.dtype == OCTAVO_I8) {
      recognition_.finding({OCTAVO_SEVERITY_NOTE, "weight-shape", claim_.weight,
                            "a bank of experts, " + shape_text(weight.shape) + ": copied as it is"});
      return false;
    }
    if (weight.shape.size() != 2) {
      return fail("weight-shape", claim_.weight,
                  "the weight has shape " + shape_text(weight.shape) + "; expected two dimensions");
    }
    if (weight.dtype != OCTAVO_I8) return fail("weight-dtype", claim_.weight, "the weight is not I8");
    found_.name = claim_.base;
    found_.rows = weight.shape[0];
    found_.cols = weight.shape[1];
    add_entry(OCTAVO_ROLE_CODES, weight);
    return true;
  }

  bool read_scale() {
    const std::string key = claim_.base + (claim_.legacy ? ".scale_weight" : ".weight_scale");
    const std::optional<HeaderTensor> scale = header_.find(key);
    if (!scale) return fail("scale-missing", claim_.weight, missing_scale_text(key));
    const ScaleReading dtype = read_scale_dtype(scale->dtype);
    const ScaleReading shape = read_scale_shape(claim_, found_.rows, found_.cols, scale->shape);
    for (const ScaleRemark& remark : {dtype.remark, shape.remark}) {
      if (!remark.code.empty()) recognition_.finding({remark.severity, remark.code, key, remark.message});
    }
    if (!dtype.level || !shape.level) return false;
    octavo_scale_level level = *shape.level;
    level.dtype = dtype.level->dtype;
    octavo_layer layer{};
    layer.rows = found_.rows;
    layer.cols = found_.cols;
    found_.grid = int8_grid(layer, level);
    add_entry(OCTAVO_ROLE_SCALES, *scale);
    return true;
  }

  std::string missing_scale_text(const std::string& key) const {
    std::string text = "'" + key + "' is missing";
    if (!claim_.legacy && header_.find(claim_.base + ".scale_weight"))
      text += "; '.scale_weight' beside a marker is read by no INT8 loader";
    return text;
  }

  bool read_rotation() {
    if (claim_.layout != Layout::convrot) {
      if (claim_.marker.convrot_groupsize != 0) {
        recognition_.finding(
            {OCTAVO_SEVERITY_WARNING, "convrot-missing", claim_.said_by,
             "the marker names a convrot_groupsize and not \"convrot\": loaders take its codes "
             "for plain ones"});
      }
      return true;
    }
    std::int64_t group = claim_.marker.convrot_groupsize;
    if (group == 0) {
      group = kDefaultGroup;
      recognition_.finding({OCTAVO_SEVERITY_WARNING, "convrot-group-missing", claim_.said_by,
                            "the marker names no convrot_groupsize; ComfyUI takes 256, stable-diffusion.cpp "
                            "refuses the layer"});
    }
    if (!is_power_of_four(group) || found_.cols % group != 0) {
      return fail("convrot-group", claim_.said_by,
                  "convrot_groupsize " + std::to_string(group) + " with " + std::to_string(found_.cols) +
                      " columns; expected a power of 4 that divides them");
    }
    found_.grid.basis = OCTAVO_BASIS_CONVROT;
    found_.grid.basis_group = group;
    return true;
  }

  void add_companions() {
    if (claim_.tensor) add_entry(OCTAVO_ROLE_MARKER, header_.tensor(*claim_.tensor));
    if (claim_.legacy) found_.flags |= OCTAVO_ENTRIES_LEGACY_KEYS;
    if (claim_.marker.full_precision) found_.flags |= OCTAVO_ENTRIES_FULL_PRECISION_MATMUL;
    const std::string key = claim_.base + (claim_.legacy ? ".scale_input" : ".input_scale");
    if (const std::optional<HeaderTensor> input_scale = header_.find(key)) {
      found_.flags |= OCTAVO_ENTRIES_INPUT_SCALE;
      add_entry(OCTAVO_ROLE_INPUT_SCALE, *input_scale);
      recognition_.finding({OCTAVO_SEVERITY_NOTE, "input-scale", key,
                            "no INT8 loader reads it; ComfyUI lists it as unexpected"});
    }
  }

  void add_entry(octavo_role role, const HeaderTensor& tensor) {
    found_.entries.push_back({static_cast<std::uint32_t>(role), 0, tensor.index});
  }

  const HeaderView& header_;
  const Claim& claim_;
  const Recognition& recognition_;
  RecognisedLayer found_{};
};

}  // namespace

void recognise(const HeaderView& header, Layout layout, const Recognition& recognition) {
  const Claims claims = claims_of(header);
  if (layout == Layout::plain) {
    for (const Finding& finding : claims.unreadable) recognition.finding(finding);
  }
  for (const Claim& claim : claims.layers) {
    if (claim.layout == layout) Reader(header, claim, recognition).read();
  }
}

}  // namespace octavo::int8
