"""Factors that are folded into a norm or a linear: their values, the function that stays, and all that follows them."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import decode, encode
from program import octavo, sha256
from smoothing_case import (
    COLS, DOWN, GATE, NORM1, NORM2, OUT, QKV, UP, Block, SmoothingTest, factors, output_error, rounded_inputs)
from surrogate_layers import Inputs, weight

PLAIN = ("--format", "int8_tensorwise")


class FactorTest(SmoothingTest):
    def test_the_formula(self):
        self.write_block()
        for alpha in (0.25, 0.5, 1.0, 0.0):
            self.smooth(*PLAIN, "--smoothquant-alpha", alpha)
            expected = factors(np.abs(self.recorded[QKV + ".inputs"]).max(axis=0), np.abs(self.block[QKV]).max(axis=0), alpha)
            np.testing.assert_allclose(self.gain_ratio(NORM1), expected, rtol=1e-6)
        self.smooth(*PLAIN)
        default = sha256(self.target)
        self.smooth(*PLAIN, "--smoothquant_alpha", "0.5")
        self.assertEqual(sha256(self.target), default)

    def test_layers_that_read_one_norm_share_one_set(self):
        self.write_block()
        self.smooth(*PLAIN)
        both = np.maximum(np.abs(self.block[GATE]).max(axis=0), np.abs(self.block[UP]).max(axis=0))
        expected = factors(np.abs(self.recorded[GATE + ".inputs"]).max(axis=0), both)
        s = self.gain_ratio(NORM2)
        np.testing.assert_allclose(s, expected, rtol=1e-6)
        self.assert_rounded(GATE, self.block[GATE] * s)

    def test_a_linear_takes_the_inverse_in_its_rows(self):
        self.write_block()
        self.smooth(*PLAIN)
        s = factors(np.abs(self.recorded[DOWN + ".inputs"]).max(axis=0), np.abs(self.block[DOWN]).max(axis=0))
        self.assert_rounded(DOWN, self.block[DOWN] * s)
        self.assert_rounded(UP, self.block[UP] * self.gain_ratio(NORM2) / s[:, None])

    def test_a_norm_in_sixteen_bits_rounds_nothing(self):
        for dtype, tolerance in (("BF16", 2**-8), ("F16", 2**-10)):
            self.write_block(dtype)
            self.smooth(*PLAIN)
            expected = factors(np.abs(self.recorded[QKV + ".inputs"]).max(axis=0), np.abs(self.block[QKV]).max(axis=0))
            s = self.gain_ratio(NORM1)
            np.testing.assert_allclose(s, expected, rtol=tolerance)
            self.assertGreater(np.abs(s / expected - 1).max(), 1e-5, "the factors are those that the stored gain has")
            self.assert_rounded(QKV, self.block[QKV] * s)

    def test_channels_that_say_nothing(self):
        self.write_block()
        largest = np.abs(self.recorded[QKV + ".inputs"]).max(axis=0)
        largest[7] = 0  # never seen to be anything else
        self.write_inputs({QKV + ".channel_max": largest})
        self.smooth(*PLAIN)
        self.assertEqual(self.gain_ratio(NORM1)[7], 1)
        self.assertNotEqual(self.gain_ratio(NORM1)[8], 1)

    def test_a_gain_that_the_dtype_cannot_hold_stays(self):
        tensors = self.write_block("F16")
        gain = self.block[NORM1].astype(np.float32)
        gain[3] = 60000  # divided by a factor below 0.9 it is infinite in F16
        tensors[NORM1 + ".weight"] = encode(gain, "F16")
        checkpoint_file.write(self.source, tensors)
        self.block = Block(tensors)
        largest = np.abs(self.recorded[QKV + ".inputs"]).max(axis=0)
        largest[3] = 1e-6
        self.write_inputs({QKV + ".channel_max": largest})
        self.smooth(*PLAIN)
        self.assertEqual(self.gain_ratio(NORM1)[3], 1)


class FunctionTest(SmoothingTest):
    def test_layers_that_stay_are_scaled_exactly(self):
        """X W^T is what it was, where nothing is rounded: GATE stays, and so does its norm."""
        self.write_block()
        self.smooth(*PLAIN, "--exclude-layers", "w1")
        made = Block(self.stored())
        self.assertGreater(np.abs(made[GATE] / self.block[GATE] - 1).max(), 0.5, "its columns are scaled")
        before = self.block.feed_forward_inputs(self.x) @ self.block[GATE].T
        after = made.feed_forward_inputs(self.x) @ made[GATE].T
        self.assertLess(output_error(before, after), 1e-6)

    def test_layers_that_stay_because_they_lose_the_most(self):
        """They are found by a rehearsal of the smoothed layers, and are scaled like the others."""
        self.write_block()
        document = self.smooth(*PLAIN, "--keep-worst", "1")
        kept = [layer for layer in (QKV, GATE, UP, DOWN, OUT) if self.stored()[layer + ".weight"].dtype == "F32"]
        self.assertEqual(len(kept), 1)
        self.assertEqual(len(document["layers"]), 4)
        made = Block(self.stored())
        for layer in {QKV, GATE, UP, DOWN} - set(kept):
            made.values[layer + ".weight"] = self.dequantized(layer)
        self.assertLess(output_error(self.block.queries(self.x), made.queries(self.x)), 0.02)
        self.assertLess(output_error(self.block.feed_forward(self.x), made.feed_forward(self.x)), 0.02)

    def test_the_whole_block_computes_what_it_did(self):
        self.write_block()
        self.smooth(*PLAIN)
        made = Block(self.stored())
        for layer in (QKV, GATE, UP, DOWN):
            made.values[layer + ".weight"] = self.dequantized(layer)
        self.assertLess(output_error(self.block.queries(self.x), made.queries(self.x)), 0.02)
        self.assertLess(output_error(self.block.feed_forward(self.x), made.feed_forward(self.x)), 0.02)

    def test_the_error_of_w8a8_falls(self):
        random = np.random.default_rng(5)
        inputs, values = Inputs("outliers", 512), weight(3, 256, 512)
        gain = np.ones(512, np.float32)
        gain[inputs.outliers] = 20
        self.source = checkpoint_file.write(self.folder / "model.safetensors", {
            QKV + ".weight": encode(values, "F32"), NORM1 + ".weight": encode(gain, "F32")})
        self.write_inputs({QKV + ".inputs": inputs.draw(11, 1024)})
        held_out = inputs.draw(12, 1024).astype(np.float64)
        expected = held_out @ values.astype(np.float64).T
        errors = {}
        for name, arguments in (("nearest", ()), ("smoothed", ("--calibration-data", self.inputs, "--smoothquant"))):
            self.convert(self.source, self.target, "--force", "--model", "zimage", *PLAIN, *arguments)
            s = gain / decode(self.stored()[NORM1 + ".weight"]).astype(np.float64)
            errors[name] = output_error(expected, rounded_inputs(held_out / s) @ self.dequantized(QKV).T)
        self.assertLess(errors["smoothed"], 0.5 * errors["nearest"], errors)

    def test_lanes_and_tiles_change_nothing(self):
        self.write_block("BF16")
        sums = set()
        for lanes, tile in ((1, "1M"), (2, "8K"), (5, "8K")):
            self.smooth(*PLAIN, "--lanes", lanes, "--tile-size", tile)
            sums.add(sha256(self.target))
        self.assertEqual(len(sums), 1)


class CompanionsTest(SmoothingTest):
    def test_biases_are_corrected_for_the_smoothed_inputs(self):
        bias = np.random.default_rng(4).standard_normal(96).astype(np.float32)
        self.write_block(biases={QKV: bias})
        mean = np.random.default_rng(6).standard_normal(COLS) * 10
        self.write_inputs({QKV + ".inputs": self.block.attention_inputs(self.x), QKV + ".input_mean": mean})
        self.smooth(*PLAIN)
        s = self.gain_ratio(NORM1)
        error = self.block[QKV] * s - self.dequantized(QKV)
        expected = bias + error @ (self.recorded[QKV + ".input_mean"] / s)
        corrected = decode(self.stored()[QKV + ".bias"]).astype(np.float64)
        np.testing.assert_allclose(corrected, expected, atol=2e-5)
        self.assertGreater(np.abs(expected - bias).max(), 1e-3)

    def test_the_bias_of_a_producer_is_divided_and_corrected(self):
        bias = np.random.default_rng(4).standard_normal(128).astype(np.float32)
        self.write_block(biases={UP: bias, NORM2: np.ones(COLS, np.float32)})
        self.smooth(*PLAIN, "--no-bias-correction")
        s = factors(np.abs(self.recorded[DOWN + ".inputs"]).max(axis=0), np.abs(self.block[DOWN]).max(axis=0))
        np.testing.assert_allclose(decode(self.stored()[UP + ".bias"]), bias / s, rtol=1e-5)
        np.testing.assert_allclose(decode(self.stored()[NORM2 + ".bias"]), 1 / self.gain_ratio(NORM2), rtol=1e-5)
        self.smooth(*PLAIN)
        smoothed = self.block[UP] * self.gain_ratio(NORM2) / s[:, None]
        mean = self.recorded[GATE + ".inputs"].mean(axis=0) / self.gain_ratio(NORM2)
        expected = bias / s + (smoothed - self.dequantized(UP)) @ mean
        np.testing.assert_allclose(decode(self.stored()[UP + ".bias"]), expected, rtol=1e-4, atol=1e-5)

    def test_activation_scales_are_those_of_the_smoothed_inputs(self):
        self.write_block()
        self.smooth(*PLAIN, "--static-activations")
        scale = float(decode(self.stored()[QKV + ".input_scale"]))
        largest = np.abs(self.recorded[QKV + ".inputs"] / self.gain_ratio(NORM1)).max()
        self.assertAlmostEqual(scale / (largest / 127), 1, places=5)
        maxima = np.abs(self.recorded[QKV + ".inputs"]).max(axis=0)
        self.write_inputs({QKV + ".channel_max": maxima})
        self.smooth(*PLAIN, "--static-activations")
        scale = float(decode(self.stored()[QKV + ".input_scale"]))
        self.assertAlmostEqual(scale / ((maxima / self.gain_ratio(NORM1)).max() / 127), 1, places=5)

    def test_feedback_works_on_the_smoothed_inputs(self):
        """gptq's errors are those that smoothed inputs forgive: judged with these, not with the recorded ones."""
        self.write_block()
        self.write_inputs({QKV + ".inputs": Inputs("outliers", COLS).draw(11, 1024)})
        errors = {}
        for optimizer in ("nearest", "gptq", "quip"):
            done = octavo("plugins", "--json")
            if f'"{optimizer}"' not in done.stdout:
                self.skipTest("no LibTorch")
            self.smooth(*PLAIN, "--optimizer", optimizer)
            x = self.recorded[QKV + ".inputs"] / self.gain_ratio(NORM1)
            errors[optimizer] = np.square(x @ (self.block[QKV] * self.gain_ratio(NORM1) - self.dequantized(QKV)).T).sum()
        self.assertLess(errors["gptq"], 0.9 * errors["nearest"], errors)
        self.assertLess(errors["quip"], 0.9 * errors["nearest"], errors)

    def test_a_lora_is_merged_before(self):
        self.write_block()
        random = np.random.default_rng(8)
        up, down = (random.standard_normal(shape).astype(np.float32) * 0.05 for shape in ((96, 4), (4, COLS)))
        lora = checkpoint_file.write(self.folder / "lora.safetensors", {
            QKV + ".lora_B.weight": encode(up, "F32"), QKV + ".lora_A.weight": encode(down, "F32")})
        self.smooth(*PLAIN, "--merge-lora", lora)
        merged = self.block[QKV] + up.astype(np.float64) @ down.astype(np.float64)
        expected = factors(np.abs(self.recorded[QKV + ".inputs"]).max(axis=0), np.abs(merged).max(axis=0))
        np.testing.assert_allclose(self.gain_ratio(NORM1), expected, rtol=1e-5)
        self.assert_rounded(QKV, merged * self.gain_ratio(NORM1))


