"""LibTorch (450 MB) is mapped by conversions that use it, and by no other."""

import unittest

from checkpoint_file import encode, write
from program import ConversionTest, environment, octavo
from weight_sets import gaussian


class LibraryTest(ConversionTest):
    def loads_torch(self, *arguments):
        done = octavo(*arguments, env=environment(LD_DEBUG="files"))
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        self.assertIn("libc.so.6", done.stderr)  # the loader does speak
        return "libtorch_cpu.so" in done.stderr

    def test_only_where_it_is_used(self):
        source = write(self.folder / "in.safetensors", {"blocks.0.fc.weight": encode(gaussian(1, (128, 256)), "BF16")})
        convert = ("convert", source, "-o", self.folder / "out.safetensors", "-f", "--model", "none")
        self.assertFalse(self.loads_torch(*convert))
        self.assertFalse(self.loads_torch(*convert, "--scale-search", 4))
        self.assertFalse(self.loads_torch("plugins"))
        self.assertFalse(self.loads_torch("verify", self.folder / "out.safetensors"))
        self.assertTrue(self.loads_torch(*convert, "--optimizer", "quip"))


if __name__ == "__main__":
    unittest.main()
