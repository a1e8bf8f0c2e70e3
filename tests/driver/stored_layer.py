"""What a file has to hold for a layer, computed with NumPy from the description of the formats.

Class A is defined by its result: single precision, round half to even, true division, the ConvRot transform in radix-4
stages with strides 1, 4, 16, 64. `rotated` follows that to the bit; `rotated_in_double` multiplies with the explicit
Hadamard matrix in double precision instead and shows that the stages compute what they should."""

import dataclasses

import numpy as np

from checkpoint_file import Tensor, decode, encode

QMAX = np.float32(127)
E4M3_MAX = np.float32(448)
FLOOR = np.float32(1e-30)
BLOCK = 128
ROTATED_LIMIT = np.float32(2.0**118)


@dataclasses.dataclass(frozen=True)
class Grid:
    granularity: str  # row, tensor, block; "cast" for FP16
    group: int = 0  # columns that are rotated together
    axis_vector: bool = False  # scales stored as [rows]
    e4m3: bool = False  # codes are 8-bit floats


def grid_of(spec, rows, cols):
    """The grid of a layer under a format as written on the command line ("int8_convrot:group=64")."""
    name, _, parameter = spec.partition(":")
    value = parameter.partition("=")[2]
    if name == "fp16":
        return Grid("cast")
    if name == "float8_e4m3fn":
        return Grid("tensor", e4m3=True)
    if name == "int8_axiswise":
        return Grid("row", axis_vector=True)
    if name == "int8_tensorwise":
        return Grid("tensor" if value == "tensor" else "row")
    if name == "int8_blockwise":
        return Grid("block" if rows % BLOCK == 0 and cols % BLOCK == 0 else "row")
    assert name == "int8_convrot", spec
    groups = [256, 64, 16] if value in ("", "auto") else [int(value)]
    return Grid("row", next((group for group in groups if cols % group == 0), 0))


def hadamard(group):
    """The regular Hadamard matrix kron(H4, ..., H4) / sqrt(group), in double precision."""
    h4 = np.array([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]], np.float64)
    matrix = np.ones((1, 1))
    while matrix.shape[0] < group:
        matrix = np.kron(matrix, h4)
    assert matrix.shape[0] == group
    return matrix / np.sqrt(group)


def rotated_in_double(weight, group):
    rows, cols = weight.shape
    return (weight.astype(np.float64).reshape(rows, cols // group, group) @ hadamard(group)).reshape(rows, cols)


def rotated(weight, group):
    """float32 in, float32 out: every sum rounded once, in the stages' order."""
    values = np.array(weight, np.float32)
    stride = 1
    while stride < group:
        quadruples = values.reshape(values.shape[0], -1, 4, stride)
        a, b, c, d = (quadruples[:, :, i, :] for i in range(4))
        total = (a + b) + (c + d)
        values = np.stack([total - 2 * d, total - 2 * c, total - 2 * b, total - 2 * a], axis=2).reshape(weight.shape)
        stride *= 4
    return values * np.float32(1 / np.sqrt(group))


def in_basis(weight, grid):
    return rotated(weight, grid.group) if grid.group else weight


def scales_of(values, grid):
    """float32 scales that broadcast against `blocks(values, grid)`."""
    magnitude = np.abs(values)
    if grid.granularity == "tensor":
        absmax = magnitude.max(keepdims=True)
    elif grid.granularity == "row":
        absmax = magnitude.max(axis=1, keepdims=True)
    else:
        rows, cols = values.shape
        absmax = magnitude.reshape(rows // BLOCK, BLOCK, cols // BLOCK, BLOCK).max(axis=(1, 3))
    largest = E4M3_MAX if grid.e4m3 else QMAX
    return np.maximum((absmax / largest).astype(np.float32), FLOOR)


def spread(scales, grid):
    """Scales broadcast to the weight's elements."""
    if grid.granularity == "block":
        return scales.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return scales


def e4m3_codes(values):
    """The nearest E4M3 of finite values, half to even, as bytes; what is beyond 448 becomes 448. Eight codes a power of
    two, in whose steps the values are rounded; below 2^-6 the steps stay those of 2^-6."""
    magnitude = np.minimum(np.abs(values), E4M3_MAX).astype(np.float64)
    exponent = np.frexp(np.maximum(magnitude, 2.0**-6))[1] - 1
    codes = (exponent + 6) * 8 + np.rint(np.ldexp(magnitude, 3 - exponent))
    return codes.astype(np.uint8) | (np.signbit(values).astype(np.uint8) << 7)


def quantized(weight, grid):
    """codes int8 [rows, cols], or uint8 for E4M3; scales float32."""
    values = in_basis(np.asarray(weight, np.float32), grid)
    scales = scales_of(values, grid)
    with np.errstate(under="ignore"):
        if grid.e4m3:
            return e4m3_codes(values / spread(scales, grid)), scales
        codes = np.clip(np.rint(values / spread(scales, grid)), -127, 127)
    return codes.astype(np.int8), scales


def dequantized(codes, scales, grid):
    """float64, in the plain basis."""
    values = codes.astype(np.float64) * spread(scales, grid).astype(np.float64)
    return rotated_in_double(values, grid.group) if grid.group else values


def scale_tensor(scales, grid):
    if grid.granularity == "tensor":
        return Tensor("F32", (), scales.tobytes())
    if grid.axis_vector:
        return Tensor("F32", (scales.size,), scales.tobytes())
    return Tensor("F32", scales.shape, scales.tobytes())


def marker(grid, full_precision=False):
    """Spelled out, because the exact bytes are the contract."""
    name = {"block": "int8_blockwise"}.get(grid.granularity, "int8_axiswise" if grid.axis_vector else "int8_tensorwise")
    name = "float8_e4m3fn" if grid.e4m3 else name
    text = '{"format": "' + name + '"'
    if grid.granularity == "block":
        text += ', "group_size": 128'
    if full_precision:
        text += ', "full_precision_matrix_mult": true'
    if grid.group:
        text += ', "convrot": true, "convrot_groupsize": %d' % grid.group
    return (text + "}").encode()


def single_precision(tensor):
    """The weight as class A sees it: every dtype is read as float32."""
    return decode(tensor).astype(np.float32)


def overflows_f16(values):
    """Finite values that F16 rounds to infinity: at and above 65520, half a step beyond the largest one."""
    return bool((np.abs(values[np.isfinite(values)]) >= 65520).any())


def stored_layer(base, weight, spec, full_precision=False, legacy=False):
    """name -> Tensor of everything that the layer `base` becomes."""
    grid = grid_of(spec, *weight.shape)
    values = single_precision(weight)
    if grid.granularity == "cast":
        return {base + ".weight": weight if overflows_f16(values) else encode(values, "F16")}
    codes, scales = quantized(values, grid)
    stored = {
        base + ".weight": Tensor("F8_E4M3" if grid.e4m3 else "I8", weight.shape, codes.tobytes()),
        base + (".scale_weight" if legacy else ".weight_scale"): scale_tensor(scales, grid),
    }
    if not legacy:
        text = marker(grid, full_precision)
        stored[base + ".comfy_quant"] = Tensor("U8", (len(text),), text)
    return stored