class CompareTest(SmoothingTest):
    def compare(self, *arguments):
        done = octavo("compare", self.source, self.target, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_factors_are_undone(self):
        self.write_block("BF16")
        self.smooth(*PLAIN)
        document = self.compare()
        layers = {layer["name"]: layer for layer in document["layers"]}
        values = self.dequantized(QKV) / self.gain_ratio(NORM1)
        sqnr = 10 * np.log10(np.square(self.block[QKV]).sum() / np.square(values - self.block[QKV]).sum())
        self.assertAlmostEqual(layers[QKV]["sqnr_db"], sqnr, delta=0.01)
        s = factors(np.abs(self.recorded[DOWN + ".inputs"]).max(axis=0), np.abs(self.block[DOWN]).max(axis=0))
        values = self.dequantized(UP) / self.gain_ratio(NORM2) * s[:, None]
        sqnr = 10 * np.log10(np.square(self.block[UP]).sum() / np.square(values - self.block[UP]).sum())
        self.assertAlmostEqual(layers[UP]["sqnr_db"], sqnr, delta=0.05)
        for norm in (NORM1, NORM2):
            changed = next(tensor for tensor in document["changed"] if tensor["name"] == norm + ".weight")
            self.assertLess(changed["relative_error"], 1e-6)

    def test_outputs_are_judged_with_the_inputs_that_layers_get(self):
        self.write_block()
        self.smooth(*PLAIN)
        document = self.compare("--inputs", self.inputs, "--inputs-rows", "400")
        outputs = {layer["name"]: layer["outputs"] for layer in document["layers"] if layer.get("outputs")}
        x, s = self.recorded[QKV + ".inputs"], self.gain_ratio(NORM1)
        expected = x @ self.block[QKV].T
        made = rounded_inputs(x / s) @ self.dequantized(QKV).T
        self.assertAlmostEqual(outputs[QKV]["w8a8"] / output_error(expected, made), 1, delta=0.02)
        self.assertLess(outputs[QKV]["w8a8"], 0.8 * outputs[QKV]["nearest"]["w8a8"])
        self.assertLess(outputs[UP]["w8a8"], outputs[UP]["nearest"]["w8a8"])


if __name__ == "__main__":
    unittest.main()
