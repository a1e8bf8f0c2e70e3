// Runs the operation matmul_int8 of a backend on operands from a file, so that a test in another language can
// compare the outputs with those of a consumer.
//
//   matmul_int8_dump BACKEND IN OUT
//
// IN holds for each case NAME: NAME.x [tokens, cols] in F32, BF16 or F16, NAME.codes I8 [rows, cols],
// NAME.scales F32 [rows, 1] or [1, 1], maybe NAME.bias [rows] in x's dtype, and in its metadata NAME: the
// columns of a ConvRot group, 0 for the plain basis. OUT gets NAME.y [tokens, rows] in x's dtype.
#include "base/error.hpp"
#include "checkpoint/reader.hpp"
#include "checkpoint/writer.hpp"
#include "plugin/backend.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host_services.hpp"
#include "reference/operations.hpp"

#include <octavo/grid.hpp>
#include <octavo/tensor.hpp>

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace octavo;

struct Operand {
  plugin::LaneMemory memory;
  octavo_tensor view{};
};

octavo_tensor view_of(void* data, uint32_t dtype, const std::vector<uint64_t>& shape) {
  if (shape.size() == 1) return tensor_view(data, dtype, {static_cast<int64_t>(shape[0])});
  return tensor_view(data, dtype, {static_cast<int64_t>(shape[0]), static_cast<int64_t>(shape[1])});
}

Operand load(const checkpoint::Checkpoint& file, const checkpoint::TensorRef& tensor, plugin::Lane& lane) {
  Operand operand{lane.allocate(OCTAVO_MEMORY_HOST, tensor.info.bytes()), {}};
  file.read(tensor, 0, {static_cast<std::byte*>(operand.memory.data()), tensor.info.bytes()});
  operand.view = view_of(operand.memory.data(), tensor.info.dtype, tensor.info.shape);
  return operand;
}

Operand load(const checkpoint::Checkpoint& file, const std::string& name, plugin::Lane& lane) {
  const checkpoint::TensorRef* tensor = file.find(name);
  if (tensor == nullptr)
    throw Error(ErrorCode::bad_input, fmt::format("[matmul] there is no tensor {}", name));
  return load(file, *tensor, lane);
}

octavo_grid grid_of(const octavo_tensor& codes, int64_t group) {
  octavo_layer layer{};
  layer.rows = codes.shape[0];
  layer.cols = codes.shape[1];
  octavo_grid grid = int8_grid(layer, scale_level(OCTAVO_PER_ROW));
  grid.basis = group == 0 ? OCTAVO_BASIS_PLAIN : OCTAVO_BASIS_CONVROT;
  grid.basis_group = group;
  return grid;
}

struct Result {
  checkpoint::OutputTensor tensor;
  std::vector<std::byte> bytes;
};

Result run_case(const checkpoint::Checkpoint& file, const std::string& name, const plugin::Backend& backend,
                plugin::Lane& lane) {
  const Operand x = load(file, name + ".x", lane);
  const Operand codes = load(file, name + ".codes", lane);
  const Operand scales = load(file, name + ".scales", lane);
  Operand bias;
  if (file.find(name + ".bias") != nullptr) bias = load(file, name + ".bias", lane);
  const octavo_grid grid = grid_of(codes.view, std::stoll(file.metadata().at(name)));

  const std::vector<uint64_t> shape = {static_cast<uint64_t>(x.view.shape[0]),
                                       static_cast<uint64_t>(codes.view.shape[0])};
  Result result{{name + ".y", static_cast<octavo_dtype>(x.view.dtype), shape}, {}};
  result.bytes.resize(shape[0] * shape[1] * bytes_of(x.view.dtype));
  const plugin::LaneMemory y = lane.allocate(OCTAVO_MEMORY_HOST, result.bytes.size());

  octavo_matmul_int8 matmul{};
  matmul.struct_size = sizeof matmul;
  matmul.compute_dtype = x.view.dtype;
  matmul.grid = &grid;
  matmul.x = x.view;
  matmul.codes = codes.view;
  matmul.scales = scales.view;
  matmul.bias = bias.view;
  matmul.y = view_of(y.data(), x.view.dtype, shape);
  const octavo_tensor operands[] = {matmul.x, matmul.codes, matmul.scales, matmul.bias, matmul.y};
  const std::string reason = backend.unsupported(OCTAVO_OP_MATMUL_INT8, &grid, operands);
  if (!reason.empty()) fmt::print(stderr, "{}: the reference works: {}\n", name, reason);
  lane.run("matmul_int8", [&](const octavo_operations& operations, octavo_lane* raw, octavo_error* error) {
    return operations.matmul_int8(raw, &matmul, error);
  });
  lane.record(0);
  lane.wait(0);
  std::memcpy(result.bytes.data(), y.data(), result.bytes.size());
  return result;
}

void write(const std::string& path, const std::vector<Result>& results) {
  std::vector<checkpoint::OutputTensor> tensors;
  tensors.reserve(results.size());
  for (const Result& result : results) tensors.push_back(result.tensor);
  const checkpoint::Layout layout = checkpoint::lay_out({}, std::move(tensors));
  checkpoint::OutputFile file(path, layout, {});
  for (const Result& result : results) file.write(layout.find(result.tensor.name)->offset, result.bytes);
  file.commit();
}

void run(const std::string& backend_id, const std::string& input, const std::string& output) {
  plugin::Catalog catalog(plugin::search_path({}, {}, plugin::program_path()));
  const plugin::HostServices services(reference::operations());
  const plugin::Backend backend(
      catalog.open(OCTAVO_KIND_BACKEND, backend_id), services.host(),
      plugin::resolve(catalog.find(OCTAVO_KIND_BACKEND, backend_id).descriptor, {}));
  octavo_lane_request request{};
  request.struct_size = sizeof request;
  request.count = 1;
  request.device = -1;
  request.slots = 1;
  plugin::Lane lane = backend.open_lane(request);

  const checkpoint::Checkpoint file = checkpoint::Checkpoint::open(input);
  std::vector<Result> results;
  constexpr std::string_view kOperand = ".x";
  for (const checkpoint::TensorRef& tensor : file.tensors()) {
    const std::string& name = tensor.info.name;
    if (name.ends_with(kOperand))
      results.push_back(run_case(file, name.substr(0, name.size() - kOperand.size()), backend, lane));
  }
  write(output, results);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    fmt::print(stderr, "usage: matmul_int8_dump BACKEND IN OUT\n");
    return 2;
  }
  try {
    run(arguments[1], arguments[2], arguments[3]);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "matmul_int8_dump: error: {}\n", error.what());
    return 1;
  }
}
