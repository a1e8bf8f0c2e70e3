#include "checkpoint/header.hpp"

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "checkpoint/dtypes.hpp"
#include "checkpoint/header_json.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace octavo::checkpoint {
namespace {

// Elements as the reference reader counts them: from the left, so that a leading 0 hides what follows.
std::optional<uint64_t> elements_from_left(const std::vector<uint64_t>& shape) {
  uint64_t product = 1;
  for (const uint64_t dim : shape) {
    const std::optional<uint64_t> next = checked_mul(product, dim);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

void check_size(const TensorInfo& tensor, const std::string& file, Strictness strictness) {
  const auto refuse = [&](const std::string& what) {
    refuse_header(file, fmt::format("tensor \"{}\", {} {}: {}", printable(tensor.name), name(tensor.dtype),
                                    shape_text(tensor.shape), what));
  };
  const std::optional<uint64_t> elements =
      strictness == Strictness::strict ? element_count(tensor.shape) : elements_from_left(tensor.shape);
  const auto width = static_cast<uint64_t>(bits(tensor.dtype));
  const std::optional<uint64_t> total = elements ? checked_mul(*elements, width) : std::nullopt;
  if (!total) refuse("its size does not fit 64 bits");
  if (*total % 8 != 0) refuse(fmt::format("its {} bits do not fill whole bytes", *total));
  if (tensor.end < tensor.begin)
    refuse(fmt::format("data_offsets end at {}, before their begin {}", tensor.end, tensor.begin));
  if (tensor.bytes() != *total / 8)
    refuse(fmt::format("data_offsets hold {} bytes, dtype and shape need {}", tensor.bytes(), *total / 8));
}

void sort_by_name(HeaderEntries& entries, const std::string& file, Strictness strictness) {
  std::vector<TensorInfo>& tensors = entries.tensors;
  const auto by_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; };
  if (!std::is_sorted(tensors.begin(), tensors.end(), by_name))
    std::stable_sort(tensors.begin(), tensors.end(), by_name);
  const auto same = [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; };
  const auto twice = std::adjacent_find(tensors.begin(), tensors.end(), same);
  if (twice == tensors.end()) return;
  if (strictness == Strictness::strict)
    refuse_header(file, fmt::format("tensor \"{}\" is there twice", printable(twice->name)));
  // The last of equals counts: keep the first of each run seen from the end.
  const auto kept = std::unique(tensors.rbegin(), tensors.rend(), same);
  entries.notes.push_back(tolerated(
      fmt::format("{} duplicate tensor names; the last of each counts", kept.base() - tensors.begin())));
  tensors.erase(tensors.begin(), kept.base());
}

// In the order of the data every tensor begins where the one before it ends, and the last one ends the file.
void check_places(const std::vector<TensorInfo>& tensors, uint64_t data_bytes, const std::string& file) {
  std::vector<uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const TensorInfo& left = tensors[a];
    const TensorInfo& right = tensors[b];
    return std::tie(left.begin, left.end, a) < std::tie(right.begin, right.end, b);
  });
  uint64_t end = 0;
  const TensorInfo* previous = nullptr;
  for (const uint32_t index : order) {
    const TensorInfo& tensor = tensors[index];
    if (tensor.begin != end) {
      const std::string before =
          previous == nullptr ? "the data begins at 0"
                              : fmt::format("\"{}\" before it ends at {}", printable(previous->name), end);
      refuse_header(
          file, fmt::format("tensor \"{}\" begins at byte {} of the data, {}: {}", printable(tensor.name),
                            tensor.begin, before,
                            tensor.begin > end ? fmt::format("a hole of {} bytes", tensor.begin - end)
                                               : fmt::format("an overlap of {} bytes", end - tensor.begin)));
    }
    end = tensor.end;
    previous = &tensor;
  }
  if (end > data_bytes)
    refuse_header(file,
                  fmt::format("truncated by {} bytes: the header describes {} bytes of data, {} are there",
                              end - data_bytes, end, data_bytes),
                  "the download or copy is not complete");
  if (end < data_bytes)
    refuse_header(file, fmt::format("{} extra bytes: the header describes {} bytes of data, {} are there",
                                    data_bytes - end, end, data_bytes));
}

}  // namespace

uint64_t TensorInfo::elements() const { return element_count(shape).value_or(0); }

const TensorInfo* Header::find(std::string_view wanted) const {
  const auto found =
      std::lower_bound(tensors.begin(), tensors.end(), wanted,
                       [](const TensorInfo& tensor, std::string_view key) { return tensor.name < key; });
  return found != tensors.end() && found->name == wanted ? &*found : nullptr;
}

Header parse_header(const std::string& json, uint64_t data_bytes, const std::string& file,
                    Strictness strictness) {
  HeaderEntries entries = read_entries(json, file, strictness);
  sort_by_name(entries, file, strictness);
  for (const TensorInfo& tensor : entries.tensors) check_size(tensor, file, strictness);
  check_places(entries.tensors, data_bytes, file);
  return {std::move(entries.metadata), std::move(entries.tensors), 8 + json.size(), std::move(entries.notes)};
}

}  // namespace octavo::checkpoint
