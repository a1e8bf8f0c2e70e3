"""Class A: one SHA-256, whatever the lanes, the instruction set, the size of a tile, and the name of the file, and each
time it is run."""

import itertools
import shutil
import unittest

import checkpoint_file
from program import ConversionTest, environment, sha256, simd_targets
from weight_sets import companions, dit_like, odd_layers

FORMATS = [
    "int8_convrot", "int8_tensorwise", "int8_tensorwise:scale=tensor", "int8_blockwise", "int8_axiswise",
    "float8_e4m3fn", "fp16",
]
THOROUGH = ("int8_convrot", "int8_blockwise")
LANES = (1, 2, 7)
TILE_SIZES = ("8M", "64M")


def all_settings():
    return itertools.product(LANES, simd_targets(), TILE_SIZES)


def some_settings():
    """Each value of each setting, in changing company."""
    simd = simd_targets()
    return [(LANES[i % 3], simd[(i + i // 3) % len(simd)], TILE_SIZES[i % 2]) for i in range(6)]


class ReproducibleTest(ConversionTest):
    def setUp(self):
        super().setUp()
        tensors = {base + ".weight": weight for base, weight in odd_layers(5).items()}
        # Larger than a small tile in every direction that is cut: 12 MiB of rows, and 9 MiB that is only copied.
        tensors["tall.weight"] = checkpoint_file.encode(dit_like(11, (3072, 1024)), "F32")
        tensors["wide.weight"] = checkpoint_file.encode(dit_like(12, (256, 4096)), "BF16")
        tensors["copied"] = checkpoint_file.encode(dit_like(13, (2304, 1024)).reshape(2, 1152, 1024), "F32")
        tensors.update(companions(3))
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors, {"key": "value"})

    def digest(self, spec, *arguments, source=None, **settings):
        target = self.folder / "out.safetensors"
        self.convert(source or self.source, target, "--format", spec, "--model", "none", "--force", *arguments,
                     env=environment(**settings))
        return sha256(target)

    def test_one_hash(self):
        for spec in FORMATS:
            first = self.digest(spec)
            for lanes, simd, tile in all_settings() if spec in THOROUGH else some_settings():
                with self.subTest(format=spec, lanes=lanes, simd=simd, tile=tile):
                    again = self.digest(spec, "--lanes", lanes, "--tile-size", tile, OCTAVO_SIMD=simd)
                    self.assertEqual(again, first)

    def test_one_hash_for_another_place(self):
        elsewhere = self.folder / "sub" / "other name.safetensors"
        elsewhere.parent.mkdir()
        shutil.copy(self.source, elsewhere)
        for spec in ("int8_convrot", "fp16"):
            self.assertEqual(self.digest(spec), self.digest(spec, source=elsewhere))

    def test_a_setting_that_decides_bytes_changes_the_hash(self):
        # So that equal hashes above mean something.
        hashes = {self.digest(spec) for spec in FORMATS}
        self.assertEqual(len(hashes), len(FORMATS))


if __name__ == "__main__":
    unittest.main()
