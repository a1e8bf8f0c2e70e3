#include "lora/layouts.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace octavo::lora {
namespace {

struct Row {
  std::string_view stored;  // '#' stands for a number
  std::string_view other;
  Slice slice = Slice::whole;
};

constexpr std::array kRows = {
    // FLUX: two streams, then one.
    Row{"double_blocks.#.img_attn.qkv", "transformer_blocks.#.attn.to_q", Slice::query},
    Row{"double_blocks.#.img_attn.qkv", "transformer_blocks.#.attn.to_k", Slice::key},
    Row{"double_blocks.#.img_attn.qkv", "transformer_blocks.#.attn.to_v", Slice::value},
    Row{"double_blocks.#.txt_attn.qkv", "transformer_blocks.#.attn.add_q_proj", Slice::query},
    Row{"double_blocks.#.txt_attn.qkv", "transformer_blocks.#.attn.add_k_proj", Slice::key},
    Row{"double_blocks.#.txt_attn.qkv", "transformer_blocks.#.attn.add_v_proj", Slice::value},
    Row{"double_blocks.#.img_attn.proj", "transformer_blocks.#.attn.to_out.0"},
    Row{"double_blocks.#.txt_attn.proj", "transformer_blocks.#.attn.to_add_out"},
    Row{"double_blocks.#.img_mlp.0", "transformer_blocks.#.ff.net.0.proj"},
    Row{"double_blocks.#.img_mlp.2", "transformer_blocks.#.ff.net.2"},
    Row{"double_blocks.#.txt_mlp.0", "transformer_blocks.#.ff_context.net.0.proj"},
    Row{"double_blocks.#.txt_mlp.2", "transformer_blocks.#.ff_context.net.2"},
    Row{"double_blocks.#.img_mlp.0", "transformer_blocks.#.ff.linear_in"},
    Row{"double_blocks.#.img_mlp.2", "transformer_blocks.#.ff.linear_out"},
    Row{"double_blocks.#.txt_mlp.0", "transformer_blocks.#.ff_context.linear_in"},
    Row{"double_blocks.#.txt_mlp.2", "transformer_blocks.#.ff_context.linear_out"},
    Row{"double_blocks.#.img_mod.lin", "transformer_blocks.#.norm1.linear"},
    Row{"double_blocks.#.txt_mod.lin", "transformer_blocks.#.norm1_context.linear"},
    Row{"single_blocks.#.linear1", "single_transformer_blocks.#.attn.to_q", Slice::square_query},
    Row{"single_blocks.#.linear1", "single_transformer_blocks.#.attn.to_k", Slice::square_key},
    Row{"single_blocks.#.linear1", "single_transformer_blocks.#.attn.to_v", Slice::square_value},
    Row{"single_blocks.#.linear1", "single_transformer_blocks.#.proj_mlp", Slice::rest},
    Row{"single_blocks.#.linear1", "single_transformer_blocks.#.attn.to_qkv_mlp_proj"},
    Row{"single_blocks.#.linear2", "single_transformer_blocks.#.proj_out"},
    Row{"single_blocks.#.linear2", "single_transformer_blocks.#.attn.to_out"},
    Row{"single_blocks.#.modulation.lin", "single_transformer_blocks.#.norm.linear"},
    Row{"img_in", "x_embedder"},
    Row{"txt_in", "context_embedder"},
    Row{"time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"},
    Row{"time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"},
    Row{"guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"},
    Row{"guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"},
    Row{"vector_in.in_layer", "time_text_embed.text_embedder.linear_1"},
    Row{"vector_in.out_layer", "time_text_embed.text_embedder.linear_2"},
    Row{"final_layer.linear", "proj_out"},
    Row{"final_layer.adaLN_modulation.1", "norm_out.linear", Slice::swapped_halves},
    // Wan.
    Row{"blocks.#.self_attn.q", "blocks.#.attn1.to_q"},
    Row{"blocks.#.self_attn.k", "blocks.#.attn1.to_k"},
    Row{"blocks.#.self_attn.v", "blocks.#.attn1.to_v"},
    Row{"blocks.#.self_attn.o", "blocks.#.attn1.to_out.0"},
    Row{"blocks.#.cross_attn.q", "blocks.#.attn2.to_q"},
    Row{"blocks.#.cross_attn.k", "blocks.#.attn2.to_k"},
    Row{"blocks.#.cross_attn.v", "blocks.#.attn2.to_v"},
    Row{"blocks.#.cross_attn.o", "blocks.#.attn2.to_out.0"},
    Row{"blocks.#.cross_attn.k_img", "blocks.#.attn2.add_k_proj"},
    Row{"blocks.#.cross_attn.v_img", "blocks.#.attn2.add_v_proj"},
    Row{"blocks.#.ffn.0", "blocks.#.ffn.net.0.proj"},
    Row{"blocks.#.ffn.2", "blocks.#.ffn.net.2"},
    // The text encoder of OpenCLIP under the names of transformers.
    Row{"transformer.resblocks.#.attn.in_proj_weight", "text_model.encoder.layers.#.self_attn.q_proj",
        Slice::query},
    Row{"transformer.resblocks.#.attn.in_proj_weight", "text_model.encoder.layers.#.self_attn.k_proj",
        Slice::key},
    Row{"transformer.resblocks.#.attn.in_proj_weight", "text_model.encoder.layers.#.self_attn.v_proj",
        Slice::value},
    Row{"transformer.resblocks.#.attn.out_proj", "text_model.encoder.layers.#.self_attn.out_proj"},
    Row{"transformer.resblocks.#.mlp.c_fc", "text_model.encoder.layers.#.mlp.fc1"},
    Row{"transformer.resblocks.#.mlp.c_proj", "text_model.encoder.layers.#.mlp.fc2"},
    // The UNet of Stable Diffusion, outside of its numbered blocks.
    Row{"time_embed.0", "time_embedding.linear_1"},
    Row{"time_embed.2", "time_embedding.linear_2"},
    Row{"label_emb.0.0", "add_embedding.linear_1"},
    Row{"label_emb.0.2", "add_embedding.linear_2"},
    Row{"input_blocks.0.0", "conv_in"},
    Row{"out.0", "conv_norm_out"},
    Row{"out.2", "conv_out"},
};

// Names of the three parts of a fused weight, for any network.
constexpr std::array<std::array<std::string_view, 3>, 5> kThirds = {{{"to_q", "to_k", "to_v"},
                                                                     {"q", "k", "v"},
                                                                     {"q_proj", "k_proj", "v_proj"},
                                                                     {"wq", "wk", "wv"},
                                                                     {"query", "key", "value"}}};

// Parts of a residual block of the UNet.
constexpr std::array<std::array<std::string_view, 2>, 6> kResidual = {{{"in_layers.0", "norm1"},
                                                                       {"in_layers.2", "conv1"},
                                                                       {"emb_layers.1", "time_emb_proj"},
                                                                       {"out_layers.0", "norm2"},
                                                                       {"out_layers.3", "conv2"},
                                                                       {"skip_connection", "conv_shortcut"}}};

// Takes a decimal number and the dot behind it off the front of `text`.
bool take_number(std::string_view& text, int& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto digits = static_cast<size_t>(end - text.data());
  if (error != std::errc() || number < 0) return false;
  if (digits < text.size() && text[digits] != '.') return false;
  text.remove_prefix(std::min(digits + 1, text.size()));
  return true;
}

// The number where `pattern` has '#'; "" for a pattern without one; nothing if the name is another one.
std::optional<std::string> match(std::string_view pattern, std::string_view name) {
  const size_t hole = pattern.find('#');
  if (hole == std::string_view::npos) return pattern == name ? std::optional<std::string>("") : std::nullopt;
  const std::string_view after = pattern.substr(hole + 1);
  if (name.size() <= pattern.size() - 1 || !name.starts_with(pattern.substr(0, hole)) ||
      !name.ends_with(after))
    return std::nullopt;
  const std::string_view number = name.substr(hole, name.size() - hole - after.size());
  if (number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return std::string(number);
}

void add_table(std::string_view name, std::vector<Alias>& found) {
  for (const Row& row : kRows) {
    const std::optional<std::string> number = match(row.stored, name);
    if (!number) continue;
    std::string other(row.other);
    if (const size_t hole = other.find('#'); hole != std::string::npos) other.replace(hole, 1, *number);
    found.push_back({std::move(other), row.slice});
  }
}

void add_thirds(std::string_view name, std::vector<Alias>& found) {
  const size_t dot = name.rfind('.') + 1;  // 0 where there is none
  const std::string_view last = name.substr(dot);
  if (last != "qkv" && last != "to_qkv" && last != "qkv_proj" && last != "wqkv" && last != "in_proj_weight")
    return;
  constexpr std::array kSlices = {Slice::query, Slice::key, Slice::value};
  for (const auto& names : kThirds) {
    for (size_t i = 0; i < names.size(); ++i)
      found.push_back({std::string(name.substr(0, dot)) + std::string(names[i]), kSlices[i]});
  }
}

std::string residual_part(std::string_view rest) {
  for (const auto& [stored, other] : kResidual) {
    if (rest == stored) return std::string(other);
  }
  return {};
}

// A module of the UNet under its diffusers name. `kind` 0: residual block, 1: attention (or a sampler, where
// `rest` says so).
std::string unet_module(std::string_view block, int number, int kind, std::string_view rest) {
  if (kind == 1) return fmt::format("{}.attentions.{}.{}", block, number, rest);
  const std::string part = residual_part(rest);
  return part.empty() ? "" : fmt::format("{}.resnets.{}.{}", block, number, part);
}

// input_blocks and output_blocks count three to a resolution: two layers and a sampler, or three layers.
std::string unet_alias(std::string_view name) {
  const auto after = [&](std::string_view prefix) {
    if (!name.starts_with(prefix)) return false;
    name.remove_prefix(prefix.size());
    return true;
  };
  int index = 0, module = 0;
  if (after("input_blocks.")) {
    if (!take_number(name, index) || !take_number(name, module) || index == 0) return {};
    const int block = (index - 1) / 3, layer = (index - 1) % 3;
    if (name == "op") return fmt::format("down_blocks.{}.downsamplers.0.conv", block);
    return unet_module(fmt::format("down_blocks.{}", block), layer, module, name);
  }
  if (after("output_blocks.")) {
    if (!take_number(name, index) || !take_number(name, module)) return {};
    if (name == "conv") return fmt::format("up_blocks.{}.upsamplers.0.conv", index / 3);
    return unet_module(fmt::format("up_blocks.{}", index / 3), index % 3, module, name);
  }
  if (after("middle_block.")) {
    if (!take_number(name, module)) return {};
    return module == 1 ? unet_module("mid_block", 0, 1, name) : unet_module("mid_block", module / 2, 0, name);
  }
  return {};
}

}  // namespace

std::vector<Alias> aliases(std::string_view name) {
  std::vector<Alias> found;
  add_table(name, found);
  add_thirds(name, found);
  // Z-Image.
  if (name.ends_with(".attention.out"))
    found.push_back({std::string(name.substr(0, name.size() - 3)) + "to_out.0"});
  if (std::string unet = unet_alias(name); !unet.empty()) found.push_back({std::move(unet)});
  return found;
}

std::vector<RowRange> rows_of(Slice slice, int64_t rows, int64_t cols, int64_t height) {
  const bool fits_third = height > 0 && height < rows;
  const bool fits_square = height == cols && 3 * cols < rows;
  const int64_t both = rows - height;  // key and value, beside a query of this height
  switch (slice) {
    case Slice::whole:
      return height == rows ? std::vector<RowRange>{{0, rows}} : std::vector<RowRange>{};
    case Slice::query:
      return fits_third && both % 2 == 0 && both / 2 <= height ? std::vector<RowRange>{{0, height}}
                                                               : std::vector<RowRange>{};
    case Slice::key:
      return fits_third && 3 * height <= rows ? std::vector<RowRange>{{rows - 2 * height, height}}
                                              : std::vector<RowRange>{};
    case Slice::value:
      return fits_third && 3 * height <= rows ? std::vector<RowRange>{{rows - height, height}}
                                              : std::vector<RowRange>{};
    case Slice::square_query:
      return fits_square ? std::vector<RowRange>{{0, height}} : std::vector<RowRange>{};
    case Slice::square_key:
      return fits_square ? std::vector<RowRange>{{height, height}} : std::vector<RowRange>{};
    case Slice::square_value:
      return fits_square ? std::vector<RowRange>{{2 * height, height}} : std::vector<RowRange>{};
    case Slice::rest:
      return height > 0 && 3 * cols + height == rows ? std::vector<RowRange>{{3 * cols, height}}
                                                     : std::vector<RowRange>{};
    default:
      break;
  }
  if (height != rows || rows % 2 != 0) return {};
  return {{0, rows / 2, rows / 2}, {rows / 2, rows / 2, 0}};
}

}  // namespace octavo::lora
