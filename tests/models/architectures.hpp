// Headers of published checkpoints: the real key names and shapes of each architecture, one block written for
// all (tensors_of expands it). Key names: modules of ComfyUI and of the networks' own repositories.
#pragma once

#include "header.hpp"

#include <string>
#include <vector>

namespace octavo::test {

struct Architecture {
  std::string name;
  std::string filter;  // id that `auto` has to find; "" none
  std::vector<Tensor> tensors;
};

// Diffusion networks, text encoders, and files that no filter knows.
std::vector<Architecture> image_networks();
std::vector<Architecture> video_networks();
std::vector<Architecture> text_encoders();
std::vector<Architecture> other_files();

std::vector<Architecture> all_architectures();
// Of all_architectures(), by name; throws where there is none.
std::vector<Tensor> architecture(const std::string& name);

}  // namespace octavo::test
