"""Calibration files: what is read, sampled, corrected and written from them, and what is refused."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, decode, encode, to_bf16
from program import octavo, sha256
from run_case import RunTest, errors_in_basis, inputs, stored, weight
from stored_layer import hadamard


class CalibrationTest(RunTest):
    def setUp(self):
        super().setUp()
        self.target = self.folder / "out.safetensors"
        self.bias = np.random.default_rng(9).standard_normal(64).astype(np.float32)

    def model_with_bias(self, dtype="F32", cols=128):
        return self.model({"a": weight(1, 64, cols), "b": weight(2, 32, cols)}, biases={"a": encode(self.bias, dtype)})

    def run_convert(self, source, *arguments):
        return self.convert(source, self.target, "--force", "--model", "none", *arguments)


class BiasTest(CalibrationTest):
    def expected(self, weights, mean, spec, dtype):
        codes, scales, grid = stored(self.target, "a", spec, weights["a"].shape)
        # The stored values in the plain basis are the codes' values rotated back.
        errors = errors_in_basis(codes, scales, weights["a"], grid)
        if grid.group:
            errors = (errors.reshape(len(errors), -1, grid.group) @ hadamard(grid.group)).reshape(errors.shape)
        bias = decode(encode(self.bias, dtype)).astype(np.float64)
        return bias - errors @ mean

    def test_the_mean_of_the_file(self):
        for dtype, spec, tolerance in (("F32", "int8_tensorwise", 1e-6), ("F32", "int8_convrot", 2e-6), ("BF16", "int8_convrot", 2**-8),
                                       ("F16", "int8_tensorwise:scale=tensor", 2**-10)):
            source, weights = self.model_with_bias(dtype)
            mean = np.random.default_rng(3).standard_normal(128).astype(np.float32) * 20
            path, _ = self.calibration({"a.input_mean": mean})
            document = self.run_convert(source, "--calibration-data", path, "--format", spec)
            tensor = checkpoint_file.read(self.target).tensors["a.bias"]
            self.assertEqual((tensor.dtype, tensor.shape), (dtype, (64,)))
            expected = self.expected(weights, mean.astype(np.float64), spec, dtype)
            np.testing.assert_allclose(decode(tensor), expected, rtol=tolerance, atol=tolerance)
            self.assertGreater(np.abs(expected - self.bias).max(), 20 * tolerance, "the correction is larger than the tolerance")
            self.assertTrue(self.layers(document)["a"]["bias_corrected"])
            self.assertNotIn("bias_corrected", self.layers(document)["b"])

    def test_the_mean_of_the_inputs_lowers_the_output_error(self):
        source, weights = self.model_with_bias()
        path, values = self.calibration({"a.inputs": inputs(4, 500, 128, mean=5)}, dtype="BF16")
        self.run_convert(source, "--calibration-data", path, "--format", "int8_tensorwise")
        x = values["a.inputs"]
        expected = self.expected(weights, x.mean(axis=0), "int8_tensorwise", "F32")
        corrected = decode(checkpoint_file.read(self.target).tensors["a.bias"]).astype(np.float64)
        np.testing.assert_allclose(corrected, expected, atol=1e-6)
        codes, scales, grid = stored(self.target, "a", "int8_tensorwise", (64, 128))
        error = x @ errors_in_basis(codes, scales, weights["a"], grid).T
        self.assertLess(np.square(error + corrected - self.bias).mean(), 0.5 * np.square(error).mean())

    def test_what_leaves_a_bias_as_it_is(self):
        source, _ = self.model_with_bias()
        path, _ = self.calibration({"a.inputs": inputs(4, 50, 128, mean=5)})
        absolute, _ = self.calibration({"a.channel_mean": np.ones(128), "a.channel_max": np.ones(128)}, name="absolute.safetensors")
        other, _ = self.calibration({"b.inputs": inputs(4, 50, 128, mean=5)}, name="other.safetensors")
        before = checkpoint_file.read(source).tensors["a.bias"]
        for arguments in ((), ("--calibration-data", absolute), ("--calibration-data", other),
                          ("--calibration-data", path, "--no-bias-correction"), ("--calibration-data", path, "--simple"),
                          ("--calibration-data", path, "--custom-layers", "a", "--custom-type", "int8", "--custom-simple")):
            self.run_convert(source, *arguments)
            self.assertEqual(checkpoint_file.read(self.target).tensors["a.bias"], before, arguments)
        self.run_convert(source, "--calibration-data", path)
        self.assertNotEqual(checkpoint_file.read(self.target).tensors["a.bias"], before)

    def test_a_merged_bias_is_corrected_too(self):
        source, _ = self.model_with_bias()
        difference = np.random.default_rng(5).standard_normal(64).astype(np.float32)
        lora = checkpoint_file.write(self.folder / "lora.safetensors", {"a.diff_b": encode(difference, "F32")})
        path, _ = self.calibration({"a.input_mean": np.full(128, 3.0)})
        self.run_convert(source, "--calibration-data", path)
        alone = decode(checkpoint_file.read(self.target).tensors["a.bias"])
        self.run_convert(source, "--calibration-data", path, "--merge-lora", lora)
        both = decode(checkpoint_file.read(self.target).tensors["a.bias"])
        np.testing.assert_allclose(both - alone, difference, atol=1e-6)

    def test_lanes_and_tiles_do_not_change_it(self):
        source, _ = self.model({"a": weight(1, 600, 128)}, biases={"a": encode(np.zeros(600), "F32")})
        path, _ = self.calibration({"a.inputs": inputs(4, 100, 128, mean=5)})
        sums = set()
        for lanes in (1, 2, 7):
            for tile in ("8K", "1M"):
                self.run_convert(source, "--calibration-data", path, "--lanes", lanes, "--tile-size", tile)
                sums.add(sha256(self.target))
        self.assertEqual(len(sums), 1)


class ActivationScaleTest(CalibrationTest):
    def scales(self, *arguments):
        self.run_convert(self.source, *arguments)
        tensors = checkpoint_file.read(self.target).tensors
        return {key: decode(tensor) for key, tensor in tensors.items() if "input_scale" in key or "scale_input" in key}

    def setUp(self):
        super().setUp()
        self.source, _ = self.model({"a": weight(1, 64, 256), "b": weight(2, 32, 256)})
        self.path, values = self.calibration({"a.inputs": inputs(1, 90, 256)})
        self.x = values["a.inputs"]

    def test_from_inputs_in_the_grids_basis(self):
        plain = np.abs(self.x).max() / 127
        rotated = np.abs(self.x @ hadamard(256)).max() / 127
        self.assertNotAlmostEqual(plain, rotated)
        for spec, expected in (("int8_tensorwise", plain), ("int8_convrot", rotated)):
            found = self.scales("--calibration-data", self.path, "--static-activations", "--format", spec)
            self.assertEqual(list(found), ["a.input_scale"])
            self.assertEqual(found["a.input_scale"].shape, ())
            np.testing.assert_allclose(found["a.input_scale"], expected, rtol=1e-6)
        found = self.scales("--calibration-data", self.path, "--input_scale", "--format", "int8_tensorwise")
        np.testing.assert_allclose(found["a.input_scale"], plain, rtol=1e-6)
        self.assertEqual(found["b.input_scale"], 1)

    def test_without_the_flag_none_is_written(self):
        self.assertEqual(self.scales("--calibration-data", self.path), {})

    def test_legacy_scales_have_the_shape_of_the_weights(self):
        found = self.scales("--calibration-data", self.path, "--input-scale", "--no-comfy-quant", "--format", "int8_tensorwise")
        self.assertEqual(found["a.scale_input"].shape, (64, 1))
        np.testing.assert_allclose(found["a.scale_input"], np.abs(self.x).max() / 127, rtol=1e-6)

    def test_given_scales_win(self):
        scales = self.folder / "scales.json"
        scales.write_text(json.dumps({"a": 0.25, "b": {"input_scale": 0.5}}))
        found = self.scales("--calibration-data", self.path, "--input-scales", scales)
        self.assertEqual({key: float(value) for key, value in found.items()}, {"a.input_scale": 0.25, "b.input_scale": 0.5})
        maxima = self.folder / "maxima.json"
        maxima.write_text(json.dumps({"a": {"channel_max": [0.5] * 255 + [2.54]}}))
        found = self.scales("--calibration-data", maxima, "--static-activations", "--format", "int8_tensorwise")
        np.testing.assert_allclose(found["a.input_scale"], 0.02, rtol=1e-6)
        # A rotation mixes columns, so their maxima do not say how large its result is.
        self.assertEqual(self.scales("--calibration-data", maxima, "--static-activations"), {})

    def test_what_is_not_known_is_said(self):
        done = octavo("convert", self.source, "-o", self.target, "-f", "--model", "none", "--calibration-data", self.path,
                      "--static-activations")
        self.assertIn("1 layer without an activation scale", done.stderr)
        done = octavo("convert", self.source, "-o", self.target, "-f", "--model", "none", "--static-activations")
        self.assertIn("--static-activations has no effect", done.stderr)


class FileTest(CalibrationTest):
    def setUp(self):
        super().setUp()
        self.source, _ = self.model_with_bias()

    def refused(self, entries, *words, shared=None, code=3, arguments=()):
        path = entries if not isinstance(entries, dict) else self.calibration(entries, shared)[0]
        said = self.refuse(code, "convert", self.source, "-o", self.target, "--model", "none", "--calibration-data", path, *arguments)
        for word in words:
            self.assertIn(word, said)
        self.assertFalse(self.target.exists())

    def test_inputs_that_do_not_fit(self):
        good = inputs(1, 20, 128)
        bad = good.copy()
        bad[7, 5] = np.nan
        self.refused({"a.inputs": inputs(1, 20, 64)}, "layer a", "64 columns", "128 columns")
        self.refused({"a.input_mean": np.zeros(100)}, "layer a", "100 columns")
        self.refused({"a.inputs": good, "a.input_mean": np.zeros(64)}, "a statistic has 64 columns and the inputs have 128")
        self.refused({"a.inputs": bad}, "a.inputs", "row 7, column 5 is not finite")
        self.refused({"a.inputs": Tensor("I8", (2, 128), bytes(256))}, "a.inputs", "not I8")
        self.refused({"a.inputs": np.zeros(128)}, "a.inputs", "[128]")
        self.refused({"a.inputs": np.zeros((0, 128))}, "a.inputs", "[0, 128]")
        self.refused({"a.input_mean": np.full(128, np.inf)}, "element 0 is not finite")
        self.refused({"a.channel_max": np.full(128, -1.0)}, "is not negative")
        self.refused({"a.input_scale": np.float32(0)}, "expected a positive number")
        self.refused({"a.input_scale": np.ones(2)}, "one element")
        self.refused({"x.inputs": good, "y.inputs": good}, "none of the 2 layers", "x")
        self.refused({"a.inputs": good}, "shares the inputs of c", shared={"b": "c"})
        self.refused({"a.inputs": good, "b.inputs": good}, "entries of its own", shared={"b": "a"})
        self.refused(self.folder / "missing.safetensors", code=5)
        self.refused({"a.inputs": good}, "--calib-rows", code=2, arguments=("--calib-rows", "0"))

    def test_json_that_is_wrong(self):
        for text, word in (("{", "parse error"), ("[]", "no JSON object"), ('{"a": "x"}', "an object or a number"),
                           ('{"a": {"input_mean": [1, "x"]}}', "a list of numbers"), ('{"a": {"channel_max": [-1]}}', "not negative"),
                           ('{"a": {"inputs": []}}', "no such statistic"), ('{"a": -1}', "positive"),
                           ('{"a": {"input_mean": []}}', "one for each column")):
            path = self.folder / "bad.json"
            path.write_text(text)
            self.refused(path, "bad.json", word)

    def test_unknown_layers_and_tensors_are_named(self):
        path, _ = self.calibration({"a.inputs": inputs(1, 20, 128), "gone.inputs": inputs(1, 20, 128), "strange": np.zeros(1)})
        done = octavo("convert", self.source, "-o", self.target, "--model", "none", "--calibration-data", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 of 2 layers are not in the checkpoint (gone)", done.stderr)
        self.assertIn("1 tensors that say nothing about inputs (strange)", done.stderr)

    def test_a_file_that_says_nothing_about_inputs(self):
        path, _ = self.calibration({"strange": np.zeros(1)})
        self.refused(path, "says nothing about the inputs of any layer")
        empty = self.folder / "empty.json"
        empty.write_text("{}")
        self.refused(empty, "empty.json", "says nothing about the inputs of any layer")

    def test_an_output_may_not_replace_it(self):
        path, _ = self.calibration({"a.inputs": inputs(1, 20, 128)})
        before = sha256(path)
        self.refuse(2, "convert", self.source, "-o", path, "-f", "--model", "none", "--calibration-data", path)
        self.assertEqual(sha256(path), before)

    def test_options_without_a_file_say_that_they_do_nothing(self):
        for option in (("--calib-rows", "7"), ("--no-bias-correction",)):
            done = octavo("convert", self.source, "-o", self.target, "-f", "--model", "none", *option)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{option[0]} has no effect: there is no calibration file in use", done.stderr)

    def test_at_most_so_many_rows_are_kept_and_always_the_same(self):
        source, _ = self.model({"a": weight(1, 64, 64)}, name="small.safetensors")
        x = inputs(1, 5000, 64)
        kept = []
        for dtype in ("F32", "F16", "BF16"):
            path, _ = self.calibration({"a.inputs": x}, dtype=dtype)
            for rows, expected in ((None, 2048), (300, 300), (10000, 5000)):
                more = () if rows is None else ("--calib-rows", rows)
                document, _ = self.run_greedy(source, self.target, "--calibration-data", path, *more)
                self.assertIn(f"{expected} rows", self.layers(document)["a"]["note"])
                kept.append(sha256(self.target))
        self.assertEqual(len(set(kept)), 9)
        path, _ = self.calibration({"a.inputs": x}, dtype="BF16")
        again = set()
        for _ in range(2):
            self.run_greedy(source, self.target, "--calibration-data", path, "--calib-rows", 300)
            again.add(sha256(self.target))
        self.assertEqual(again, {kept[7]})
        self.run_greedy(source, self.target, "--calibration-data", path, "--calib-rows", 300, "--seed", 5)
        self.assertNotEqual(sha256(self.target), kept[7])

    def test_provenance_and_plan(self):
        path, _ = self.calibration({"a.inputs": inputs(1, 20, 128), "b.input_mean": np.ones(128)})
        document = self.run_convert(self.source, "--calibration-data", path)
        self.assertEqual(document["calibration"], {"rows": 2048, "layers": 2, "layers_with_inputs": 1, "biases": 1})
        said = json.loads(checkpoint_file.read(self.target).metadata["octavo"])["settings"]["calibration"]
        self.assertEqual(said["bytes"], path.stat().st_size)
        self.assertEqual((said["rows"], len(said["xxh3_128"])), (2048, 32))
        done = octavo("plan", self.source, "--model", "none", "--calibration-data", path)
        self.assertIn("  memory   ", done.stdout)
        other, _ = self.calibration({"a.inputs": inputs(2, 20, 128), "b.input_mean": np.ones(128)}, name="other.safetensors")
        self.run_convert(self.source, "--calibration-data", other)
        again = json.loads(checkpoint_file.read(self.target).metadata["octavo"])["settings"]["calibration"]
        self.assertEqual(again["bytes"], said["bytes"])
        self.assertNotEqual(again["xxh3_128"], said["xxh3_128"], "another recording is another calibration")


if __name__ == "__main__":
    unittest.main()
