"""Factors that are stored beside the codes, for loaders that divide the inputs: --format quip_transformed."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import decode, encode
from program import octavo
from smoothing_case import SmoothingTest, factors

TRANSFORMED = ("--format", "quip_transformed")


def walsh(values):
    """Multiplied with the Sylvester matrix / sqrt(n) along the last dimension."""
    matrix = np.ones((1, 1))
    while len(matrix) < values.shape[-1]:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return values @ matrix / np.sqrt(len(matrix))


class StoredTest(SmoothingTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(2)
        self.weights = (random.standard_normal((64, 192)) * 0.05).astype(np.float32)
        self.weights[:, :4] *= 10
        checkpoint_file.write(self.source, {"a.weight": encode(self.weights, "F32"), "b.weight": encode(self.weights[:32], "F32")})
        self.x = random.standard_normal((200, 192)) * np.exp(random.standard_normal(192))
        self.write_inputs({"a.inputs": self.x})
        self.document = self.smooth(*TRANSFORMED, model="none")

    def test_the_codes_are_those_of_the_smoothed_weight(self):
        tensors = self.stored()
        s = decode(tensors["a.smooth_factors"]).astype(np.float64)
        self.assertEqual((tensors["a.smooth_factors"].dtype, tensors["a.smooth_factors"].shape), ("F32", (192,)))
        expected = factors(np.abs(self.recorded["a.inputs"]).max(axis=0), np.abs(self.weights).max(axis=0))
        np.testing.assert_allclose(s, expected, rtol=1e-6)
        codes = np.frombuffer(tensors["a.weight"].data, np.int8).reshape(tensors["a.weight"].shape)
        values = codes.astype(np.float64) * decode(tensors["a.weight_scale"]).astype(np.float64)
        plain = walsh(walsh(values.T).T) * decode(tensors["a.sign_row"])[:, None] * decode(tensors["a.sign_col"])
        error = plain[:64, :192] / s - self.weights
        sqnr = 10 * np.log10(np.square(self.weights).sum() / np.square(error).sum())
        self.assertGreater(sqnr, 30)
        done = octavo("compare", self.source, self.target, "--json")
        layers = {layer["name"]: layer for layer in json.loads(done.stdout)["layers"]}
        self.assertAlmostEqual(layers["a"]["sqnr_db"], sqnr, delta=0.01)

    def test_what_is_said(self):
        self.assertNotIn("b.smooth_factors", self.stored())
        said = {tensor["name"]: tensor["smoothing"] for tensor in self.document["tensors"]}
        self.assertEqual(said["a.weight"], {"smoothed": True, "target": "a"})
        self.assertFalse(said["b.weight"]["smoothed"])
        self.assertIn("nothing is known", said["b.weight"]["reason"])
        self.assertEqual(self.document["smoothing"], [{"target": "a", "folded": False, "alpha": 0.5, "layers": ["a"]}])
        self.assertTrue(self.document["size_exact"])
        self.assertEqual(self.document["file_bytes"], self.target.stat().st_size)

    def test_verify_and_inspect_take_them_for_a_part_of_the_layer(self):
        done = octavo("verify", self.target, "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        tensors = {**self.stored()}
        tensors["a.smooth_factors"] = encode(np.ones(191), "F32")
        broken = checkpoint_file.write(self.folder / "broken.safetensors", tensors)
        done = octavo("verify", broken, "--json")
        self.assertEqual(done.returncode, 7)
        self.assertIn("factors-shape", [finding["code"] for finding in json.loads(done.stdout)["findings"]])
        tensors["a.smooth_factors"] = encode(np.zeros(192), "F32")
        broken = checkpoint_file.write(self.folder / "broken.safetensors", tensors)
        self.assertIn("not 0", self.refuse(3, "compare", self.source, broken))

    def test_a_smoothed_layer_is_a_source_again(self):
        again = self.folder / "again.safetensors"
        self.convert(self.target, again, "--model", "none", "--requantize", "--format", "int8_tensorwise")
        done = octavo("compare", self.source, again, "--json")
        self.assertGreater(json.loads(done.stdout)["total"]["sqnr_db"], 30)


if __name__ == "__main__":
    unittest.main()
