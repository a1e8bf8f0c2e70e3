#include "explanations.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace octavo::cli {
namespace {

using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array kRows = {
    Row{"container",
        "The file breaks a rule of the safetensors format. Most loaders refuse it; download or write it "
        "again."},
    Row{"container-lenient",
        "The reference reader accepts this, the format's specification forbids it, and other readers "
        "differ."},
    Row{"container-note", "Allowed, and unusual enough to be worth a look."},
    Row{"codes-without-marker",
        "ComfyUI casts the codes to floats without their scale: the result is noise. Write a marker, or "
        "convert the "
        "float checkpoint again."},
    Row{"codes-dtype", "Loaders read the bytes as another type than the one that was written."},
    Row{"codes-range",
        "The format stores codes in a symmetric range. A code outside of it is the mark of a damaged file or "
        "of a "
        "faulty converter."},
    Row{"codes-all-zero", "A layer of nothing but zeros is usually one that was never written."},
    Row{"layer-claimed-twice", "Two installed formats recognise the layer; the first one's reading is used."},
    Row{"scale-missing",
        "Without its scale a layer cannot be dequantized. Loaders raise an error or produce noise."},
    Row{"scale-dtype", "Scales that are not F32 make fast kernels refuse the layer, and lose accuracy."},
    Row{"scale-shape",
        "The scale's shape decides how it is spread over the weights; a wrong one is an error, or noise."},
    Row{"scale-value", "A scale of zero or below, infinity or NaN spoils every weight that it belongs to."},
    Row{"scale-leftover",
        "Loaders report the scale as an unexpected key. It is a leftover and can be removed."},
    Row{"scale-without-weight", "The scale belongs to no tensor of the file and can be removed."},
    Row{"marker-without-weight", "Loaders build a quantized layer from the marker and then find no weight."},
    Row{"marker-unknown", "Install the plugin of that format to have the layer checked."},
    Row{"marker-not-json", "ComfyUI parses every marker; this one stops the load."},
    Row{"marker-nul-padded", "ComfyUI takes leading or only NUL bytes for another encoding and fails."},
    Row{"marker-format-missing", "A marker needs the key 'format'; ComfyUI raises an error without it."},
    Row{"marker-value", "A key of the marker has a value of the wrong type or range."},
    Row{"marker-dtype", "Markers are one-dimensional U8 tensors; loaders skip others or fail."},
    Row{"metadata-not-json", "ComfyUI parses _quantization_metadata before anything else and stops."},
    Row{"metadata-layers-missing", "ComfyUI expects an object 'layers' in _quantization_metadata and stops."},
    Row{"metadata-too-large", "The header entry is larger than any loader expects and was not read."},
    Row{"metadata-stale", "The header names layers that are gone; loaders list unexpected keys."},
    Row{"metadata-disagrees",
        "ComfyUI lets the header win, stable-diffusion.cpp reads only markers: the file means two things."},
    Row{"metadata-incomplete", "Where the header is there, all layers should be in it."},
    Row{"scaled-fp8-stale",
        "ComfyUI takes a file with this tensor for a legacy scaled FP8 one and renames keys. Remove the "
        "tensor."},
    Row{"weight-missing", "The marker or the scale belongs to a weight that is not in the file."},
    Row{"weight-dtype", "The marker promises I8 codes; the weight is something else."},
    Row{"weight-shape", "Only two-dimensional weights are quantized in this format."},
    Row{"block-size", "The scale's grid and the marker's group_size do not fit the weight."},
    Row{"convrot-group", "The group of the rotation is a power of 4 that divides the columns."},
    Row{"convrot-missing",
        "Loaders take the codes for those of plain weights. If they are rotated, octavo edit --add-keys "
        "\"'convrot': true\" says so."},
    Row{"convrot-group-missing", "stable-diffusion.cpp takes a missing group for 0 and refuses the layer."},
    Row{"signs-missing", "The transform flips signs; without them it cannot be undone."},
    Row{"signs-shape",
        "The signs are F32, one for each row or column of the stored weight; others undo nothing."},
    Row{"factors-missing",
        "The layer's inputs are divided by these factors; without them its outputs are wrong."},
    Row{"factors-shape", "SmoothQuant's factors are F32, one for each column of the stored weight."},
    Row{"hadamard-missing",
        "The marker names the transformed format, and what undoes the transform is not in the file. Convert "
        "the "
        "float checkpoint again."},
    Row{"original-shape",
        "It says what was padded before the transform; where it fits no weight, the layer is read with its "
        "padding."},
    Row{"input-scale", "INT8 loaders quantize activations themselves; the tensor can be removed."},
    Row{"nan", "NaN spreads through everything that is computed with it."},
    Row{"infinity", "Attention masks may hold infinities; weights may not."},
};

}  // namespace

std::string explanation(std::string_view code) {
  const auto found =
      std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return row.first == code; });
  return found == kRows.end() ? "" : std::string(found->second);
}

}  // namespace octavo::cli
