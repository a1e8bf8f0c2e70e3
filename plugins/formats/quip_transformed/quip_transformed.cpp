// quip_transformed: INT8 rows of the weight in the incoherent basis, W' = Hd diag(s_row) W diag(s_col) Hd,
// padded with zeros to powers of two. A loader computes y = s_row o Hd(Hd(x o s_col) W'^T). For research: no
// common loader knows the name, and padding stores up to four times the codes.
#include "int8/entries.hpp"
#include "int8/marker.hpp"
#include "layout.hpp"

#include <octavo/format.hpp>
#include <octavo/incoherent.hpp>

#include <bit>
#include <cstring>

namespace octavo::quip_transformed {
namespace {

constexpr octavo_param kParams[] = {
    integer_param("seed", "-1", -1, 9007199254740992.0,
                  "Seed of the signs, which differ from layer to layer; -1: the run's"),
};

template <typename Value>
std::string bytes_of_value(Value value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

Entry constant(const std::string& key, octavo_dtype dtype, std::vector<std::int64_t> shape,
               std::string bytes) {
  return {OCTAVO_ROLE_CONSTANT, key, dtype, std::move(shape), std::move(bytes)};
}

Entry text_entry(octavo_role role, const std::string& key, const std::string& text) {
  return {role, key, OCTAVO_U8, {static_cast<std::int64_t>(text.size())}, text};
}

void write(const octavo_storage& storage, octavo_role role, const void* bytes, std::uint64_t size) {
  check(storage.write(storage.context, role, 0, bytes, size), empty_error());
}

class QuipTransformed final : public Format {
 public:
  static constexpr bool packs = true;  // the signs are written, and rows are read, by the format

  QuipTransformed(const Host& host, const Params& params)
      : host_(*host.raw()), seed_(params.integer("seed")) {}

  Placement grid(const octavo_layer& layer) const override {
    if (int8::is_empty(layer)) return int8::refuse_empty();
    if (layer.rows > kLargest || layer.cols > kLargest)
      return {std::nullopt, {}, "it has more than " + std::to_string(kLargest) + " rows or columns"};
    Placement placement = int8::plain_rows(layer);
    placement.stored_as = kFormat;
    octavo_grid& grid = *placement.grid;
    grid.basis = OCTAVO_BASIS_INCOHERENT;
    grid.basis_seed = seed_of(layer);
    grid.rows = padded_to_power_of_two(layer.rows);
    grid.cols = padded_to_power_of_two(layer.cols);
    grid.row_multiple = grid.rows;
    if (grid.rows != layer.rows || grid.cols != layer.cols)
      placement.note = "padded to " + std::to_string(grid.rows) + " x " + std::to_string(grid.cols);
    return placement;
  }

  std::vector<Entry> entries(const octavo_layer& layer, const octavo_grid& grid,
                             std::uint32_t flags) const override {
    const std::string base = layer.name;
    const bool legacy = (flags & OCTAVO_ENTRIES_LEGACY_KEYS) != 0;
    std::vector<Entry> made = {
        {OCTAVO_ROLE_CODES, layer.key, OCTAVO_I8, {grid.rows, grid.cols}},
        {OCTAVO_ROLE_SCALES, base + (legacy ? kLegacyScale : kScale), OCTAVO_F32, {grid.rows, 1}},
        constant(base + kHadamard, OCTAVO_I8, {}, bytes_of_value(std::int8_t{1})),
        constant(base + kRowsOfCodes, OCTAVO_I32, {}, bytes_of_value(static_cast<std::int32_t>(grid.rows))),
        constant(base + kColsOfCodes, OCTAVO_I32, {}, bytes_of_value(static_cast<std::int32_t>(grid.cols))),
        {OCTAVO_ROLE_ROW_SIGNS, base + kRowSigns, OCTAVO_F32, {grid.rows}},
        {OCTAVO_ROLE_COLUMN_SIGNS, base + kColumnSigns, OCTAVO_F32, {grid.cols}},
    };
    if (grid.rows != layer.rows || grid.cols != layer.cols) {
      made.push_back(text_entry(OCTAVO_ROLE_CONSTANT, base + kShape,
                                "[" + std::to_string(layer.rows) + ", " + std::to_string(layer.cols) + "]"));
    }
    if (!legacy) {
      int8::Marker marker;
      marker.format = kFormat;
      marker.full_precision = (flags & OCTAVO_ENTRIES_FULL_PRECISION_MATMUL) != 0;
      made.push_back(text_entry(OCTAVO_ROLE_MARKER, base + kMarker, int8::marker_text(marker)));
    }
    if ((flags & OCTAVO_ENTRIES_SMOOTH_FACTORS) != 0)
      made.push_back({OCTAVO_ROLE_SMOOTH_FACTORS, base + kSmoothFactors, OCTAVO_F32, {layer.cols}});
    if ((flags & OCTAVO_ENTRIES_INPUT_SCALE) != 0)
      made.push_back(
          {OCTAVO_ROLE_INPUT_SCALE, base + (legacy ? ".scale_input" : ".input_scale"), OCTAVO_F32, {}});
    return made;
  }

  void recognise(const HeaderView& header, const Recognition& recognition) const override {
    quip_transformed::recognise(header, recognition);
  }

  // The layer comes as one tile.
  void encode(const octavo_tile& tile, const octavo_storage& storage) const override {
    const octavo_grid& grid = *tile.grid;
    write(storage, OCTAVO_ROLE_CODES, tile.codes.data, static_cast<std::uint64_t>(grid.rows * grid.cols));
    write(storage, OCTAVO_ROLE_SCALES, tile.scales[0].data,
          static_cast<std::uint64_t>(grid.rows) * sizeof(float));
    write_signs(storage, OCTAVO_ROLE_ROW_SIGNS, grid.basis_seed, octavo::kRowSigns, grid.rows);
    write_signs(storage, OCTAVO_ROLE_COLUMN_SIGNS, grid.basis_seed, octavo::kColumnSigns, grid.cols);
  }

  void decode(const octavo_tile& tile, const octavo_storage& storage) const override {
    read_rows(tile, storage);
  }

 private:
  static constexpr std::int64_t kLargest = std::int64_t{1} << 20;

  std::uint64_t seed_of(const octavo_layer& layer) const {
    std::uint32_t words[2] = {};
    host_.random(host_.context, seed_ < 0 ? layer.seed : static_cast<std::uint64_t>(seed_), layer.name, 0, 2,
                 words);
    return words[0] | std::uint64_t{words[1]} << 32;
  }

  void write_signs(const octavo_storage& storage, octavo_role role, std::uint64_t seed, const char* stream,
                   std::int64_t count) const {
    const std::vector<float> signs = incoherent_signs(host_, seed, stream, count);
    write(storage, role, signs.data(), signs.size() * sizeof(float));
  }

  const octavo_host& host_;
  std::int64_t seed_;
};

}  // namespace
}  // namespace octavo::quip_transformed

OCTAVO_FORMAT_PLUGIN(
    octavo::quip_transformed::QuipTransformed,
    {.id = "quip_transformed",
     .version = OCTAVO_PLUGIN_VERSION,
     .summary = "INT8 rows of the weight rotated on both sides, padded to powers of two (research)",
     .params = octavo::quip_transformed::kParams})
