"""A converted file as ComfyUI takes it: read with safetensors, each layer made into comfy-kitchen's quantized tensor by
its marker, and checked with that package's own arithmetic."""

import json

import torch
import torch.nn.functional
from comfy_kitchen.tensor import QuantizedTensor, TensorWiseINT8Layout
from safetensors import safe_open

MARKER, SCALE, WEIGHT = ".comfy_quant", ".weight_scale", ".weight"


def relative(value, reference):
    return ((value.double() - reference.double()).norm() / reference.double().norm()).item()


class LoadedFile:
    def __init__(self, path):
        with safe_open(path, "pt") as file:
            self.metadata = file.metadata()
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}

    def layers(self):
        return [name[: -len(MARKER)] for name in self.tensors if name.endswith(MARKER)]

    def marker(self, layer):
        raw = self.tensors[layer + MARKER]
        if raw.dtype != torch.uint8 or raw.dim() != 1:
            raise ValueError(f"{layer}: the marker is {raw.dtype} {tuple(raw.shape)}")
        return json.loads(bytes(raw.tolist()))

    def quantized(self, layer):
        marker = self.marker(layer)
        if marker["format"] != "int8_tensorwise":
            raise KeyError(marker["format"])  # as the registry of ComfyUI answers
        weight, scale = self.tensors[layer + WEIGHT], self.tensors[layer + SCALE]
        parameters = TensorWiseINT8Layout.Params(
            scale=scale, orig_dtype=torch.float32, orig_shape=tuple(weight.shape),
            convrot=bool(marker.get("convrot")), convrot_groupsize=marker.get("convrot_groupsize", 256))
        return QuantizedTensor(weight, "TensorWiseINT8Layout", parameters)

    def bias(self, layer):
        rows = self.tensors[layer + WEIGHT].shape[0]
        return self.tensors.get(layer + ".bias", torch.zeros(rows))


def weight_error(file, layer):
    """The norm of the error that rounding to the stored scales makes on average."""
    weight, scale = file.tensors[layer + WEIGHT], file.tensors[layer + SCALE].double()
    rows, cols = weight.shape
    return ((scale.expand(rows, 1) ** 2).sum() * cols / 12).sqrt().item()


def check_layer(file, source, layer):
    """Sentences about what is wrong; a loader's own exception is one."""
    problems = []
    codes, scale = file.tensors[layer + WEIGHT], file.tensors[layer + SCALE]
    if codes.dtype != torch.int8 or int(codes.min()) < -127:
        problems.append(f"{layer}: codes are {codes.dtype} from {int(codes.min())}")
    if scale.dtype != torch.float32 or tuple(scale.shape) not in ((), (codes.shape[0], 1)):
        problems.append(f"{layer}: the scale is {scale.dtype} {tuple(scale.shape)}")
    quantized = file.quantized(layer)
    plain = quantized.dequantize()
    original = source.tensors[layer + WEIGHT].float()
    if original.any():
        error = relative(plain, original)
        expected = weight_error(file, layer) / original.double().norm().item()
        if not error < 1.1 * expected + 1e-7:
            problems.append(f"{layer}: the weight is off by {error:.5f}, its scales explain {expected:.5f}")
    elif plain.any():
        problems.append(f"{layer}: zeros became {plain.abs().max().item()}")
    return problems + check_linear(file, layer, quantized, plain)


def check_linear(file, layer, quantized, plain):
    problems = []
    bias = file.bias(layer)
    generator = torch.Generator().manual_seed(1)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for tokens in (1, 17, 64):
            x = torch.randn(tokens, plain.shape[1], generator=generator).to(dtype)
            got = torch.nn.functional.linear(x, quantized, bias.to(dtype))
            wanted = torch.nn.functional.linear(x.float(), plain, bias.float())
            if not plain.any():
                if not torch.equal(got, wanted.to(dtype)):
                    problems.append(f"{layer}, {dtype}: zeros give another output than the bias")
                continue
            # Relative to what the output is on average: one value alone may lie near zero. The activations' error is
            # 0.8 %, of a single value up to several times that.
            usual = (tokens * (plain.double().norm() ** 2 + bias.double().norm() ** 2)).sqrt()
            off = ((got.double() - wanted.double()).norm() / usual).item()
            if not off < (0.02 if got.numel() > 16 else 0.04):
                problems.append(f"{layer}, {dtype}, {tokens} tokens: the output is off by {off:.5f}")
    return problems


def problems_of(path, source_path):
    """Everything that a loader would trip over in the file made from source."""
    file, source = LoadedFile(path), LoadedFile(source_path)
    problems = []
    marked = set(file.layers())
    for layer in sorted(marked):
        try:
            problems += check_layer(file, source, layer)
        except Exception as error:  # whatever the loader raises is what its user would see
            problems.append(f"{layer}: {type(error).__name__}: {error}")
    for name, tensor in file.tensors.items():
        if name.endswith(SCALE) and name[: -len(SCALE)] not in marked:
            problems.append(f"{name}: a scale without marker")
        if name.endswith(WEIGHT) and tensor.dtype == torch.int8 and name[: -len(WEIGHT)] not in marked:
            problems.append(f"{name}: codes without marker")
    return problems
