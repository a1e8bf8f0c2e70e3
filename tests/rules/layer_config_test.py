"""Layer configs and their template, through the program: what is stored, and what is refused."""

import json
import unittest

import checkpoint_file
from checkpoint_file import encode
from program import octavo
from rules_case import RulesTest
from stored_layer import stored_layer
from weight_sets import gaussian

Q, K, MLP, PROJ = "blocks.0.attn.q", "blocks.1.attn.k", "blocks.1.mlp", "final_proj"
SHAPES = {Q: (128, 256), K: (128, 256), MLP: (128, 192), PROJ: (64, 256)}


class LayerConfigTest(RulesTest):
    def setUp(self):
        super().setUp()
        self.weights = {name: encode(gaussian(seed, SHAPES[name]), "F32") for seed, name in enumerate(SHAPES)}
        tensors = {name + ".weight": weight for name, weight in self.weights.items()}
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        self.target = self.folder / "out.safetensors"

    def converted(self, *arguments):
        self.convert(self.source, self.target, "--force", *arguments)
        return checkpoint_file.read(self.target).tensors

    def marker_of(self, tensors, name):
        return json.loads(tensors[name + ".comfy_quant"].data)

    def assert_stored(self, tensors, name, spec):
        for key, tensor in stored_layer(name, self.weights[name], spec).items():
            self.assertEqual(tensors[key], tensor, key)

    def test_every_layer_gets_its_own_format_and_parameters(self):
        config = self.write_config({
            "_default": {"format": "int8_blockwise", "block_size": 64},
            "attn\\.(q|v)$": {"format": "int8_tensorwise:scale=tensor"},
            "^blocks\\.1\\.attn": {"format": "fp16"},
            "^final_proj$": {"format": "int8_axiswise", "full_precision_matrix_mult": True},
        })
        tensors = self.converted("--layer-config", config)
        self.assert_stored(tensors, Q, "int8_tensorwise:scale=tensor")
        self.assert_stored(tensors, K, "fp16")
        self.assertEqual(self.marker_of(tensors, MLP), {"format": "int8_blockwise", "group_size": 64})
        self.assertEqual(tensors[MLP + ".weight_scale"].shape, (2, 3))
        self.assertEqual(self.marker_of(tensors, PROJ),
                         {"format": "int8_axiswise", "full_precision_matrix_mult": True})
        self.assertEqual(tensors[PROJ + ".weight_scale"].shape, (64,))

    def test_the_entry_decides_about_full_precision(self):
        config = self.write_config({"attn": {"format": "int8_tensorwise", "full_precision_matrix_mult": False}})
        tensors = self.converted("--layer-config", config, "--full_precision_matrix_mult", "--model", "none")
        self.assertEqual(self.marker_of(tensors, Q), {"format": "int8_tensorwise"})
        self.assertTrue(self.marker_of(tensors, MLP)["full_precision_matrix_mult"])

    def test_scaling_mode_overrides_the_format(self):
        for mode, spec in (("tensor", "int8_tensorwise:scale=tensor"), ("row", "int8_tensorwise"),
                           ("axis", "int8_axiswise"), ("block", "int8_blockwise")):
            for entry in ({"format": "int8_convrot", "scaling_mode": mode}, {"scaling_mode": mode}):
                config = self.write_config({"q$": entry})
                self.assert_stored(self.converted("--layer-config", config), Q, spec)
        config = self.write_config(
            {"q$": {"format": "int8_blockwise:block_size=32", "scaling_mode": "block"}})
        self.assertEqual(self.marker_of(self.converted("--layer-config", config), Q)["group_size"], 32)

    def test_fullmatch_takes_whole_names(self):
        config = self.write_config({"blocks\\.1": {"skip": True}, "final_.*": {"skip": True}})
        searched = self.stored(self.source, "--layer-config", config)
        self.assertEqual([searched[name + ".weight"] for name in (Q, K, MLP, PROJ)],
                         ["int8_convrot", "keep", "keep", "keep"])
        whole = self.stored(self.source, "--layer-config", config, "--fullmatch", "--model", "none")
        self.assertEqual([whole[name + ".weight"] for name in (Q, K, MLP, PROJ)],
                         ["int8_convrot", "int8_convrot", "int8_convrot", "keep"])

    def test_simple_and_optimizer(self):
        config = self.write_config({"q$": {"format": "int8_tensorwise", "optimizer": "nearest"},
                                    "k$": {"format": "int8_tensorwise", "simple": True}})
        tensors = self.tensors(self.source, "--layer-config", config)
        self.assertEqual(tensors[Q + ".weight"]["optimizer"], "nearest")
        self.assertEqual(tensors[K + ".weight"]["optimizer"], "nearest")
        config = self.write_config({"q$": {"format": "int8_tensorwise",\
                                           "optimizer": "no_such"}})
        self.assertIn("no_such", self.refuse(3, "convert", self.source, "-o", self.target, "--layer-config", config))

    def test_what_is_wrong_is_refused_with_its_line(self):
        for text, words in (
            ('{\n "a": {"format": "fp16",}}', ("line 2", "JSON")),
            ('{\n "a": {"format": "int9_tensorwise"}}', ("line 2", "int9_tensorwise")),
            ('{\n\n "a": {"format": "int8_blockwise:edge=3"}}', ("line 3", "edge")),
            ('{\n "a": {}}', ("line 2", "no format")),
            ('{\n "_default": {"format": ""}}', ("line 2", "_default")),
            ('{"a": {"format": "fp16", "scaling_mode": "row"}}', ("line 1", "fp16 has no scales")),
            ('{\n "a(": {"skip": true}}', ("line 2", "'a('", "byte 2")),
            ('{"": {"skip": true}}', ("line 1", "empty")),
            ('["a"]', ("array",)),
        ):
            config = self.write_config(text)
            error = self.refuse(3, "convert", self.source, "-o", self.target, "--layer-config", config)
            for word in ("layers.json", *words):
                self.assertIn(word, error)
            self.assert_files("source.safetensors", "layers.json")
        self.assertIn("missing.json", self.refuse(
            5, "convert", self.source, "-o", self.target, "--layer-config", self.folder / "missing.json"))

    def test_keys_without_meaning_are_a_warning(self):
        config = self.write_config('{"q":\n {"format": "fp16", "simpel": 1, "_shape": [1]}}')
        said = self.plan(self.source, "--layer-config", config)[1]
        self.assertIn("line 2: 'simpel' means nothing and is left out; did you mean simple?", said)
        self.assertNotIn("_shape", said)

    def test_the_config_is_part_of_the_provenance_without_its_name(self):
        config = self.write_config({"q$": {"format": "fp16"}}, "secret_name.json")
        self.converted("--layer-config", config)
        text = checkpoint_file.read(self.target).metadata["octavo"]
        self.assertIn("layer_config_xxh3_128", text)
        self.assertNotIn("secret_name", text)


