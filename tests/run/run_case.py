"""A model, the inputs of its layers, and what a conversion has to make of them, in float64."""

import json
import os
import re

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, decode, encode
from program import ConversionTest, octavo
from stored_layer import Grid, dequantized, grid_of, hadamard, in_basis, quantized, spread

PLUGINS = os.environ["OCTAVO_TEST_PLUGINS"]


def inputs(seed, rows, cols, mean=0.0):
    """Correlated rows: few directions carry most of the energy."""
    random = np.random.default_rng(seed)
    spectrum = np.arange(1, cols + 1) ** -0.8
    mixing = np.linalg.qr(random.standard_normal((cols, cols)))[0]
    values = (random.standard_normal((rows, cols)) * spectrum) @ mixing
    return (values * 3 + mean * random.standard_normal(cols)).astype(np.float32)


def weight(seed, rows, cols):
    return (np.random.default_rng(seed).standard_normal((rows, cols)) * 0.05).astype(np.float32)


class RunTest(ConversionTest):
    def model(self, layers, dtype="BF16", biases=None, name="model.safetensors"):
        """layers: name -> array; biases: name -> Tensor. Returns the path and the values as stored."""
        tensors = {f"{layer}.weight": encode(values, dtype) for layer, values in layers.items()}
        for layer, bias in (biases or {}).items():
            tensors[f"{layer}.bias"] = bias
        path = checkpoint_file.write(self.folder / name, tensors)
        return path, {layer: decode(tensors[f"{layer}.weight"]).astype(np.float64) for layer in layers}

    def calibration(self, entries, shared=None, dtype="F32", name="inputs.safetensors"):
        """entries: "layer.kind" -> array or Tensor. Returns the path and the values as stored."""
        tensors = {
            key: value if isinstance(value, Tensor) else encode(value, dtype if key.endswith(".inputs") else "F32")
            for key, value in entries.items()
        }
        metadata = {"octavo.inputs": json.dumps(shared)} if shared else None
        path = checkpoint_file.write(self.folder / name, tensors, metadata)
        return path, {key: decode(tensor).astype(np.float64) for key, tensor in tensors.items()}

    def run_greedy(self, source, target, *arguments, parameters="", env=None):
        """The document of --json and what the optimizer counted: name -> (made, most at a time, alive at the end)."""
        done = octavo(
            "convert", source, "-o", target, "--force", "--json", "--model", "none", "--plugin-path", PLUGINS,
            "--optimizer", "greedy" + (":" + parameters if parameters else ""), *arguments, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = {
            name: tuple(map(int, numbers))
            for name, *numbers in re.findall(r"(\w+)=(\d+)/(\d+)/(\d+)", done.stderr)
        }
        return json.loads(done.stdout), counts

    def layers(self, document):
        return {layer["name"]: layer for layer in document["layers"]}


def stored(path, layer, spec, shape):
    """codes int8, scales float32 and grid of a layer in a written file."""
    tensors = checkpoint_file.read(path).tensors
    grid = grid_of(spec, *shape)
    codes = np.frombuffer(tensors[f"{layer}.weight"].data, np.int8).reshape(shape)
    return codes, decode(tensors[f"{layer}.weight_scale"]), grid


def errors_in_basis(codes, scales, weights, grid):
    values = in_basis(weights.astype(np.float32), grid).astype(np.float64)
    return codes.astype(np.float64) * spread(scales, grid).astype(np.float64) - values


def metrics(errors, samples, grid):
    """e H e^T of each row, H = X^T X / n in the grid's basis."""
    x = samples
    if grid.group:
        x = (x.reshape(len(x), -1, grid.group) @ hadamard(grid.group)).reshape(x.shape)
    return ((errors @ x.T) ** 2).sum(axis=1) / len(x)
