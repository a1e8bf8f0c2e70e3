"""What feedback gains on layers and inputs with the properties of real ones, measured on the stored tensors."""

import numpy as np

from checkpoint_file import decode, encode, read, write
from gptq_reference import gptq_errors, row_scales
from program import ConversionTest, sha256
from stored_layer import rotated_in_double
from surrogate_layers import Inputs, output_error, w8a8_error, weight

import unittest

ROWS, COLS = 256, 1536


def from_the_last(samples):
    return np.arange(samples.shape[1])[::-1]


def by_activity(samples):
    return np.argsort(-np.square(samples.astype(np.float64)).sum(axis=0))


class SurrogateTest(ConversionTest):
    # inputs, optimizer, the order of columns that it takes
    GPTQ_CASES = (("channels", "gptq", from_the_last), ("outliers", "gptq:actorder=true", by_activity))

    @classmethod
    def setUpClass(cls):
        cls.weight = weight(1, ROWS, COLS)

    def setUp(self):
        super().setUp()
        self.source = write(self.folder / "in.safetensors", {"blocks.0.fc.weight": encode(self.weight, "F32")})

    def stored(self, name, *arguments):
        target = self.folder / f"{name}.safetensors"
        document = self.convert(self.source, target, "--model", "none", "-f", *arguments)
        tensors = read(target).tensors
        codes = decode(tensors["blocks.0.fc.weight"]).astype(np.float64)
        scales = decode(tensors["blocks.0.fc.weight_scale"]).astype(np.float64)
        return document["layers"][0], codes, scales

    def inputs_file(self, samples, dtype="F32"):
        return write(self.folder / "inputs.safetensors", {"blocks.0.fc.inputs": encode(samples, dtype)})

    def compare(self, kind, optimizer, format_, group, count=8192, *arguments):
        """Layer of the report, J in dB over nearest, and the W8A8 errors on inputs that nobody has seen."""
        inputs = Inputs(kind, COLS)
        samples, fresh = inputs.draw(5, count), inputs.draw(6, 1024)
        layer, codes, scales = self.stored("out", "--optimizer", optimizer, "--format", format_, "--calibration-data",
                                           self.inputs_file(samples), "--calib-rows", count, *arguments)
        _, nearest_codes, nearest_scales = self.stored("nearest", "--format", format_)
        turn = (lambda values: rotated_in_double(values, group)) if group else (lambda values: values.astype(np.float64))
        turned, known, new = turn(self.weight), turn(samples), turn(fresh).astype(np.float32)
        gain = 10 * np.log10(output_error(known, turned - nearest_codes * nearest_scales) /
                             output_error(known, turned - codes * scales))
        ratio = w8a8_error(new, turned, codes, scales) / w8a8_error(new, turned, nearest_codes, nearest_scales)
        return layer, gain, ratio

    def test_quip_on_inputs_that_correlate(self):
        for kind, most in (("channels", 0.85), ("gelu", 0.85), ("outliers", 0.80), ("massive", 0.75)):
            with self.subTest(kind):
                layer, gain, ratio = self.compare(kind, "quip", "int8_convrot", 256)
                print(f"quip, {kind}: J {gain:.2f} dB better, W8A8 error x {ratio:.3f}: {layer['note']}")
                self.assertGreaterEqual(gain, 4)
                self.assertLessEqual(ratio, most)

    def gain_of_the_paper(self, kind, order, count=8192):
        """J in dB over nearest of GPTQ in float64 on the same weights and inputs."""
        samples = Inputs(kind, COLS).draw(5, count)
        scales = row_scales(self.weight).astype(np.float64)
        nearest = self.weight - np.clip(np.rint(self.weight / scales), -127, 127) * scales
        errors = gptq_errors(self.weight, samples, scales, order(samples))
        return 10 * np.log10(output_error(samples, nearest) / output_error(samples, errors))

    def test_gptq_on_plain_rows_gains_what_the_paper_gains(self):
        for kind, optimizer, order in self.GPTQ_CASES:
            with self.subTest(kind):
                layer, gain, _ = self.compare(kind, optimizer, "int8_tensorwise", 0)
                expected = self.gain_of_the_paper(kind, order)
                print(f"{optimizer}, {kind}: J {gain:.2f} dB better, the paper's algorithm {expected:.2f}: {layer['note']}")
                self.assertAlmostEqual(gain, expected, delta=0.1)
                self.assertGreater(expected, 1, "the case has something to gain")

    def test_inputs_without_structure_store_nearest(self):
        layer, gain, ratio = self.compare("iid", "quip", "int8_convrot", 256)
        self.assertEqual((gain, ratio), (0, 1))
        self.assertTrue(layer["stored_as_nearest"])
        self.assertRegex(layer["reason"], r"on held-out inputs the error of feedback is 1\d\d\.\d % of nearest's")

    def test_few_inputs_with_damping_by_rule_and_by_search(self):
        for count, least in ((2048, 0.9), (512, 0.5)):  # dB of W8A8 error on new inputs
            for damping in ("auto", "search"):
                with self.subTest(count=count, damping=damping):
                    _, _, ratio = self.compare("channels", f"quip:damping={damping}", "int8_convrot", 256, count)
                    print(f"quip, {count} inputs, damping {damping}: W8A8 {-20 * np.log10(ratio):.2f} dB better")
                    self.assertGreaterEqual(-20 * np.log10(ratio), least)

    def test_any_number_of_lanes_gives_the_same_bytes(self):
        samples = self.folder / "inputs.safetensors"
        layers = {f"blocks.{i}.fc.weight": encode(weight(i, 300, 256), "BF16") for i in range(6)}
        write(self.source, layers)
        inputs = {f"blocks.{i}.fc.inputs": encode(Inputs("channels", 256).draw(i, 600), "BF16") for i in range(6)}
        write(samples, inputs)
        for format_ in ("int8_convrot", "int8_tensorwise:scale=tensor", "quip_transformed"):
            hashes = set()
            for lanes in (1, 2, 7):
                target = self.folder / f"{lanes}.safetensors"
                document = self.convert(self.source, target, "--model", "none", "--optimizer", "quip:passes=1", "--format",
                                        format_, "--calibration-data", samples, "--lanes", lanes, "-f")
                for layer in document["layers"]:
                    self.assertIn("held-out error", layer["note"])
                hashes.add(sha256(target))
            self.assertEqual(len(hashes), 1, format_)


if __name__ == "__main__":
    unittest.main()
