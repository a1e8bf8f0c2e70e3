"""A conversion with its page: many layers in blocks, names that HTML has to be careful with, and inputs."""

import json

import numpy as np

import checkpoint_file
from checkpoint_file import encode
from program import ConversionTest, octavo

ODD_NAME = 'blocks.0.<script>alert("x")</script>&amp;'


class PageTest(ConversionTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(31)
        tensors, inputs = {}, {}
        for block in range(12):
            for part, freedom in (("attn.qkv", 30), ("attn.proj", 5), ("mlp.fc1", 8), ("mlp.fc2", 3)):
                name = f"transformer_blocks.{block}.{part}"
                tensors[f"{name}.weight"] = encode(random.standard_t(freedom, (64, 256)) * 0.02, "BF16")
                x = random.standard_normal((16, 256))
                x[:, :2] *= 1 + 20 * (part == "mlp.fc2")
                inputs[f"{name}.inputs"] = encode(x, "F32")
        tensors[f"{ODD_NAME}.weight"] = encode(random.standard_normal((64, 256)), "BF16")
        self.source = checkpoint_file.write(self.folder / "model.safetensors", tensors)
        self.inputs = checkpoint_file.write(self.folder / "inputs.safetensors", inputs)
        self.target = self.folder / "model_int8.safetensors"
        self.convert(self.source, self.target, "--model", "none")
        self.page = self.folder / "quality.html"

    def write_page_of_a_conversion(self, *arguments):
        """Of a conversion that judges what it has written; returns the document of --json."""
        done = octavo("convert", self.source, "-o", self.target, "--force", "--model", "none", "--report-quality", "--json",
                      "--calibration-data", self.inputs, "--html", self.page, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def write_page(self, *arguments):
        done = octavo("compare", self.source, self.target, "--html", self.page, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.page.read_text()
