// Rows that layers were given, read from a calibration file for judging their outputs.
#pragma once

#include "checkpoint/reader.hpp"
#include "report/output_error.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace octavo::cli {

// A safetensors file with `<layer>.inputs`, float [samples, cols]; `__metadata__["octavo.inputs"]` is a JSON
// object from a layer to the layer whose inputs it shares. Rows are read when they are asked for.
class LayerInputs {
 public:
  // At most `rows` of each layer's are used, evenly spaced. Throws Error io, or bad_input for metadata that
  // are no such object.
  LayerInputs(const std::filesystem::path& path, int64_t rows);

  bool empty() const;  // the file holds no rows

  // nullptr where the file says nothing about the layer. Thread safe. Throws Error bad_input for inputs of
  // another rank or dtype and for values that are not finite, naming the tensor; io.
  std::shared_ptr<const report::InputRows> find(const std::string& layer) const;

 private:
  checkpoint::Checkpoint file_;
  int64_t rows_;
  std::map<std::string, std::string, std::less<>> shared_;
};

}  // namespace octavo::cli
