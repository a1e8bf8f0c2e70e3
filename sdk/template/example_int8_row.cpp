// A format that stores each row of a layer as INT8 with one F32 scale.
//
// A layer `<base>.weight` becomes three tensors: the codes under the same key, `<base>.weight_scale` [rows,
// 1], and the marker `<base>.example_quant`, a few bytes of JSON by which a loader (and recognise() below)
// knows the layer.
#include <octavo/format.hpp>

#include <array>
#include <string>
#include <string_view>

namespace {

constexpr const char* kMarkerSuffix = ".example_quant";
constexpr std::string_view kMarker = R"({"format": "example_int8_row"})";

// Parameters are declared once. The host checks what a user types, shows it in the help, and hands over the
// values.
constexpr std::array kParams = {
    octavo::integer_param("smallest", "16", 1, 65536, "Layers with fewer columns are refused"),
};

class Int8Row final : public octavo::Format {
 public:
  Int8Row(const octavo::Host&, const octavo::Params& params) : smallest_(params.integer("smallest")) {}

  // How a layer is stored, from its shape alone. Without a grid it is refused, and the host keeps it as it
  // is.
  octavo::Placement grid(const octavo_layer& layer) const override {
    octavo::Placement placement;
    if (layer.cols < smallest_) {
      placement.note = std::to_string(layer.cols) + " columns are fewer than " + std::to_string(smallest_);
      return placement;
    }
    placement.grid = octavo::int8_grid(layer, octavo::scale_level(OCTAVO_PER_ROW));
    placement.stored_as = "example_int8_row";
    return placement;
  }

  // The tensors that the layer makes. The host lays out the file from this before it reads any weight.
  std::vector<octavo::Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                                     std::uint32_t) const override {
    const std::string base = layer.name;
    const auto marker_bytes = static_cast<std::int64_t>(kMarker.size());
    return {
        {OCTAVO_ROLE_CODES, layer.key, OCTAVO_I8, {grid.rows, grid.cols}},
        {OCTAVO_ROLE_SCALES, base + ".weight_scale", OCTAVO_F32, {grid.rows, 1}},
        {OCTAVO_ROLE_MARKER, base + kMarkerSuffix, OCTAVO_U8, {marker_bytes}, std::string(kMarker)},
    };
  }

  // Finds the layers of this format in any file. What belongs to a layer is named, what is broken is a
  // finding.
  void recognise(const octavo::HeaderView& header, const octavo::Recognition& found) const override {
    for (std::uint64_t i = 0; i < header.size(); ++i) {
      const octavo::HeaderTensor marker = header.tensor(i);
      if (!marker.name.ends_with(kMarkerSuffix) || header.marker(i) != kMarker) continue;
      recognise_layer(header, marker, found);
    }
  }

 private:
  static void recognise_layer(const octavo::HeaderView& header, const octavo::HeaderTensor& marker,
                              const octavo::Recognition& found) {
    const std::string base(
        marker.name.substr(0, marker.name.size() - std::string_view(kMarkerSuffix).size()));
    const auto codes = header.find(base + ".weight");
    const auto scales = header.find(base + ".weight_scale");
    if (!codes || codes->dtype != OCTAVO_I8 || codes->shape.size() != 2 || !scales) {
      found.finding({OCTAVO_SEVERITY_ERROR, "layer-incomplete", base,
                     "the marker has no INT8 weight with a scale beside it"});
      return;
    }
    octavo_layer layer{};
    layer.struct_size = sizeof layer;
    layer.rows = codes->shape[0];
    layer.cols = codes->shape[1];
    found.layer({base,
                 layer.rows,
                 layer.cols,
                 octavo::int8_grid(layer, octavo::scale_level(OCTAVO_PER_ROW)),
                 {{OCTAVO_ROLE_CODES, 0, codes->index},
                  {OCTAVO_ROLE_SCALES, 0, scales->index},
                  {OCTAVO_ROLE_MARKER, 0, marker.index}}});
  }

  std::int64_t smallest_;
};

}  // namespace

OCTAVO_FORMAT_PLUGIN(Int8Row, {.id = "example_int8_row",
                               .version = OCTAVO_PLUGIN_VERSION,
                               .summary = "INT8 rows with one scale each (an example)",
                               .params = kParams})
