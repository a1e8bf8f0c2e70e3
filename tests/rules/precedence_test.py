"""Which rule decides, where several could."""

import unittest

from rules_case import RulesTest

SHAPES = {
    "blocks.0.attn.q.weight": (256, 256),
    "blocks.0.mlp.weight": (256, 256),
    "blocks.1.attn.q.weight": (256, 256),
    "embed_tokens.weight": (256, 256),
    "small.weight": (96, 256),
    "bias_table": (256, 256),
    "blocks.0.norm.weight": (256,),
}
Q0, MLP, Q1, EMBED, SMALL = list(SHAPES)[:5]


class PrecedenceTest(RulesTest):
    def setUp(self):
        super().setUp()
        self.source = self.write(SHAPES)

    def test_without_filter_every_weight_by_its_key_is_a_layer(self):
        tensors = self.tensors(self.source, "--model", "none")
        self.assertEqual({name for name, tensor in tensors.items() if tensor["decision"] == "quantize"},
                         {Q0, MLP, Q1, EMBED, SMALL})
        self.assertEqual(tensors["bias_table"]["rule"], "not a layer")

    def test_excluded_layers_are_copied(self):
        tensors = self.tensors(self.source, "--model", "none", "--exclude-layers", r"blocks\.\d+\.attn")
        self.assertEqual(tensors[Q0]["decision"], "keep")
        self.assertEqual(tensors[Q0]["rule"], "--exclude-layers")
        self.assertEqual(tensors[MLP]["decision"], "quantize")

    def test_custom_wins_over_exclude_and_filter(self):
        tensors = self.tensors(self.source, "--model", "mistral", "--exclude-layers", "attn", "--custom-layers",
                               "attn|embed", "--custom-type", "fp16")
        for name in (Q0, Q1, EMBED):
            self.assertEqual((tensors[name]["format"], tensors[name]["rule"]), ("fp16", "--custom-layers"))
        self.assertEqual(tensors[MLP]["format"], "int8_convrot")

    def test_layer_config_wins_over_custom(self):
        config = self.write_config({r"^blocks\.0\.attn": {"skip": True}, "embed": {"format": "int8_axiswise"}})
        tensors = self.tensors(self.source, "--model", "mistral", "--layer-config", config, "--custom-layers", "attn",
                               "--custom-type", "fp16")
        self.assertEqual(tensors[Q0]["decision"], "keep")
        self.assertEqual(tensors[Q0]["rule"], r"--layer-config: ^blocks\.0\.attn")
        self.assertEqual(tensors[Q1]["format"], "fp16")
        self.assertEqual(tensors[EMBED]["format"], "int8_axiswise")

    def test_the_default_entry_turns_filters_and_the_other_rules_off(self):
        config = self.write_config({"_default": {"format": "int8_tensorwise"}})
        stored = self.stored(self.source, "--model", "mistral", "--layer-config", config, "--exclude-layers", "attn",
                             "--custom-layers", "mlp", "--custom-type", "fp16")
        self.assertEqual({stored[name] for name in (Q0, MLP, Q1, EMBED, SMALL)}, {"int8_tensorwise"})
        self.assertEqual(stored["blocks.0.norm.weight"], "keep")

    def test_what_is_left_out_stays_out(self):
        source = self.write({"decoder.block.0.weight": (64, 64), "encoder.block.0.weight": (64, 64)}, "t5.safetensors")
        config = self.write_config({"_default": {"format": "fp16"}})
        stored = self.stored(source, "--t5xxl", "--layer-config", config)
        self.assertEqual(stored, {"decoder.block.0.weight": "remove", "encoder.block.0.weight": "fp16"})

    def test_fallback_takes_what_is_excluded_and_no_more(self):
        tensors = self.tensors(self.source, "--model", "mistral", "--exclude-layers", "attn", "--fallback", "fp16")
        self.assertEqual(tensors[Q0]["format"], "fp16")
        self.assertEqual(tensors[Q0]["rule"], "--fallback")
        self.assertIn("--exclude-layers", tensors[Q0]["reason"])
        self.assertEqual(tensors[EMBED]["format"], "fp16")
        self.assertIn("embed_tokens", tensors[EMBED]["reason"])
        self.assertEqual(tensors[MLP]["format"], "int8_convrot")
        self.assertEqual(tensors["blocks.0.norm.weight"]["decision"], "keep")
        config = self.write_config({"mlp": {"skip": True}})
        self.assertEqual(self.stored(self.source, "--layer-config", config, "--fallback", "fp16")[MLP], "keep")

    def test_the_heuristic_comes_last_with_the_block_of_the_class(self):
        every = ("--model", "none", "--heur")
        self.assertEqual(self.tensors(self.source, *every)[SMALL]["rule"], "heuristic")
        self.assertEqual(self.stored(self.source, *every, "--block-size", "32")[SMALL], "int8_convrot")
        custom = ("--model", "none", "--custom-layers", "small|mlp", "--custom-type", "int8", "--custom-heur")
        stored = self.stored(self.source, *custom)
        self.assertEqual((stored[SMALL], stored[MLP]), ("keep", "int8_convrot"))
        self.assertEqual(self.stored(self.source, *custom, "--custom-block-size", "96")[MLP], "keep")
        config = self.write_config({"small": {"format": "fp16", "block_size": 96}, "mlp": {"format": "fp16"}})
        stored = self.stored(self.source, *every, "--layer-config", config)
        self.assertEqual((stored[SMALL], stored[MLP]), ("keep", "fp16"))

    def test_the_heuristic_leaves_lora_halves_alone(self):
        source = self.write({"a.lora_A.weight": (16, 64), "b.weight": (16, 64), "c.weight": (128, 128)}, "l.safetensors")
        stored = self.stored(source, "--model", "none", "--heur", "--format", "fp16")
        self.assertEqual(stored, {"a.lora_A.weight": "fp16", "b.weight": "keep", "c.weight": "fp16"})

    def test_a_pattern_without_match_is_a_warning_with_the_nearest_key(self):
        config = self.write_config({r"^blocks\.0\.atn\.q$": {"skip": True}})
        for arguments, near in (
            (("--exclude-layers", "blocks.0.mpl.weight"), MLP),
            (("--custom-layers", "embed_tokns.weight", "--custom-type", "fp16"), EMBED),
            (("--layer-config", config), "blocks.0.attn.q"),
        ):
            document, said = self.plan(self.source, *arguments)
            self.assertEqual(len(document["warnings"]), 1)
            self.assertIn("matches nothing", document["warnings"][0])
            self.assertIn(f"near it: {near}", document["warnings"][0])
            self.assertIn("warning:", said)
        self.assertEqual(self.plan(self.source, "--exclude-layers", "attn")[0]["warnings"], [])

    def test_rules_that_leave_nothing_are_an_error(self):
        target = self.folder / "out.safetensors"
        error = self.refuse(4, "convert", self.source, "-o", target, "--exclude-layers", ".")
        self.assertIn("nothing would be quantized", error)
        self.assertIn("--model none", error)
        none = self.refuse(4, "convert", self.source, "-o", target, "--exclude-layers", ".", "--model", "none")
        self.assertNotIn("--model none", none)
        config = self.write_config({"_default": {"skip": True}})
        self.refuse(4, "convert", self.source, "-o", target, "--layer-config", config)
        self.assert_files("source.safetensors", "layers.json")

    def test_wrong_patterns_are_usage_errors(self):
        target = self.folder / "out.safetensors"
        for arguments, words in (
            (("--exclude-layers", "blocks.(attn"), "at byte 12"),
            (("--exclude-layers", ""), "empty"),
            (("--custom-layers", "[", "--custom-type", "fp16"), "--custom-layers"),
            (("--custom-layers", "attn"), "--custom-type"),
            (("--custom-type", "fp16"), "--custom-layers"),
            (("--custom-layers", "attn", "--custom-type", "int9"), "int9"),
            (("--fallback", "int9"), "int9"),
        ):
            self.assertIn(words, self.refuse(2, "convert", self.source, "-o", target, *arguments))
        self.assert_files("source.safetensors")


if __name__ == "__main__":
    unittest.main()
