"""Weights that break arithmetic: what is not finite, what is zero, what is at the ends of a dtype."""

import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, decode, encode
from program import ConversionTest
from stored_layer import quantized, grid_of, stored_layer
from weight_sets import gaussian

SHAPE = (64, 512)
FORMATS = [
    "int8_convrot", "int8_tensorwise", "int8_tensorwise:scale=tensor", "int8_blockwise", "int8_axiswise", "fp16",
]
BAD = {"NaN": np.nan, "+inf": np.inf, "-inf": -np.inf}


class NumbersTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "source.safetensors"
        self.target = self.folder / "out.safetensors"
        self.good = encode(gaussian(9, SHAPE), "F32")

    def write(self, **layers):
        tensors = {name + ".weight": weight for name, weight in layers.items()}
        checkpoint_file.write(self.source, {**tensors, "good.weight": self.good})

    def converted(self, *arguments):
        document = self.convert(self.source, self.target, "--model", "none", "--force", *arguments)
        self.layers = {layer["name"]: layer for layer in document["layers"]}
        return checkpoint_file.read(self.target).tensors

    def refused(self, *arguments):
        self.target.unlink(missing_ok=True)
        error = self.refuse(3, "convert", self.source, "-o", self.target, "--model", "none", *arguments)
        self.assert_files("source.safetensors")
        return error

    def assert_layer(self, tensors, base, weight, spec):
        for name, tensor in stored_layer(base, weight, spec).items():
            self.assertEqual(tensors[name], tensor, name)

    def assert_kept(self, tensors, base, weight):
        self.assertEqual({name for name in tensors if name.startswith(base + ".")}, {base + ".weight"})
        self.assertEqual(tensors[base + ".weight"], weight)


