"""Weights from fixed seeds: the sets on which quality is promised, and small layers of every awkward shape."""

import numpy as np

from checkpoint_file import Tensor, encode

SHAPE = (1024, 3072)


def gaussian(seed, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape, np.float32) * np.float32(0.02)


def laplace(seed, shape=SHAPE):
    return np.random.default_rng(seed).laplace(size=shape).astype(np.float32) * np.float32(0.02)


def student_t4(seed, shape=SHAPE):
    return np.random.default_rng(seed).standard_t(4, size=shape).astype(np.float32) * np.float32(0.02)


def dit_like(seed, shape=SHAPE):
    """Spectrum i^-1/2, lognormal scales of rows and columns, 4 outlier columns."""
    random = np.random.default_rng(seed)
    rank = min(shape)
    spectrum = np.arange(1, rank + 1) ** -0.5
    weight = (random.standard_normal((shape[0], rank)) * spectrum) @ random.standard_normal((rank, shape[1]))
    weight *= np.exp(0.4 * random.standard_normal((shape[0], 1)))
    weight *= np.exp(0.4 * random.standard_normal((1, shape[1])))
    weight[:, random.choice(shape[1], 4, replace=False)] *= 6
    return (weight * (0.02 / weight.std())).astype(np.float32)


QUALITY_SETS = {"gaussian": gaussian, "laplace": laplace, "student_t4": student_t4, "dit_like": dit_like}

# Rows and columns: every ConvRot group and none, one row, odd sizes, one block, several blocks.
SHAPES = [
    (64, 8), (64, 32), (72, 96), (33, 255), (48, 256), (40, 320), (24, 384), (1, 256), (1, 7), (7, 13), (5, 1),
    (127, 64), (128, 128), (130, 256), (256, 384), (384, 256),
]
SOURCE_DTYPES = ["F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"]


def odd_layers(seed):
    """base name -> weight Tensor: every shape in every source dtype, and rows that need care."""
    random = np.random.default_rng(seed)
    layers = {}
    for dtype in SOURCE_DTYPES:
        scale = 1.0 if dtype.startswith("F8") else 0.03
        for rows, cols in SHAPES:
            values = random.standard_t(5, size=(rows, cols)) * scale
            layers[f"{dtype.lower()}.layer_{rows}x{cols}"] = encode(np.clip(values, -200, 200), dtype)
    for dtype in ("F32", "BF16", "F16"):
        layers[f"{dtype.lower()}.zero_rows"] = encode(with_zero_rows(random), dtype)
        layers[f"{dtype.lower()}.all_zero"] = encode(np.zeros((64, 256)), dtype)
    layers["f32.subnormal"] = encode(subnormal_rows(random), "F32")
    layers["bf16.subnormal"] = encode(subnormal_rows(random), "BF16")
    layers["f16.subnormal"] = encode(random.standard_normal((32, 256)) * 2e-6, "F16")
    layers["f32.around_the_floor"] = encode(around_the_floor(random), "F32")
    layers["f32.ties"] = encode(ties(random), "F32")
    layers["f32.huge"] = encode(random.standard_normal((16, 512)) * 2.0**114, "F32")
    return layers


def with_zero_rows(random):
    values = random.standard_normal((96, 320)) * 0.02
    values[[0, 17, 95]] = 0
    values[3] = -0.0
    return values


def subnormal_rows(random):
    """Single precision ends at 1.2e-38; below are the subnormals."""
    return random.standard_normal((16, 256)) * 10.0 ** -np.linspace(30, 42, 16)[:, None]


def around_the_floor(random):
    """The smallest scale is 1e-30, so rows below 1.27e-28 lose resolution."""
    return random.uniform(-1, 1, (24, 64)) * 10.0 ** -np.linspace(26, 32, 24)[:, None]


def ties(random):
    """Half steps of the row's scale, which is a power of two: all codes are decided by half-to-even."""
    steps = random.integers(-253, 254, (32, 384)) / 2
    steps[:, 0] = 127
    return steps * 2.0**-9


def companions(seed):
    """Tensors that are no layers: they are copied byte by byte."""
    random = np.random.default_rng(seed)
    flags = b'{"backend": "sage"}'
    return {
        "f32.layer_48x256.bias": encode(random.standard_normal(48), "F32"),
        "bf16.layer_48x256.bias": encode(random.standard_normal(48), "BF16"),
        "norm.weight": encode(random.standard_normal(256), "F16"),
        "mask": encode(np.array([0.0, -np.inf, np.inf, np.nan]), "F32"),
        "conv.weight": encode(random.standard_normal((8, 4, 3, 3)), "BF16"),
        "bank.weight": encode(random.standard_normal((2, 64, 64)), "F16"),
        "step": Tensor("I64", (), (7).to_bytes(8, "little")),
        "zero_length": Tensor("F32", (0,), b""),
        "empty_rows.weight": Tensor("F32", (0, 5), b""),
        "tokenizer_json": Tensor("U8", (1001,), random.bytes(1001)),
        "attn.comfy_attention.config": Tensor("U8", (len(flags),), flags),
        "flags": encode(np.array([True, False, True]), "BOOL"),
        "counts": encode(np.arange(5), "I16"),
        "ids.weight": encode(np.arange(64 * 64).reshape(64, 64), "I32"),
        "näme \u65e5\u672c \"quoted\" \\ \t": encode(np.arange(3), "U16"),
        "phase": encode(np.array([1 + 2j]), "C64"),
        "": encode(np.arange(2), "F32"),
    }
