"""--scale-search: rows are never worse, usually better, and every instruction set comes to the same bytes."""

import unittest

import numpy as np

from checkpoint_file import decode, encode, read, write
from program import ConversionTest, environment, sha256, simd_targets
from stored_layer import rotated, rotated_in_double
from weight_sets import gaussian


class ScaleSearchTest(ConversionTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(3)
        self.weight = (random.standard_t(4, (200, 768)) * 0.02).astype(np.float32)
        self.weight[7] = 0
        self.source = write(self.folder / "in.safetensors", {"blocks.0.fc.weight": encode(self.weight, "F32")})

    def row_errors(self, format_, group, *arguments, env=None):
        target = self.folder / "out.safetensors"
        document = self.convert(self.source, target, "--model", "none", "--format", format_, "-f", *arguments, env=env)
        tensors = read(target).tensors
        codes = decode(tensors["blocks.0.fc.weight"]).astype(np.float64)
        turned = rotated_in_double(self.weight, group) if group else self.weight.astype(np.float64)
        error = codes * decode(tensors["blocks.0.fc.weight_scale"]).astype(np.float64) - turned
        return document["layers"][0], np.square(error).sum(axis=1)

    def best_of(self, group, candidates):
        """Each row's smallest error over absmax / 127 and the scales that the documentation says are tried: the middles of
        equal parts of 0.9 to 1.02 times it."""
        values = rotated(self.weight, group) if group else self.weight
        absmax = np.abs(values).max(axis=1, keepdims=True)
        factors = [1.0] + [0.9 + 0.12 * (i + 0.5) / candidates for i in range(candidates)]
        errors = []
        for factor in factors:
            scales = np.maximum(absmax / np.float32(127) * np.float32(factor), np.float32(1e-30))
            codes = np.clip(np.rint(values / scales), -127, 127).astype(np.float64)
            errors.append(np.square(codes * scales.astype(np.float64) - values).sum(axis=1))
        return np.min(errors, axis=0), np.argmin(errors, axis=0)

    def test_every_row_has_the_best_of_its_candidates(self):
        for format_, group in (("int8_tensorwise", 0), ("int8_convrot", 256)):
            _, before = self.row_errors(format_, group)
            layer, after = self.row_errors(format_, group, "--scale-search", 16)
            expected, place = self.best_of(group, 16)
            np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-12)
            self.assertTrue((after <= before * (1 + 1e-6)).all())
            self.assertEqual(((after < before * (1 - 1e-6)) != (place != 0)).sum(), 0, "rows with another scale are these")
            self.assertTrue((place != 0).any() and (place == 0).any(), "the case has both")
            gain = 10 * np.log10(before.sum() / after.sum())
            print(f"{format_}: {gain:.3f} dB, {(place != 0).sum()} of {len(place)} rows")
            signal = np.square(self.weight.astype(np.float64)).sum()
            self.assertAlmostEqual(layer["sqnr_db"], 10 * np.log10(signal / after.sum()), 2)

    def test_the_same_bytes_everywhere(self):
        hashes = set()
        for simd in simd_targets():
            self.row_errors("int8_convrot", 256, "--scale_search=9", env=environment(OCTAVO_SIMD=simd))
            hashes.add(sha256(self.folder / "out.safetensors"))
        self.row_errors("int8_convrot", 256, "--scale_search=9", "--lanes", 3)
        hashes.add(sha256(self.folder / "out.safetensors"))
        self.assertEqual(len(hashes), 1)

    def test_grids_with_other_scales_are_left_alone(self):
        write(self.source, {"blocks.0.fc.weight": encode(gaussian(1, (128, 256)), "F32")})
        hashes = set()
        for arguments in ((), ("--scale-search", 8)):
            target = self.folder / "out.safetensors"
            self.convert(self.source, target, "--model", "none", "--format", "int8_blockwise", "-f", *arguments)
            hashes.add(read(target).tensors["blocks.0.fc.weight"].data)
        self.assertEqual(len(hashes), 1)


if __name__ == "__main__":
    unittest.main()
