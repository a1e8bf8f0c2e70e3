"""octavo compare --inputs: errors of outputs against float64, for both kinds of loaders."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, decode, encode
from program import ConversionTest, octavo
from stored_layer import dequantized, grid_of, rotated

SHAPES = {"a": (96, 256), "b": (48, 512), "c": (130, 256)}


def inputs_with_outliers(random, samples, cols):
    x = random.standard_normal((samples, cols))
    x[:, random.choice(cols, 3, replace=False)] *= 12
    return x


class OutputErrorsTest(ConversionTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(21)
        self.weights = {name: encode(random.standard_normal(shape) * 0.03, "F32") for name, shape in SHAPES.items()}
        self.source = checkpoint_file.write(
            self.folder / "model.safetensors", {f"{name}.weight": tensor for name, tensor in self.weights.items()})
        self.inputs = {"a": encode(inputs_with_outliers(random, 40, 256), "F32"),
                       "b": encode(inputs_with_outliers(random, 33, 512), "BF16")}
        self.file = self.write_inputs({"octavo.inputs": json.dumps({"c": "a"})})
        self.target = self.folder / "out.safetensors"

    def write_inputs(self, metadata=None, name="inputs.safetensors", **more):
        tensors = {f"{layer}.inputs": tensor for layer, tensor in {**self.inputs, **more}.items()}
        return checkpoint_file.write(self.folder / name, tensors, metadata)

    def compare(self, *arguments, judged=None):
        done = octavo("compare", self.source, judged or self.target, "--json", "--inputs", self.file, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def outputs(self, *arguments, judged=None):
        return {layer["name"]: layer.get("outputs") for layer in self.compare(*arguments, judged=judged)["layers"]}

    def rows_of(self, name):
        return decode(self.inputs["a" if name == "c" else name]).astype(np.float64)

    def expected(self, name, codes, scales, grid):
        """Relative errors of W8A16 and W8A8, and the share of the activations, in float64."""
        w = decode(self.weights[name]).astype(np.float64)
        x = self.rows_of(name)
        y = x @ w.T
        y_weights = x @ dequantized(codes, scales, grid).T
        turned = (rotated(x.astype(np.float32), grid.group) if grid.group else x).astype(np.float64)
        step = np.abs(turned).max(axis=1, keepdims=True) / 127
        y_both = (np.rint(turned / step) @ codes.astype(np.float64).T) * step * scales.astype(np.float64).reshape(1, -1)
        square = lambda values: float((values**2).sum())
        weight, both, activation = square(y_weights - y), square(y_both - y), square(y_both - y_weights)
        return np.sqrt(weight / square(y)), np.sqrt(both / square(y)), activation / (activation + weight)

    def stored_parts(self, name, spec, path=None):
        tensors = checkpoint_file.read(path or self.target).tensors
        return decode(tensors[f"{name}.weight"]), decode(tensors[f"{name}.weight_scale"]), grid_of(spec, *SHAPES[name])

    def assert_close(self, found, expected):
        w8a16, w8a8, share = expected
        self.assertAlmostEqual(found["w8a16"] / w8a16, 1, delta=2e-3)
        self.assertAlmostEqual(found["w8a8"] / w8a8, 1, delta=2e-3)
        self.assertAlmostEqual(found["activation_share"], share, delta=5e-3)
        self.assertAlmostEqual(found["weight_share"], 1 - share, delta=5e-3)

    def test_rows_tensors_and_rotation(self):
        for spec in ("int8_tensorwise", "int8_tensorwise:scale=tensor", "int8_convrot"):
            self.convert(self.source, self.target, "--force", "--model", "none", "--format", spec)
            for found in (self.outputs(), self.outputs("--lanes", "1")):
                for name in SHAPES:
                    self.assert_close(found[name], self.expected(name, *self.stored_parts(name, spec)))
                    self.assertTrue(found[name]["is_nearest"], (spec, name))
                    self.assertEqual(found[name]["nearest"], {key: found[name][key] for key in ("w8a16", "w8a8")})
            self.assertEqual(found["c"]["samples"], 40)

    def test_against_nearest(self):
        """Codes that somebody else chose: here one in ten is off by one."""
        self.convert(self.source, self.target, "--model", "none")
        tensors = dict(checkpoint_file.read(self.target).tensors)
        nearest = self.outputs()["a"]
        codes = np.frombuffer(tensors["a.weight"].data, np.int8).reshape(SHAPES["a"]).copy()
        codes[np.random.default_rng(3).random(codes.shape) < 0.1] ^= 1
        tensors["a.weight"] = Tensor("I8", SHAPES["a"], codes.tobytes())
        other = checkpoint_file.write(self.folder / "other.safetensors", tensors)
        found = self.outputs(judged=other)["a"]
        self.assertFalse(found["is_nearest"])
        self.assert_close(found, self.expected("a", *self.stored_parts("a", "int8_convrot", other)))
        for key in ("w8a16", "w8a8"):
            self.assertAlmostEqual(found["nearest"][key] / nearest[key], 1, delta=1e-5)
            self.assertGreater(found[key], 1.2 * nearest[key])

    def test_formats_without_integer_products(self):
        self.convert(self.source, self.target, "--model", "none", "--format", "fp16")
        self.assertIsNone(self.outputs()["a"], "a cast is a float weight: there is nothing to judge")
        weights = np.random.default_rng(4).standard_normal((128, 256))
        self.weights = {"a": encode(weights, "F32")}
        checkpoint_file.write(self.source, {"a.weight": self.weights["a"]})
        self.convert(self.source, self.target, "--force", "--model", "none", "--format", "int8_blockwise")
        found = self.outputs()["a"]
        codes, scales = (decode(checkpoint_file.read(self.target).tensors[key]) for key in ("a.weight", "a.weight_scale"))
        w = weights.astype(np.float32).astype(np.float64)
        error = dequantized(codes, scales, grid_of("int8_blockwise", 128, 256)) - w
        x = self.rows_of("a")
        self.assertAlmostEqual(found["w8a16"] / np.sqrt(((x @ error.T) ** 2).sum() / ((x @ w.T) ** 2).sum()), 1, delta=2e-3)
        self.assertIsNone(found["w8a8"])

    def test_rows_are_thinned_evenly(self):
        self.convert(self.source, self.target, "--model", "none", "--format", "int8_tensorwise")
        found = self.outputs("--inputs-rows", "8")["a"]
        self.assertEqual(found["samples"], 8)
        x = decode(self.inputs["a"])
        self.inputs["a"] = encode(x[::5], "F32")
        self.assert_close(found, self.expected("a", *self.stored_parts("a", "int8_tensorwise")))

    def test_the_worst_comes_first_and_unknown_layers_are_listed(self):
        self.convert(self.source, self.target, "--model", "none")
        self.file = self.write_inputs(name="two.safetensors")
        document = self.compare()
        found = {layer["name"]: layer.get("outputs") for layer in document["layers"]}
        self.assertIsNone(found["c"])
        self.assertEqual([one["name"] for one in document["outputs_left_out"]], ["c"])
        order = [name for name in document["worst_first"] if found[name]]
        self.assertEqual(order, sorted(order, key=lambda name: -found[name]["w8a8"]))
        text = octavo("compare", self.source, self.target, "--inputs", self.file).stdout
        self.assertIn("W8A8", text)
        self.assertLess(text.index(f"\n{order[0]} "), text.index(f"\n{order[1]} "))

    def test_inputs_that_are_wrong(self):
        self.convert(self.source, self.target, "--model", "none")
        arguments = ("compare", self.source, self.target, "--inputs")
        self.refuse(5, *arguments, self.folder / "none.safetensors")
        cases = {
            "columns": self.write_inputs(name="1.safetensors", a=encode(np.ones((4, 255)), "F32")),
            "inputs are [samples, cols]": self.write_inputs(name="2.safetensors", a=encode(np.ones(4), "F32")),
            "not finite": self.write_inputs(name="3.safetensors", a=encode(np.full((4, 256), np.nan), "F32")),
            "octavo.inputs": self.write_inputs({"octavo.inputs": "[]"}, "4.safetensors"),
            "nothing about the inputs": checkpoint_file.write(self.folder / "5.safetensors", {"a.weight": self.weights["a"]}),
            "no recorded rows": checkpoint_file.write(
                self.folder / "6.safetensors", {"a.channel_max": encode(np.ones(256), "F32")}),
        }
        for words, file in cases.items():
            self.assertIn(words, self.refuse(3, *arguments, file))
        self.refuse(2, *arguments, self.file, "--inputs-rows", "0")


if __name__ == "__main__":
    unittest.main()
