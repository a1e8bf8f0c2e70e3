"""A real model, all-MiniLM-L6-v2, as comfy-kitchen reads it: every layer is stored as well as rounding to the nearest
code of its grid can, which NumPy computes from the source in double precision. And `compare` says the same."""

import json
import os
import pathlib
import unittest

import numpy as np
import torch

from loaded_file import LoadedFile
from program import ConversionTest, octavo
from stored_layer import grid_of, rotated_in_double

MODEL = pathlib.Path(os.environ["OCTAVO_MINILM"])
LAYERS = 36  # six in each of six blocks
SLACK = 1e-3  # dB; single precision moves a few codes at ties


def decibel(signal, error):
    return 10 * np.log10(np.square(signal).sum() / np.square(error).sum())


def nearest_decibel(weight, spec):
    """SQNR of the nearest codes; the rotation is orthogonal, so errors may be summed in its basis."""
    grid = grid_of(spec, *weight.shape)
    values = rotated_in_double(weight, grid.group) if grid.group else weight
    scales = np.abs(values).max(axis=None if grid.granularity == "tensor" else 1, keepdims=True) / 127
    return decibel(values, np.rint(values / scales) * scales - values)


class MiniLmTest(ConversionTest):
    def test_stored_quality(self):
        source, target = LoadedFile(MODEL), self.folder / "out.safetensors"
        for spec in ("int8_convrot", "int8_tensorwise"):
            document = self.convert(MODEL, target, "--format", spec, "--force", "--no-fsync")
            reported = {layer["name"]: layer["sqnr_db"] for layer in document["layers"]}
            compared = json.loads(octavo("compare", MODEL, target, "--json").stdout)
            found = {layer["name"]: layer["sqnr_db"] for layer in compared["layers"]}
            file = LoadedFile(target)
            self.assertGreaterEqual(len(file.layers()), LAYERS)
            self.assertEqual(set(reported), set(file.layers()))
            for layer in file.layers():
                with self.subTest(format=spec, layer=layer):
                    weight = source.tensors[layer + ".weight"].to(torch.float64).numpy()
                    loaded = file.quantized(layer).dequantize().to(torch.float64).numpy()
                    stored, nearest = decibel(weight, loaded - weight), nearest_decibel(weight, spec)
                    self.assertGreaterEqual(stored, nearest - SLACK)
                    self.assertAlmostEqual(stored, nearest, delta=SLACK)  # nor can it be better
                    self.assertAlmostEqual(reported[layer], nearest, delta=SLACK)
                    self.assertAlmostEqual(found[layer], nearest, delta=SLACK)


if __name__ == "__main__":
    unittest.main()
