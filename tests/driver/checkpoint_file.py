"""Safetensors files as bytes: writing them in the reference writer's order, reading them, and turning every float
dtype into NumPy values and back. It knows the format from its description alone and shares nothing with octavo."""

import dataclasses
import json
import struct

import numpy as np

# Ascending, as the reference writer ranks them; files hold the highest rank first.
DTYPE_ORDER = [
    "BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
    "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64",
]
PLAIN = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "I16": np.int16, "U16": np.uint16, "F16": np.float16,
    "I32": np.int32, "U32": np.uint32, "F32": np.float32, "C64": np.complex64, "F64": np.float64, "I64": np.int64,
    "U64": np.uint64,
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple
    data: bytes


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    header: str  # the JSON text with its padding
    metadata: dict  # None if the header has none
    tensors: dict  # name -> Tensor, in the header's order


def rank_in_file(name, dtype):
    return (-DTYPE_ORDER.index(dtype), name.encode())


def frame(header, data):
    """The bytes of a file with this header, a text or bytes taken as they are."""
    raw = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(raw)) + raw + data


def padded(header):
    raw = header.encode()
    return raw + b" " * (-len(raw) % 8)


def serialize(tensors, metadata=None):
    """tensors: name -> Tensor. The reference writer's order, padding and spacing."""
    names = sorted(tensors, key=lambda name: rank_in_file(name, tensors[name].dtype))
    entries, begin = {}, 0
    if metadata:
        entries["__metadata__"] = metadata
    for name in names:
        end = begin + len(tensors[name].data)
        entries[name] = {"dtype": tensors[name].dtype, "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
    return frame(padded(text), b"".join(tensors[name].data for name in names))


def write(path, tensors, metadata=None):
    path.write_bytes(serialize(tensors, metadata))
    return path


def read(path):
    raw = path.read_bytes()
    size = struct.unpack_from("<Q", raw)[0]
    text = raw[8 : 8 + size].decode()
    entries = json.loads(text)
    metadata = entries.pop("__metadata__", None)
    tensors = {}
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        tensors[name] = Tensor(entry["dtype"], tuple(entry["shape"]), raw[8 + size + begin : 8 + size + end])
    return Checkpoint(text, metadata, tensors)


# --- values ----------------------------------------------------------------------------------------------------------


def f8_values(dtype):
    """The 256 values of an 8-bit float dtype, from its definition."""
    exponent_bits = 4 if "E4M3" in dtype else 5
    mantissa_bits = 7 - exponent_bits
    fnuz = dtype.endswith("FNUZ")
    bias = (1 << (exponent_bits - 1)) - (0 if fnuz else 1)
    values = np.empty(256)
    for code in range(256):
        exponent = (code & 0x7F) >> mantissa_bits
        mantissa = code & ((1 << mantissa_bits) - 1)
        fraction = mantissa / (1 << mantissa_bits)
        magnitude = fraction * 2.0 ** (1 - bias) if exponent == 0 else (1 + fraction) * 2.0 ** (exponent - bias)
        if fnuz:
            magnitude = np.nan if code == 0x80 else magnitude
        elif dtype == "F8_E4M3":
            magnitude = np.nan if code & 0x7F == 0x7F else magnitude
        elif exponent == 31:
            magnitude = np.inf if mantissa == 0 else np.nan
        values[code] = -magnitude if code & 0x80 else magnitude
    return values


def to_f8(values, dtype):
    """Codes of the nearest values, for inputs within the finite range."""
    table = f8_values(dtype)
    finite = np.flatnonzero(np.isfinite(table) & ((np.arange(256) != 0x80) | (table != 0)))
    order = finite[np.argsort(table[finite], kind="stable")]
    steps = table[order]
    above = np.clip(np.searchsorted(steps, values), 1, len(steps) - 1)
    lower_is_nearer = values - steps[above - 1] <= steps[above] - values
    return order[np.where(lower_is_nearer, above - 1, above)].astype(np.uint8)


def to_bf16(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def encode(values, dtype):
    """A tensor of this dtype that holds the nearest values."""
    values = np.asarray(values)
    if dtype.startswith("F8"):
        raw = to_f8(values.astype(np.float64), dtype)
    elif dtype == "BF16":
        raw = to_bf16(values)
    else:
        raw = values.astype(PLAIN[dtype])
    return Tensor(dtype, tuple(values.shape), raw.tobytes())


def decode(tensor):
    """The values as an array: float32 for every float dtype but F64."""
    if tensor.dtype.startswith("F8"):
        flat = f8_values(tensor.dtype).astype(np.float32)[np.frombuffer(tensor.data, np.uint8)]
    elif tensor.dtype == "BF16":
        flat = (np.frombuffer(tensor.data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(tensor.data, PLAIN[tensor.dtype])
        if tensor.dtype == "F16":
            flat = flat.astype(np.float32)
    return flat.reshape(tensor.shape)
