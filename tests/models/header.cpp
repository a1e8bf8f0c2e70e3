#include "header.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace octavo::test {
namespace {

std::vector<std::int64_t> shape_of(const std::string& text) {
  std::vector<std::int64_t> shape;
  if (text == "-") return shape;
  std::istringstream sizes(text);
  for (std::string size; std::getline(sizes, size, 'x');) shape.push_back(std::stoll(size));
  return shape;
}

std::uint32_t dtype_of(const std::string& text) {
  static const std::map<std::string, std::uint32_t> dtypes = {
      {"", OCTAVO_BF16}, {"F32", OCTAVO_F32}, {"U8", OCTAVO_U8}, {"I64", OCTAVO_I64}};
  return dtypes.at(text);
}

// Replaces the `{n}` of a key by 0 .. n - 1; two of them make every combination.
void expand(const std::string& key, const Tensor& tensor, std::vector<Tensor>& tensors) {
  const std::size_t open = key.find('{');
  if (open == std::string::npos) {
    tensors.push_back({key, tensor.shape, tensor.dtype});
    return;
  }
  const std::size_t close = key.find('}', open);
  const int count = std::stoi(key.substr(open + 1, close - open - 1));
  for (int i = 0; i < count; ++i) {
    std::string numbered = key.substr(0, open);
    numbered.append(std::to_string(i)).append(key.substr(close + 1));
    expand(numbered, tensor, tensors);
  }
}

const std::vector<Tensor>& tensors_in(void* context) {
  return *static_cast<const std::vector<Tensor>*>(context);
}

octavo_status tensor_at(void* context, std::uint64_t index, octavo_header_tensor* out) {
  const Tensor& tensor = tensors_in(context).at(index);
  *out = {
      sizeof *out, tensor.dtype,       tensor.name.c_str(), static_cast<std::uint32_t>(tensor.shape.size()),
      0,           tensor.shape.data()};
  return OCTAVO_OK;
}

std::int64_t find(void* context, const char* name) {
  const std::vector<Tensor>& tensors = tensors_in(context);
  const auto place = std::lower_bound(tensors.begin(), tensors.end(), std::string_view(name),
                                      [](const Tensor& t, std::string_view n) { return t.name < n; });
  return place != tensors.end() && place->name == name ? place - tensors.begin() : -1;
}

}  // namespace

std::vector<Tensor> tensors_of(std::string_view text) {
  std::vector<Tensor> tensors;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    std::string shape;
    std::string dtype;
    if (!(words >> key)) continue;
    if (!(words >> shape)) throw std::runtime_error("no shape in '" + line + "'");
    words >> dtype;
    expand(key, {key, shape_of(shape), dtype_of(dtype)}, tensors);
  }
  return tensors;
}

std::vector<Tensor> with_prefix(std::string_view prefix, std::vector<Tensor> tensors) {
  for (Tensor& tensor : tensors) tensor.name.insert(0, prefix);
  return tensors;
}

std::vector<Tensor> without(std::string_view name, std::vector<Tensor> tensors) {
  const auto gone = std::remove_if(tensors.begin(), tensors.end(),
                                   [&](const Tensor& tensor) { return tensor.name == name; });
  if (gone == tensors.end()) throw std::runtime_error("no tensor " + std::string(name));
  tensors.erase(gone, tensors.end());
  return tensors;
}

std::vector<Tensor> together(std::vector<Tensor> first, const std::vector<Tensor>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Header::Header(const std::vector<Tensor>& tensors) : tensors_(tensors) {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Tensor& a, const Tensor& b) { return a.name < b.name; });
  raw_.struct_size = sizeof raw_;
  raw_.context = &tensors_;
  raw_.count = tensors_.size();
  raw_.tensor = tensor_at;
  raw_.find = find;
  raw_.metadata = [](void*, const char*) -> const char* { return nullptr; };
  raw_.marker = [](void*, std::uint64_t, std::uint64_t*) -> const std::uint8_t* { return nullptr; };
}

octavo_header_tensor Header::tensor(std::uint64_t index) const {
  octavo_header_tensor tensor{};
  tensor_at(raw_.context, index, &tensor);
  return tensor;
}

}  // namespace octavo::test