class NonfiniteTest(NumbersTest):
    def bad_weight(self, value, dtype, places=((41, 300), (50, 7))):
        values = gaussian(10, SHAPE).astype(np.float64)
        for place in places:
            values[place] = value
        if dtype != "BF16":
            return encode(values, dtype)
        # NaN survives rounding to BF16 only as long as the carry stays out of the exponent.
        bits = checkpoint_file.to_bf16(np.where(np.isnan(values), 0, values))
        bits[np.isnan(values)] = 0x7FC0
        return Tensor("BF16", SHAPE, bits.tobytes())

    def test_refused_with_tensor_and_place(self):
        for spec in FORMATS:
            for name, value in BAD.items():
                with self.subTest(format=spec, value=name):
                    self.write(bad=self.bad_weight(value, "F32"))
                    error = self.refused("--format", spec)
                    self.assertIn("bad.weight", error)
                    self.assertIn("[41, 300]", error)
                    self.assertIn(str(41 * SHAPE[1] + 300), error)
                    self.assertIn("--nonfinite", error)

    def test_every_source_dtype(self):
        for dtype in ("F64", "BF16", "F16", "F8_E5M2", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2FNUZ"):
            with self.subTest(dtype=dtype):
                weight = self.bad_weight(np.nan, dtype) if dtype in ("F64", "BF16", "F16") else self.bad_f8(dtype)
                self.write(bad=weight)
                self.assertIn("[41, 300]", self.refused())

    def bad_f8(self, dtype):
        codes = np.frombuffer(encode(gaussian(3, SHAPE) * 50, dtype).data, np.uint8).reshape(SHAPE).copy()
        codes[41, 300] = 0x80 if dtype.endswith("FNUZ") else 0x7F
        return Tensor(dtype, SHAPE, codes.tobytes())

    def test_keep_leaves_the_layer(self):
        for spec in FORMATS:
            for name, value in BAD.items():
                with self.subTest(format=spec, value=name):
                    bad = self.bad_weight(value, "BF16")
                    self.write(bad=bad)
                    tensors = self.converted("--format", spec, "--nonfinite", "keep")
                    self.assert_kept(tensors, "bad", bad)
                    self.assert_layer(tensors, "good", self.good, spec)

    def test_zero_replaces_them(self):
        for spec in FORMATS:
            for name, value in BAD.items():
                with self.subTest(format=spec, value=name):
                    self.write(bad=self.bad_weight(value, "F32"))
                    tensors = self.converted("--format", spec, "--nonfinite", "zero")
                    self.assert_layer(tensors, "bad", self.bad_weight(0, "F32"), spec)
                    self.assertEqual(self.layers["bad"]["nonfinite_zeroed"], 2)
                    self.assertNotIn("nonfinite_zeroed", self.layers["good"])

    def test_the_limit_of_a_rotated_grid(self):
        limit = np.float32(2.0**118)
        below = np.nextafter(limit, np.float32(0))
        for spec in ("int8_convrot", "int8_convrot:group=16"):
            for sign in (1, -1):
                with self.subTest(format=spec, sign=sign):
                    values = gaussian(11, SHAPE)
                    values[3, 4] = sign * limit
                    weight = encode(values, "F32")
                    self.write(huge=weight)
                    error = self.refused("--format", spec)
                    self.assertIn("2^118", error)
                    self.assertIn("[3, 4]", error)
                    self.assert_kept(self.converted("--format", spec, "--nonfinite", "keep"), "huge", weight)
                    # One step below counts as finite, and the sums over a whole group of it do not overflow.
                    values[3, :256] = sign * below
                    weight = encode(values, "F32")
                    self.write(huge=weight)
                    self.assert_layer(self.converted("--format", spec), "huge", weight, spec)

    def test_plain_grids_take_every_finite_weight(self):
        values = gaussian(12, SHAPE)
        largest = np.finfo(np.float32).max
        values[5, :2] = largest, -largest
        weight = encode(values, "F32")
        self.write(huge=weight)
        for spec in FORMATS[1:5]:
            tensors = self.converted("--format", spec)
            self.assert_layer(tensors, "huge", weight, spec)
            codes = decode(tensors["huge.weight"])
            self.assertEqual((codes[5, 0], codes[5, 1], codes.min(), codes.max()), (127, -127, -127, 127))

    def test_what_is_copied_may_hold_anything(self):
        mask = encode(np.array([[0, -np.inf], [np.nan, np.inf]])[None], "F32")
        checkpoint_file.write(self.source, {"mask": mask, "good.weight": self.good})
        self.assertEqual(self.converted()["mask"], mask)


class SmallAndZeroTest(NumbersTest):
    def test_zero_rows(self):
        values = gaussian(13, (256, 512))
        values[[0, 7, 255]] = 0
        values[128:256, 128:256] = 0
        rows, zero = encode(values, "F32"), encode(np.zeros(SHAPE), "BF16")
        for spec in FORMATS[:5]:
            with self.subTest(format=spec):
                self.write(rows=rows, zero=zero)
                tensors = self.converted("--format", spec)
                self.assert_layer(tensors, "rows", rows, spec)
                self.assert_layer(tensors, "zero", zero, spec)
                self.assertFalse(decode(tensors["zero.weight"]).any())
                for base in ("rows", "zero"):
                    scales = decode(tensors[base + ".weight_scale"])
                    self.assertTrue(np.isfinite(scales).all() and (scales > 0).all())

    def test_half_precision_subnormals_keep_full_accuracy(self):  # T44
        values = np.random.default_rng(4).integers(-1023, 1024, SHAPE) * 2.0**-24
        weight = encode(values, "F16")
        self.write(small=weight)
        tensors = self.converted("--format", "int8_tensorwise")
        stored = decode(tensors["small.weight"]) * decode(tensors["small.weight_scale"]).astype(np.float64)
        largest = np.abs(values).max(axis=1, keepdims=True)
        self.assertTrue((np.abs(stored - values) <= largest / 254 * (1 + 2.0**-15)).all())

    def test_rows_below_the_smallest_scale_are_counted(self):  # T44
        values = gaussian(14, SHAPE).astype(np.float64) / 0.02
        values[[2, 9, 30]] *= 1e-32
        weight = encode(values, "F32")
        self.write(tiny=weight)
        tensors = self.converted("--format", "int8_tensorwise")
        self.assert_layer(tensors, "tiny", weight, "int8_tensorwise")
        self.assertEqual(self.layers["tiny"]["floored_rows"], 3)
        self.assertNotIn("floored_rows", self.layers["good"])
        codes, scales = quantized(decode(weight), grid_of("int8_tensorwise", *SHAPE))
        self.assertEqual((scales[2, 0], np.abs(codes[2]).max()), (np.float32(1e-30), 0))


class HalfPrecisionTest(NumbersTest):  # T48
    # value, and what nearest F16 makes of it: 65,520 is half a step beyond the largest value and ties to infinity.
    FITS = {65504.0: 65504.0, 65519.9: 65504.0, -65519.9: -65504.0, 1e-8: 0.0, 6e-8: 2.0**-24, 2.0**-25: 0.0}
    OVERFLOWS = (65520.0, -65520.0, 1e5, 3e38)

    def with_values(self, *values):
        weight = gaussian(15, SHAPE).astype(np.float64)
        weight[8, : len(values)] = values
        return encode(weight, "F32")

    def test_what_fits(self):
        self.write(fits=self.with_values(*self.FITS))
        tensors = self.converted("--format", "fp16")
        stored = decode(tensors["fits.weight"])
        self.assertEqual(tensors["fits.weight"].dtype, "F16")
        np.testing.assert_array_equal(stored[8, : len(self.FITS)], np.float32(list(self.FITS.values())))
        lost = int(((stored == 0) & (decode(self.with_values(*self.FITS)) != 0)).sum())
        self.assertGreaterEqual(lost, 2)
        self.assertEqual(self.layers["fits"]["underflow_to_zero"], lost)
        self.assertNotIn("underflow_to_zero", self.layers["good"])

    def test_policies(self):
        for value in self.OVERFLOWS:
            with self.subTest(value=value):
                weight = self.with_values(value)
                self.write(over=weight)
                for arguments in ((), ("--fp16-overflow", "keep")):
                    tensors = self.converted("--format", "fp16", *arguments)
                    self.assert_kept(tensors, "over", weight)
                    self.assertEqual(tensors["good.weight"].dtype, "F16")
                tensors = self.converted("--format", "fp16", "--fp16-overflow", "clamp")
                self.assertEqual(tensors["over.weight"], encode(np.clip(decode(weight), -65504, 65504), "F16"))
                self.assertEqual(self.layers["over"]["overflow_clamped"], 1)
                error = self.refused("--format", "fp16", "--fp16-overflow", "error")
                self.assertIn("over.weight", error)
                self.assertIn("--fp16-overflow", error)


if __name__ == "__main__":
    unittest.main()
