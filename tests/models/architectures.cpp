#include "architectures.hpp"

#include <stdexcept>

namespace octavo::test {

std::vector<Architecture> all_architectures() {
  std::vector<Architecture> all;
  for (const auto& some : {image_networks(), video_networks(), text_encoders(), other_files()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

std::vector<Tensor> architecture(const std::string& name) {
  for (Architecture& candidate : all_architectures()) {
    if (candidate.name == name) return std::move(candidate.tensors);
  }
  throw std::runtime_error("no architecture " + name);
}

}  // namespace octavo::test
