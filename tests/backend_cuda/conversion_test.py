"""Whole conversions on a GPU: the file is the CPU's, byte for byte, for every format and any number of lanes, on weights
with heavy tails and on random bit patterns; a device that breaks in the middle of a run, or has no memory left."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor
from gpu import require_gpu
from program import ConversionTest, environment, octavo, sha256

FORMATS = [
    "int8_convrot", "int8_convrot:group=64", "int8_convrot:group=16", "int8_tensorwise",
    "int8_tensorwise:scale=tensor", "int8_blockwise", "int8_axiswise", "fp16", "float8_e4m3fn",
]
SHAPES = [(384, 1024), (77, 768), (1000, 1344), (129, 1040), (5, 4096), (3, 15360), (640, 1152), (1, 256), (33, 255)]
# Bits of the exponent below that of 2^118, the limit of a rotated grid.
BELOW_LIMIT = {"BF16": (np.uint16, 7, 118 + 127), "F32": (np.uint32, 23, 118 + 127), "F16": (np.uint16, 10, 31)}


def heavy_tails(random, shape, dtype):
    values = random.standard_t(2, shape) * 0.02 * np.exp(random.standard_normal((shape[0], 1)))
    return checkpoint_file.encode(np.clip(values, -6e4, 6e4).astype(np.float32), dtype)


def any_bits(random, shape, dtype):
    """Random finite bit patterns below 2^118, subnormals among them."""
    kind, mantissa, limit = BELOW_LIMIT[dtype]
    exponents = random.integers(0, limit, shape).astype(kind)
    rest = random.integers(0, 1 << mantissa, shape).astype(kind)
    signs = random.integers(0, 2, shape).astype(kind) << kind(np.dtype(kind).itemsize * 8 - 1)
    return Tensor(dtype, shape, (signs | exponents << kind(mantissa) | rest).tobytes())


def ties(random, shape, dtype):
    """Every value is a half of an integer times a power of two: all of them ties of a scale of 1."""
    values = (random.integers(-253, 254, shape) / 2).astype(np.float32)
    values[:, 0] = 127
    return checkpoint_file.encode(values, dtype)


KINDS = {"heavy_tails": heavy_tails, "any_bits": any_bits, "ties": ties}


class ConversionOnGpu(ConversionTest):
    def source(self, kind, dtype):
        random = np.random.default_rng([len(kind), len(dtype)])
        tensors = {
            f"layer{i}.weight": KINDS[kind](random, shape, dtype) for i, shape in enumerate(SHAPES)}
        return checkpoint_file.write(self.folder / f"{kind}_{dtype}.safetensors", tensors)

    def digest(self, source, device, *arguments, **settings):
        target = self.folder / "out.safetensors"
        document = self.convert(source, target, "--model", "none", "--force", *arguments,
                                env=environment(OCTAVO_DEVICE=device, **settings))
        return sha256(target), document

    def test_the_same_bytes_as_on_the_cpu(self):
        for kind in KINDS:
            for dtype in ("BF16", "F16", "F32"):
                source = self.source(kind, dtype)
                for spec in FORMATS:
                    with self.subTest(weights=kind, dtype=dtype, format=spec):
                        options = ["--format", spec, "--fp16-overflow", "clamp"]
                        on_cpu, _ = self.digest(source, "cpu", *options)
                        on_gpu, document = self.digest(source, "cuda", *options)
                        self.assertEqual(on_gpu, on_cpu)
                        self.assertEqual(document["device"], "cuda")

    def test_lanes_and_tiles_change_nothing(self):
        source = self.source("heavy_tails", "BF16")
        expected, _ = self.digest(source, "cpu")
        for options in (["--lanes", "1"], ["--lanes", "5", "--tile-size", "64KiB"], ["--tile-size", "1MiB"]):
            with self.subTest(options=options):
                self.assertEqual(self.digest(source, "cuda", *options)[0], expected)

    def test_policies_that_read_the_data_first(self):
        for kind, *options in (("heavy_tails", "--format", "fp16", "--fp16-overflow", "keep"),
                               ("any_bits", "--nonfinite", "keep")):
            source = self.source(kind, "F32")
            with self.subTest(options=options):
                self.assertEqual(self.digest(source, "cuda", *options)[0], self.digest(source, "cpu", *options)[0])

    def test_a_device_that_breaks(self):
        source = self.source("heavy_tails", "BF16")
        for spec in ("int8_convrot", "int8_tensorwise:scale=tensor", "int8_blockwise"):
            options = ["--format", spec, "--tile-size", "64KiB"]
            expected, _ = self.digest(source, "cpu", *options)
            for operation in (1, 9, 40):
                with self.subTest(format=spec, operation=operation):
                    digest, document = self.digest(source, "auto", *options, OCTAVO_CUDA_BREAK_AFTER=operation)
                    self.assertEqual(digest, expected)
                    said = [note for note in document["notes"] if note.startswith("cpu carries on without cuda: ")]
                    self.assertEqual(len(said), 1, document["notes"])

    def test_a_device_that_breaks_and_was_asked_for(self):
        source = self.source("heavy_tails", "BF16")
        target = self.folder / "broken.safetensors"
        message = self.refuse(6, "convert", source, "-o", target, "--model", "none", "--tile-size", "64KiB",
                              env=environment(OCTAVO_DEVICE="cuda", OCTAVO_CUDA_BREAK_AFTER=5))
        self.assertIn("CUDA", message)
        self.assert_files("heavy_tails_BF16.safetensors")

    def test_doctor_finds_every_operation_right(self):
        done = octavo("doctor", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        checks = [backend for backend in json.loads(done.stdout)["backends"] if backend["id"] == "cuda"]
        self.assertTrue(checks)
        for check in checks:
            outcomes = {operation["name"]: operation["outcome"] for operation in check["operations"]}
            self.assertEqual(set(outcomes.values()), {"right"}, outcomes)


if __name__ == "__main__":
    require_gpu()
    unittest.main()
