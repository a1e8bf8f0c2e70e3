"""Files that a command writes beside its main work (pages, layer configs, logs): none of them takes the place of a file
that the command reads, of its output, or of somebody's file beside it."""

import json
import unittest

import checkpoint_file
from checkpoint_file import encode
from program import ConversionTest, octavo, sha256
from weight_sets import gaussian


class SideFilesTest(ConversionTest):
    def setUp(self):
        super().setUp()
        tensors = {f"layer{i}.weight": encode(gaussian(i, (32, 64)), "F32") for i in range(2)}
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        self.target = self.folder / "out.safetensors"
        self.digest = sha256(self.source)

    def tearDown(self):
        self.assertEqual(sha256(self.source), self.digest, "the input was changed")

    def convert_arguments(self, *more):
        return ("convert", self.source, "-o", self.target, "--model", "none", *more)

    def test_a_page_never_replaces_an_input_or_the_output(self):
        for page in (self.source, self.target):
            self.refuse(2, *self.convert_arguments("--html", page, "--force"))
            self.assertFalse(self.target.exists())
        self.assertEqual(octavo(*self.convert_arguments()).returncode, 0)
        converted = sha256(self.target)
        for page in (self.source, self.target):
            self.refuse(2, "compare", self.source, self.target, "--html", page, "--force")
        self.assertEqual(sha256(self.target), converted)

    def test_a_page_does_not_lie_among_shards(self):
        folder = self.folder / "shards"
        self.refuse(2, "convert", self.source, "-o", folder, "--shards", "2", "--model", "none", "--html", folder / "page.html")
        self.assertFalse(folder.exists())

    def test_a_page_is_refused_before_anything_is_written(self):
        existing = self.folder / "page.html"
        existing.write_text("mine")
        self.refuse(2, *self.convert_arguments("--html", existing))
        self.refuse(5, *self.convert_arguments("--html", self.folder / "missing" / "page.html"))
        self.assertFalse(self.target.exists())
        self.assertEqual(existing.read_text(), "mine")

    def test_a_template_never_replaces_the_checkpoint_or_a_neighbour(self):
        self.refuse(2, "convert", self.source, "--model", "none", "--dry-run", "create-template", "-o", self.source, "--force")
        config = self.folder / "layers.json"
        neighbour = self.folder / "layers.json.part"
        neighbour.write_text("precious")
        done = octavo("convert", self.source, "--model", "none", "--dry-run", "create-template", "-o", config)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(neighbour.read_text(), "precious")
        self.assertIn(r"^layer0$", json.loads(config.read_text()))

    def test_an_output_never_replaces_the_layer_config(self):
        config = self.folder / "layers.json"
        config.write_text('{"layer0": {"skip": true}}')
        self.refuse(2, "convert", self.source, "--layer-config", config, "-o", config, "--force", "--model", "none")
        self.assertEqual(config.read_text(), '{"layer0": {"skip": true}}')

    def test_a_log_is_appended_to_text_only(self):
        self.refuse(2, *self.convert_arguments("--log-file", self.source))
        log = self.folder / "log"
        log.write_text("before\n")
        self.assertEqual(octavo(*self.convert_arguments("--log-file", log)).returncode, 0)
        self.assertTrue(log.read_text().startswith("before\n"))

    def test_standard_output_holds_one_document(self):
        done = octavo(*self.convert_arguments("--html", self.folder / "page.html", "--json"))
        self.assertEqual(json.loads(done.stdout)["schema"], "octavo.convert/1")


if __name__ == "__main__":
    unittest.main()
