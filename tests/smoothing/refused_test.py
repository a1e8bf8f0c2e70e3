"""Layers that are not smoothed, and why; runs that end because of it."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, encode
from program import octavo
from smoothing_case import COLS, DOWN, GATE, NORM1, NORM2, OUT, QKV, UP, SmoothingTest

PLAIN = ("--format", "int8_tensorwise")


class RefusedTest(SmoothingTest):
    def reasons(self, *arguments, model="zimage"):
        document = self.plan(*PLAIN, *arguments, model=model)
        self.document = document
        return {tensor["name"].removesuffix(".weight"): tensor["smoothing"].get("reason", "") for tensor in document["tensors"] if "smoothing" in tensor}

    def rewrite(self, **changes):
        """The block with some tensors replaced; None leaves one out."""
        tensors = checkpoint_file.read(self.source).tensors
        for key, tensor in changes.items():
            tensors.pop(key) if tensor is None else tensors.update({key: tensor})
        checkpoint_file.write(self.source, tensors)

    def test_the_plan_says_it_for_each_layer(self):
        self.write_block()
        reasons = self.reasons()
        self.assertEqual(reasons[QKV], "")
        self.assertIn("names no norm or linear", reasons[OUT])
        self.assertIn("int8_tensorwise stores no factors", reasons[OUT])
        tensors = {tensor["name"]: tensor for tensor in self.document["tensors"]}
        self.assertEqual(tensors[QKV + ".weight"]["smoothing"], {"smoothed": True, "target": NORM1 + ".weight"})
        self.assertIn("SmoothQuant's factors are folded into it", tensors[NORM1 + ".weight"]["reason"])
        self.assertTrue(any("1 layer is (" + OUT in warning or OUT in warning for warning in self.document["warnings"]))
        text = octavo("plan", self.source, "--model", "zimage", "--calibration-data", self.inputs, "--smoothquant", *PLAIN).stdout
        self.assertIn("smooth   4 layers, folded into 3 norms and linears", text)

    def test_producers_and_readers_that_do_not_fit(self):
        self.write_block()
        float_up = checkpoint_file.read(self.source).tensors[UP + ".weight"]
        quantized = Tensor("I8", float_up.shape, bytes(128 * COLS))
        cases = (
            ({NORM1 + ".weight": None}, QKV, "is not in the file"),
            ({NORM1 + ".weight": encode(np.ones(COLS // 2), "F32")}, QKV, f"makes {COLS // 2} channels, and {COLS} are read"),
            ({NORM1 + ".weight": Tensor("I64", (COLS,), bytes(8 * COLS))}, QKV, "is I64 and stays so"),
            ({NORM2 + ".bias": encode(np.ones(3), "F32")}, GATE, "the bias beside"),
            ({UP + ".weight": quantized, UP + ".weight_scale": encode(np.ones((128, 1)), "F32")}, GATE, "is I8 and stays so"),
            ({UP + ".weight": quantized, UP + ".weight_scale": encode(np.ones((128, 1)), "F32")}, DOWN, "is I8 and stays so"),
        )
        original = checkpoint_file.read(self.source).tensors
        for changes, layer, words in cases:
            checkpoint_file.write(self.source, original)
            self.rewrite(**changes)
            self.assertIn(words, self.reasons()[layer], changes.keys())

    def test_maxima_have_to_be_real(self):
        self.write_block()
        self.write_inputs({QKV + ".input_mean": np.ones(COLS), GATE + ".channel_max": np.ones(COLS)})
        reasons = self.reasons()
        self.assertIn("nothing is known", reasons[QKV])
        self.assertEqual(reasons[GATE], "")
        self.assertEqual(reasons[UP], "", "it reads the same inputs")
        values = {QKV + ".inputs": encode(np.ones((4, COLS)), "F32")}
        checkpoint_file.write(self.inputs, values, {"octavo.source": "LoRA"})
        done = octavo("plan", self.source, "--model", "zimage", "--calibration-data", self.inputs, "--smoothquant", *PLAIN)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("nothing is known", done.stderr)

    def test_no_layer_at_all(self):
        self.write_block()
        arguments = ("--calibration-data", self.inputs, "--smoothquant", *PLAIN, "-o", self.target)
        message = self.refuse(4, "convert", self.source, "--model", "none", *arguments)
        self.assertIn("[plan] no layer can be smoothed", message)
        self.assertIn("rotates columns", message)
        message = self.refuse(4, "convert", self.source, "--model", "zimage", *arguments[:3], "--format", "fp16")
        self.assertIn("only cast", message)
        self.assertFalse(self.target.exists())

    def test_without_calibration_it_has_no_effect(self):
        self.write_block()
        done = octavo("convert", self.source, "-o", self.target, "--model", "zimage", "--smoothquant", "--smoothquant-alpha=search")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--smoothquant has no effect: there is no calibration file in use", done.stderr)
        done = octavo("plan", self.source, "--model", "zimage", "--calibration-data", self.inputs, "--smoothquant_alpha", "0.7")
        self.assertIn("--smoothquant-alpha has no effect: --smoothquant is not given", done.stderr)

    def test_values_of_alpha(self):
        self.write_block()
        for alpha in ("-0.1", "1.5", "nan", "much", ""):
            self.refuse(2, "plan", self.source, "--calibration-data", self.inputs, "--smoothquant", f"--smoothquant-alpha={alpha}")


if __name__ == "__main__":
    unittest.main()
