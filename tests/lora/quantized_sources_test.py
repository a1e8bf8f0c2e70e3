"""Sources that hold quantized layers: dequantized first, against float64."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, decode, encode, f8_values
from lora_files import generator, lora, stored, values
from program import ConversionTest
from stored_layer import hadamard, stored_layer


def marker(text):
    return Tensor("U8", (len(text),), text.encode())


def f8(random, rows, cols, scale):
    """A scaled FP8 weight, its scale, and the values that both stand for."""
    codes = encode(random.uniform(-400, 400, (rows, cols)), "F8_E4M3")
    table = f8_values("F8_E4M3")[np.frombuffer(codes.data, np.uint8)].reshape(rows, cols)
    return codes, encode(np.float32(scale), "F32"), table * np.float64(np.float32(scale))


class QuantizedSourcesTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.random = generator(9)

    def write(self, tensors, metadata=None):
        return checkpoint_file.write(self.folder / "source.safetensors", tensors, metadata)

    def converted(self, source, *arguments, model="none", spec="fp16"):
        path = self.folder / "out.safetensors"
        document = self.convert(source, path, "--model", model, "--format", spec, "--force", *arguments)
        return document, path

    def assert_halves(self, path, key, expected):
        """Stored as F16: within half a step of the expected values."""
        actual = stored(path, "")[key]
        self.assertTrue((np.abs(actual - expected) <= 2**-11 * np.abs(expected) * 1.001 + 2**-24).all())

    def test_scaled_fp8_of_both_key_schemes(self):
        codes, scale, expected = f8(self.random, 128, 64, 0.003)
        mark = marker('{"format": "float8_e4m3fn"}')
        schemes = {
            "marker": {"a.weight_scale": scale, "a.comfy_quant": mark, "a.input_scale": scale},
            "unmarked": {"a.weight_scale": scale},
            "legacy": {"a.scale_weight": scale, "a.scale_input": scale,
                       "scaled_fp8": Tensor("F8_E4M3", (0,), b"")},
        }
        for name, companions in schemes.items():
            with self.subTest(name):
                source = self.write({"a.weight": codes, "n.bias": encode(np.ones(4), "F32"), **companions})
                _, path = self.converted(source)
                self.assertEqual(set(checkpoint_file.read(path).tensors), {"a.weight", "n.bias"})
                self.assert_halves(path, "a.weight", expected)

    def test_scaled_fp8_of_the_metadata(self):
        codes, scale, expected = f8(self.random, 128, 64, 0.003)
        metadata = {"_quantization_metadata": json.dumps({"layers": {"a": {"format": "float8_e4m3fn"}}})}
        _, path = self.converted(self.write({"a.weight": codes, "a.weight_scale": scale}, metadata))
        self.assert_halves(path, "a.weight", expected)
        self.assertNotIn("_quantization_metadata", checkpoint_file.read(path).metadata)

    def test_a_layer_that_stays_keeps_its_parts(self):
        """The filter keeps what has fewer than 64 rows."""
        small, scale, _ = f8(self.random, 48, 64, 0.003)
        large, _, _ = f8(self.random, 128, 64, 0.003)
        tensors = {"s.weight": small, "s.scale_weight": scale, "l.weight": large, "l.scale_weight": scale,
                   "scaled_fp8": Tensor("F8_E4M3", (0,), b"")}
        _, path = self.converted(self.write(tensors), model="generic")
        after = checkpoint_file.read(path).tensors
        self.assertEqual(set(after), {"s.weight", "s.scale_weight", "l.weight", "scaled_fp8"})
        self.assertEqual(after["s.weight"], tensors["s.weight"])

    def test_int8_asks(self):
        weight = encode(values(self.random, 128, 256), "F32")
        for spec in ("int8_tensorwise", "int8_tensorwise:scale=tensor", "int8_convrot", "int8_blockwise"):
            with self.subTest(spec):
                tensors = stored_layer("a", weight, spec)
                source = self.write(tensors)
                said = self.refuse(4, "convert", source, "-o", self.folder / "out.safetensors", "--format", "fp16")
                self.assertIn("--requantize", said)
                _, path = self.converted(source, "--requantize")
                codes, scale = (decode(tensors["a.weight"]).astype(np.float64),
                                decode(tensors["a.weight_scale"]).astype(np.float64))
                if spec == "int8_blockwise":
                    scale = np.kron(scale, np.ones((128, 128)))
                expected = codes * scale
                if spec == "int8_convrot":
                    expected = expected @ hadamard(256)
                actual = stored(path, "")["a.weight"]
                self.assertLessEqual(np.abs(actual - expected).max(), 2**-11 * np.abs(expected).max())
                self.assertEqual(set(checkpoint_file.read(path).tensors), {"a.weight"})

    def test_the_same_codes_again(self):
        """Dequantized and quantized on the same grid, nothing changes."""
        tensors = stored_layer("a", encode(values(self.random, 128, 96), "F32"), "int8_tensorwise")
        source = self.write(tensors)
        _, path = self.converted(source, "--requantize", "--tile-size", "4K", spec="int8_tensorwise")
        after = checkpoint_file.read(path).tensors
        self.assertEqual(after["a.weight"], tensors["a.weight"])
        np.testing.assert_allclose(decode(after["a.weight_scale"]), decode(tensors["a.weight_scale"]), rtol=3e-7)

    def test_small_tiles_of_a_block_grid(self):
        tensors = stored_layer("a", encode(values(self.random, 384, 256), "F32"), "int8_blockwise")
        _, whole = self.converted(self.write(tensors), "--requantize", spec="int8_tensorwise")
        expected = whole.read_bytes()
        _, path = self.converted(self.write(tensors), "--requantize", "--tile-size", "4K", spec="int8_tensorwise")
        self.assertEqual(path.read_bytes(), expected)

    def test_a_lora_is_merged_into_dequantized_weights(self):
        codes, scale, expected = f8(self.random, 128, 64, 0.003)
        source = self.write({"a.weight": codes, "a.weight_scale": scale})
        down, up = values(self.random, 4, 64, scale=0.3), values(self.random, 128, 4, scale=0.3)
        file = lora(self.folder / "lora.safetensors", {"a.lora_A.weight": down, "a.lora_B.weight": up})
        _, path = self.converted(source, "--merge-lora", file)
        self.assert_halves(path, "a.weight", expected + up.astype(np.float64) @ down.astype(np.float64))

    def test_a_lora_for_a_layer_that_stays_quantized(self):
        tensors = stored_layer("a", encode(values(self.random, 128, 96), "F32"), "int8_tensorwise")
        source = self.write({**tensors, "b.weight": encode(values(self.random, 128, 128), "F32")})
        file = lora(
            self.folder / "lora.safetensors",
            {"a.lora_A": values(self.random, 2, 96), "a.lora_B": values(self.random, 128, 2)})
        arguments = ("convert", source, "-o", self.folder / "out.safetensors", "--model", "none", "--merge-lora", file)
        self.assertIn("--requantize", self.refuse(3, *arguments))
        self.assert_files("source.safetensors", "lora.safetensors")

    def test_float8_is_a_format_too(self):
        weight = encode(values(self.random, 128, 96), "F32")
        _, path = self.converted(self.write({"a.weight": weight}), spec="float8_e4m3fn")
        after = checkpoint_file.read(path).tensors
        self.assertEqual(after["a.comfy_quant"].data, b'{"format": "float8_e4m3fn"}')
        self.assertEqual((after["a.weight_scale"].dtype, after["a.weight_scale"].shape), ("F32", ()))
        source = decode(weight)
        scale = np.abs(source).max() / np.float32(448)
        self.assertEqual(decode(after["a.weight_scale"]), scale)
        self.assertEqual(after["a.weight"], encode(source / scale, "F8_E4M3"))


if __name__ == "__main__":
    unittest.main()
