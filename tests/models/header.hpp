// Headers written down as text, as the models see them through the boundary.
#pragma once

#include <octavo/abi/model.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::test {

struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::uint32_t dtype = OCTAVO_BF16;
};

// One tensor a line, "blocks.{28}.attn.wq.weight 6144x6144": `{28}` stands for 0 .. 27, "-" is a scalar, and
// a dtype other than BF16 follows the shape ("U8", "F32", "I64").
std::vector<Tensor> tensors_of(std::string_view text);

std::vector<Tensor> with_prefix(std::string_view prefix, std::vector<Tensor> tensors);
std::vector<Tensor> without(std::string_view name, std::vector<Tensor> tensors);
std::vector<Tensor> together(std::vector<Tensor> first, const std::vector<Tensor>& second);

// The C view of tensors, sorted by name; lives as long as this.
class Header {
 public:
  explicit Header(const std::vector<Tensor>& tensors);
  Header(const Header&) = delete;
  Header& operator=(const Header&) = delete;

  const octavo_header* raw() const { return &raw_; }
  octavo_header_tensor tensor(std::uint64_t index) const;

 private:
  std::vector<Tensor> tensors_;
  octavo_header raw_{};
};

}  // namespace octavo::test
