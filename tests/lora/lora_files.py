"""Models and LoRAs as files, and what a merge has to give, in float64."""

import dataclasses

import numpy as np

import checkpoint_file
from checkpoint_file import decode, encode

DIFFUSION = "model.diffusion_model."


def generator(seed):
    return np.random.default_rng(seed)


def values(random, *shape, scale=0.05):
    return (random.standard_normal(shape) * scale).astype(np.float32)


@dataclasses.dataclass
class Pair:
    """One layer's halves. down: [rank, ...]; up: [rows, rank, ...]."""

    down: np.ndarray
    up: np.ndarray
    alpha: float = None

    def delta(self):
        rank = self.down.shape[0]
        product = self.up.reshape(-1, rank).astype(np.float64) @ self.down.reshape(rank, -1).astype(np.float64)
        return product * ((rank if self.alpha is None else self.alpha) / rank)


def pair(random, rows, cols, rank, alpha=None):
    return Pair(values(random, rank, cols, scale=0.3), values(random, rows, rank, scale=0.3), alpha)


def model(folder, layers, dtype="F32", prefix=DIFFUSION, name="model.safetensors"):
    """layers: key -> array. The file, and its values as they are stored, in float64."""
    tensors = {prefix + key: encode(array, dtype) for key, array in layers.items()}
    checkpoint_file.write(folder / name, tensors)
    return folder / name, {key: decode(tensors[prefix + key]).astype(np.float64) for key in layers}


def lora(path, entries, dtype="F32", metadata=None):
    """entries: key -> array."""
    return checkpoint_file.write(
        path, {key: encode(np.asarray(array, np.float32), dtype) for key, array in entries.items()}, metadata)


def stored(path, prefix=DIFFUSION):
    """key -> float64 values of every float tensor of a file."""
    tensors = checkpoint_file.read(path).tensors
    return {
        key.removeprefix(prefix): decode(tensor).astype(np.float64)
        for key, tensor in tensors.items() if tensor.dtype in ("F32", "F16", "BF16", "F64")
    }


def dequantized(path, base, prefix=DIFFUSION):
    """Codes x scales of a layer that is stored in a plain INT8 format."""
    tensors = checkpoint_file.read(path).tensors
    codes = decode(tensors[prefix + base + ".weight"]).astype(np.float64)
    scale = decode(tensors[prefix + base + ".weight_scale"]).astype(np.float64)
    return codes * scale, scale
