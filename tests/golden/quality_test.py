"""How good the stored file is: codes and scales are read back from it and compared with the source in double
precision. The bounds are promises for named weight sets with fixed seeds."""

import json
import unittest

import numpy as np

import checkpoint_file
from program import ConversionTest, octavo
from stored_layer import dequantized, grid_of, quantized, single_precision
from weight_sets import QUALITY_SETS

# format, weight set -> dB that the stored layer must reach ("" stands for every set). A closed form puts Gaussian rows
# of 3,072 columns at 41.4 dB, blocks of 128 x 128 at 40.5.
BOUNDS = {
    ("int8_tensorwise", "gaussian"): 41.3,
    ("int8_blockwise", "gaussian"): 40.4,
    ("int8_convrot", ""): 41.2,
}
FORMATS = ["int8_tensorwise:scale=tensor", "int8_tensorwise", "int8_axiswise", "int8_blockwise", "int8_convrot"]
SEED = 1


def decibel(signal, error):
    return 10 * np.log10(np.square(signal, dtype=np.float64).sum() / np.square(error, dtype=np.float64).sum())


def stored_values(stored, base, spec, shape):
    """The layer as a loader sees it."""
    grid = grid_of(spec, *shape)
    codes = checkpoint_file.decode(stored.tensors[base + ".weight"])
    scales = checkpoint_file.decode(stored.tensors[base + ".weight_scale"])
    if grid.axis_vector:
        scales = scales.reshape(-1, 1)
    return dequantized(codes, scales, grid)


class QualityTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.weights = {}
        tensors = {}
        for name, draw in QUALITY_SETS.items():
            tensor = checkpoint_file.encode(draw(SEED), "BF16")
            tensors[name + ".weight"] = tensor
            self.weights[name] = single_precision(tensor).astype(np.float64)
        self.source = checkpoint_file.write(self.folder / "sets.safetensors", tensors)

    def test_stored_quality(self):
        for spec in FORMATS:
            target = self.folder / "out.safetensors"
            document = self.convert(self.source, target, "--format", spec, "--model", "none", "--force")
            reported = {layer["name"]: layer for layer in document["layers"]}
            stored = checkpoint_file.read(target)
            compared = json.loads(octavo("compare", self.source, target, "--json").stdout)
            found = {layer["name"]: layer for layer in compared["layers"]}
            for name, weight in self.weights.items():
                with self.subTest(format=spec, set=name):
                    error = stored_values(stored, name, spec, weight.shape) - weight
                    reached = decibel(weight, error)
                    for bound in (BOUNDS.get((spec, name)), BOUNDS.get((spec, ""))):
                        if bound is not None:
                            self.assertGreaterEqual(reached, bound)
                    grid = grid_of(spec, *weight.shape)
                    nearest = dequantized(*quantized(weight.astype(np.float32), grid), grid) - weight
                    self.assertGreaterEqual(reached, decibel(weight, nearest) - 1e-9)
                    # What the run and `compare` report is what is stored.
                    self.assertAlmostEqual(reported[name]["sqnr_db"], reached, places=3)
                    self.assertAlmostEqual(found[name]["sqnr_db"], reached, places=3)
                    largest = np.abs(error).max()
                    self.assertAlmostEqual(found[name]["max_abs_error"] / largest, 1, places=3)

    def test_no_weight_is_further_than_half_a_step(self):
        # Nearest: |stored - source| <= scale / 2 for every weight of a plain grid.
        for spec in ("int8_tensorwise", "int8_tensorwise:scale=tensor"):
            target = self.folder / "out.safetensors"
            self.convert(self.source, target, "--format", spec, "--model", "none", "--force")
            stored = checkpoint_file.read(target)
            for name, weight in self.weights.items():
                scales = checkpoint_file.decode(stored.tensors[name + ".weight_scale"]).astype(np.float64)
                error = np.abs(stored_values(stored, name, spec, weight.shape) - weight)
                self.assertLessEqual((error / scales).max(), 0.5 * (1 + 2.0**-15), f"{spec} {name}")

    def test_rotation_beats_plain_rows_where_there_are_outliers(self):
        reached = {}
        for spec in ("int8_tensorwise", "int8_convrot"):
            document = self.convert(
                self.source, self.folder / "out.safetensors", "--format", spec, "--model", "none", "--force")
            reached[spec] = {layer["name"]: layer["sqnr_db"] for layer in document["layers"]}
        for name, gain in (("laplace", 4), ("student_t4", 8), ("dit_like", 4)):
            self.assertGreater(reached["int8_convrot"][name] - reached["int8_tensorwise"][name], gain, name)


if __name__ == "__main__":
    unittest.main()
