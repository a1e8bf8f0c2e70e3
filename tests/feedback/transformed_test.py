"""quip_transformed: written by octavo, undone here with explicit Hadamard matrices, and read back by octavo."""

import json
import unittest

import numpy as np

from checkpoint_file import Tensor, decode, encode, read, write
from program import ConversionTest, octavo
from weight_sets import gaussian


def sylvester(size):
    matrix = np.ones((1, 1))
    while matrix.shape[0] < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.sqrt(size)


def undone(tensors, base, rows, cols):
    """The weight that a loader computes with, from the description of the format."""
    value = lambda ending: decode(tensors[base + ending]).astype(np.float64)
    stored = value(".weight") * value(".weight_scale")
    plain = sylvester(stored.shape[0]) @ stored @ sylvester(stored.shape[1])
    return (value(".sign_row")[:, None] * plain * value(".sign_col")[None, :])[:rows, :cols]


class TransformedTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.layers = {"a": (96, 200), "b": (128, 256), "c": (1, 3), "d": (600, 64)}
        self.weights = {name: gaussian(i, shape) for i, (name, shape) in enumerate(self.layers.items())}
        self.weights["b"][:, 5] *= 50  # an outlier that rows alone do not get over
        self.source = write(self.folder / "in.safetensors",
                            {f"{name}.weight": encode(values, "F32") for name, values in self.weights.items()})
        self.target = self.folder / "out.safetensors"

    def run_conversion(self, *arguments):
        return self.convert(self.source, self.target, "--model", "none", "-f", *arguments)

    def test_companions_and_values(self):
        document = self.run_conversion("--quip-store-transformed")
        tensors = read(self.target).tensors
        for name, (rows, cols) in self.layers.items():
            padded = tuple(1 << (size - 1).bit_length() for size in (rows, cols))
            self.assertEqual(tensors[name + ".weight"].shape, padded)
            self.assertEqual(tensors[name + ".weight"].dtype, "I8")
            self.assertEqual(tensors[name + ".weight_scale"].shape, (padded[0], 1))
            self.assertEqual(tensors[name + ".comfy_quant"].data, b'{"format": "quip_transformed"}')
            self.assertEqual(tensors[name + ".hadamard_quip"], Tensor("I8", (), b"\x01"))
            self.assertEqual(tensors[name + ".hadamard_size_out"], Tensor("I32", (), np.int32(padded[0]).tobytes()))
            self.assertEqual(tensors[name + ".hadamard_size_in"], Tensor("I32", (), np.int32(padded[1]).tobytes()))
            for ending, size in ((".sign_row", padded[0]), (".sign_col", padded[1])):
                self.assertEqual(tensors[name + ending].shape, (size,))
                self.assertTrue(set(decode(tensors[name + ending])) <= {-1.0, 1.0})
            error = undone(tensors, name, rows, cols) - self.weights[name]
            self.assertGreater(10 * np.log10(np.square(self.weights[name]).sum() / np.square(error).sum()), 38, name)
        by_name = {layer["name"]: layer for layer in document["layers"]}
        self.assertEqual(by_name["b"]["format"], "quip_transformed")
        signs = decode(tensors["d.sign_row"])
        self.assertLess(abs(signs.mean()), 0.2)
        self.assertFalse(np.array_equal(signs[:128], decode(tensors["a.sign_row"])))  # a layer has its own

    def test_it_reads_back_what_a_loader_computes(self):
        self.run_conversion("--format", "quip_transformed")
        tensors = read(self.target).tensors
        done = octavo("verify", self.target, "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = octavo("compare", self.source, self.target, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        for layer in json.loads(done.stdout)["layers"]:
            name = layer["name"]
            error = undone(tensors, name, *self.layers[name]) - self.weights[name]
            expected = 10 * np.log10(np.square(self.weights[name].astype(np.float64)).sum() / np.square(error).sum())
            self.assertAlmostEqual(layer["sqnr_db"], expected, 3, name)
        # Dequantized first, then stored as F16: every value to within a rounding of F16.
        again = self.folder / "again.safetensors"
        self.convert(self.target, again, "--model", "none", "--format", "fp16", "--requantize")
        for name, (rows, cols) in self.layers.items():
            expected = undone(tensors, name, rows, cols)
            self.assertTrue(np.allclose(decode(read(again).tensors[name + ".weight"]), expected, rtol=1e-3, atol=1e-6), name)

    def test_the_seed_decides_about_signs(self):
        signs = []
        for arguments in ((), (), ("--quip-seed", "4"), ("--manual_seed", "9"), ("--set", "quip_transformed.seed=4")):
            self.run_conversion("--format", "quip_transformed", *arguments)
            signs.append(read(self.target).tensors["b.sign_col"].data)
        self.assertEqual(signs[0], signs[1])
        self.assertEqual(signs[2], signs[4])
        self.assertEqual(len(set(signs)), 3)

    def test_legacy_keys_and_files_of_the_original(self):
        self.run_conversion("--format", "quip_transformed", "--no-comfy_quant")
        tensors = dict(read(self.target).tensors)
        self.assertIn("b.scale_weight", tensors)
        self.assertNotIn("b.comfy_quant", tensors)
        done = octavo("compare", self.source, self.target, "--json")
        self.assertEqual({layer["format"] for layer in json.loads(done.stdout)["layers"]} - {"quip_transformed"}, set(), done.stdout)
        # The original marks such a layer as plain rows.
        scale = tensors.pop("b.scale_weight")
        text = b'{"format": "int8_tensorwise"}'
        tensors |= {"b.weight_scale": scale, "b.comfy_quant": Tensor("U8", (len(text),), text)}
        write(self.target, tensors)
        done = octavo("verify", self.target, "--json")
        self.assertIn("marker-value", [finding["code"] for finding in json.loads(done.stdout)["findings"]])
        self.assertEqual(done.returncode, 7)

    def test_what_is_missing_is_said(self):
        self.run_conversion("--format", "quip_transformed")
        whole = read(self.target).tensors
        for missing, code in ((".sign_row", "signs-missing"), (".weight_scale", "scale-missing"), (".hadamard_quip", "hadamard-missing")):
            write(self.target, {name: tensor for name, tensor in whole.items() if name != "b" + missing})
            done = octavo("verify", self.target, "--json")
            self.assertEqual(done.returncode, 7, missing)
            self.assertIn(code, [finding["code"] for finding in json.loads(done.stdout)["findings"]])

    def test_values_that_are_not_finite(self):
        self.weights["a"][3, 4] = np.nan
        write(self.source, {f"{name}.weight": encode(self.weights[name], "F32") for name in "ab"})
        self.assertIn("[3, 4]", self.refuse(3, "convert", self.source, "-o", self.target, "--model", "none", "--format", "quip_transformed"))
        self.run_conversion("--format", "quip_transformed", "--nonfinite", "keep")
        tensors = read(self.target).tensors
        self.assertEqual((tensors["a.weight"].dtype, tensors["b.weight"].dtype), ("F32", "I8"))


if __name__ == "__main__":
    unittest.main()