class TemplateTest(RulesTest):
    SHAPES = {
        "blocks.1.attn.weight": (128, 256), "blocks.10.attn.weight": (128, 256), "blocks.1.mlp(x).weight": (64, 64),
        "final_layer.weight": (64, 64), "norm.weight": (64,), "tiny.weight": (8, 8),
    }

    def setUp(self):
        super().setUp()
        self.source = self.write(self.SHAPES)
        self.options = ("--fallback", "fp16", "--custom-layers", "mlp", "--custom-type", "int8",
                        "--custom-scaling-mode", "tensor")
        self.template = self.folder / "source_layer_config_template.json"

    def create(self, *arguments):
        done = octavo("convert", self.source, "--dry-run", "create-template", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_it_says_what_the_options_would_do_and_is_accepted_as_it_is(self):
        self.create(*self.options)
        self.assert_files("source.safetensors", self.template.name)
        entries = json.loads(self.template.read_text())
        self.assertEqual(entries[r"^blocks\.1\.attn$"], {"format": "int8_convrot", "_shape": [128, 256]})
        self.assertEqual(entries[r"^blocks\.1\.mlp\(x\)$"]["format"], "int8_tensorwise:scale=tensor")
        self.assertEqual(entries["^final_layer$"]["format"], "fp16")
        self.assertNotIn("^tiny$", entries)
        self.assertNotIn("^norm$", entries)
        before = self.stored(self.source, *self.options)
        after = self.stored(self.source, "--layer-config", self.template, "--fallback", "fp16")
        self.assertEqual(before, after)
        self.assertEqual(self.plan(self.source, "--layer-config", self.template)[0]["warnings"], [])

    def test_kept_layers_are_skipped(self):
        self.create()
        entry = json.loads(self.template.read_text())["^final_layer$"]
        self.assertTrue(entry["skip"])
        stored = self.stored(self.source, "--layer-config", self.template)
        self.assertEqual(stored.pop("final_layer.weight"), "keep")
        before = self.stored(self.source)
        self.assertEqual(before.pop("final_layer.weight"), "high_precision")
        self.assertEqual(stored, before)

    def test_layers_that_are_quantized_again(self):
        once = self.folder / "once.safetensors"
        self.convert(self.source, once, "--format", "int8_tensorwise")
        template = self.folder / "once_layer_config_template.json"
        done = octavo("convert", once, "--requantize", "--dry-run", "create-template")
        self.assertEqual(done.returncode, 0, done.stderr)
        entries = json.loads(template.read_text())
        self.assertEqual(entries[r"^blocks\.1\.attn$"], {"format": "int8_convrot", "_shape": [128, 256]})
        stored = self.stored(once, "--requantize", "--layer-config", template)
        self.assertEqual(stored.pop("final_layer.weight"), "keep")  # as above
        before = self.stored(once, "--requantize")
        self.assertEqual(before.pop("final_layer.weight"), "high_precision")
        self.assertEqual(stored, before)

    def test_what_a_conversion_would_refuse(self):
        missing = self.folder / "missing.safetensors"
        for option in ("--merge-lora", "--calibration-data"):
            self.refuse(5, "convert", self.source, "--dry-run", "create-template", option, missing)
        self.assert_files("source.safetensors")

    def test_an_existing_template_is_not_replaced_without_force(self):
        self.template.write_text("mine")
        self.refuse(2, "convert", self.source, "--dry-run", "create-template")
        self.assertEqual(self.template.read_text(), "mine")
        self.create("--force")
        self.assertNotEqual(self.template.read_text(), "mine")
        self.assert_files("source.safetensors", self.template.name)


if __name__ == "__main__":
    unittest.main()
