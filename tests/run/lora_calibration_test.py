"""octavo calibrate-from-lora: a calibration file of the down matrices of LoRAs."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import decode, encode
from program import octavo, sha256
from run_case import RunTest, weight


def scaled(rows):
    rows = rows.astype(np.float64)
    return rows / np.sqrt((rows**2).mean(axis=1, keepdims=True))


class LoraCalibrationTest(RunTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(1)
        self.source, _ = self.model({"blocks.0.a": weight(1, 64, 128), "blocks.1.b": weight(2, 32, 128)},
                                    biases={"blocks.0.a": encode(np.ones(64), "F32")})
        self.downs = [random.standard_normal((rank, 128)).astype(np.float32) * 0.1 for rank in (4, 6)]
        self.downs[0][2] = 0
        self.loras = []
        for i, down in enumerate(self.downs):
            up = random.standard_normal((64, len(down)))
            self.loras.append(checkpoint_file.write(self.folder / f"lora{i}.safetensors", {
                "blocks.0.a.lora_down.weight": encode(down, "F32"), "blocks.0.a.lora_up.weight": encode(up, "F32")}))
        self.target = self.folder / "inputs.safetensors"

    def test_rows_have_a_root_mean_square_of_one(self):
        done = octavo("calibrate-from-lora", self.source, "--lora", self.loras[0], "--lora", self.loras[1], "-o", self.target, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(document["schema"], "octavo.calibrate-from-lora/1")
        self.assertEqual([(layer["name"], layer["shape"]) for layer in document["layers"]], [("blocks.0.a", [9, 128])])
        self.assertAlmostEqual(document["layers"][0]["original_damping"], (6144 - 9) / 9)
        too_few = "1 layer has fewer than 16 rows, for which gptq and quip store nearest: give another --lora"
        self.assertEqual(document["warnings"], [too_few])
        self.assertIn(too_few, done.stderr)
        file = checkpoint_file.read(self.target)
        self.assertEqual(list(file.tensors), ["blocks.0.a.inputs"])
        self.assertEqual(file.metadata, {"octavo.source": "LoRA"})
        expected = scaled(np.concatenate([self.downs[0][[0, 1, 3]], self.downs[1]]))
        np.testing.assert_allclose(decode(file.tensors["blocks.0.a.inputs"]), expected, rtol=1e-6)

    def test_enough_rows_for_feedback_are_no_warning(self):
        lora = checkpoint_file.write(self.folder / "wide.safetensors", {
            "blocks.0.a.lora_down.weight": encode(np.random.default_rng(2).standard_normal((16, 128)), "F32"),
            "blocks.0.a.lora_up.weight": encode(np.ones((64, 16)), "F32")})
        done = octavo("calibrate-from-lora", self.source, "--lora", lora, "-o", self.target, "--json")
        self.assertEqual(json.loads(done.stdout)["warnings"], [])
        document = self.convert(self.source, self.folder / "out.safetensors", "--model", "none", "--optimizer", "gptq",
                                "--calibration-data", self.target, "--damping", "1")
        self.assertNotIn("fewer than", str([layer.get("note") for layer in document["layers"]]))

    def test_it_is_a_calibration_file_that_moves_no_bias_and_makes_no_scale(self):
        octavo("calibrate-from-lora", self.source, "--lora", self.loras[0], "-o", self.target)
        output = self.folder / "out.safetensors"
        document, counts = self.run_greedy(self.source, output, "--calibration-data", self.target, "--static-activations")
        self.assertEqual(counts["shared"][0], 1)
        self.assertEqual(document["calibration"]["biases"], 0)
        tensors = checkpoint_file.read(output).tensors
        self.assertEqual(tensors["blocks.0.a.bias"], encode(np.ones(64), "F32"))
        self.assertNotIn("blocks.0.a.input_scale", tensors)

    def test_summary_and_help_say_what_it_is(self):
        done = octavo("calibrate-from-lora", self.source, "--lora", self.loras[0], "-o", self.target)
        self.assertIn("1 layer with 3 rows each", done.stdout)
        self.assertIn("not inputs that were recorded", done.stdout)
        self.assertIn("a guess that may help or not", octavo("calibrate-from-lora", "--help").stdout)

    def test_what_is_refused(self):
        self.refuse(2, "calibrate-from-lora", self.source, "-o", self.target)
        self.refuse(2, "calibrate-from-lora", "--lora", self.loras[0])
        self.refuse(3, "calibrate-from-lora", self.source, "--lora", self.source, "-o", self.target)
        before = sha256(self.loras[0])
        self.refuse(2, "calibrate-from-lora", self.source, "--lora", self.loras[0], "-o", self.loras[0], "--force")
        self.assertEqual(sha256(self.loras[0]), before)
        self.target.write_bytes(b"there")
        self.refuse(2, "calibrate-from-lora", self.source, "--lora", self.loras[0], "-o", self.target)
        difference = checkpoint_file.write(self.folder / "diff.safetensors", {"blocks.0.a.diff": encode(np.ones((64, 128)), "F32")})
        self.refuse(4, "calibrate-from-lora", self.source, "--lora", difference, "-o", self.folder / "new.safetensors")


if __name__ == "__main__":
    unittest.main()
