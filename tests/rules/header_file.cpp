#include "header_file.hpp"

#include "../unit/temporary_folder.hpp"

namespace octavo::test {

checkpoint::Checkpoint checkpoint_with(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i == 0 ? "\"" : ",\"") + names[i] + R"(":{"dtype":"F16","shape":[1,1],"data_offsets":[)" +
              std::to_string(2 * i) + "," + std::to_string(2 * i + 2) + "]}";
  }
  const TemporaryFolder folder;
  write_file(folder / "model.safetensors", safetensors(header + "}", std::string(2 * names.size(), '\0')));
  return checkpoint::Checkpoint::open(folder / "model.safetensors");
}

}  // namespace octavo::test
