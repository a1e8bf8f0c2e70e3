"""Filters at work in a plan: several together, one found by itself, one built outside the tree, and a refusal."""

import json
import os
import unittest

import checkpoint_file
from checkpoint_file import Tensor
from program import ConversionTest, octavo

# Key names of Z-Image, small but for the one size that it is known by.
ZIMAGE = {
    "x_embedder.weight": (64, 16),
    "cap_embedder.0.weight": (16,),
    "cap_embedder.1.weight": (3840, 16),
    "noise_refiner.0.attention.qkv.weight": (48, 16),
    "noise_refiner.0.attention.k_norm.weight": (16,),
    "context_refiner.0.attention.qkv.weight": (48, 16),
    "layers.0.attention.qkv.weight": (48, 16),
    "layers.0.feed_forward.w1.weight": (48, 16),
    "layers.0.adaLN_modulation.0.weight": (48, 16),
    "final_layer.linear.weight": (16, 16),
}


class CombinationTest(ConversionTest):
    def write(self, shapes):
        tensors = {}
        for name, shape in shapes.items():
            size = 2
            for extent in shape:
                size *= extent
            tensors[name] = Tensor("BF16", shape, bytes(size))
        return checkpoint_file.write(self.folder / "source.safetensors", tensors)

    def plan(self, source, *arguments):
        done = octavo("plan", source, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        return document, {tensor["name"]: tensor["decision"] for tensor in document["tensors"]}

    def test_keeping_wins_over_quantizing_whatever_the_order(self):
        source = self.write(ZIMAGE)
        alone = self.plan(source, "--model", "zimage")[1]
        self.assertEqual(alone["noise_refiner.0.attention.qkv.weight"], "quantize")
        self.assertEqual(alone["x_embedder.weight"], "high_precision")
        refiner = self.plan(source, "--model", "zimage_refiner")[1]
        self.assertEqual(refiner["noise_refiner.0.attention.qkv.weight"], "high_precision")
        self.assertEqual(refiner["x_embedder.weight"], "quantize")
        for order in (("zimage", "zimage_refiner"), ("zimage_refiner", "zimage")):
            both = self.plan(source, "--model", order[0], "--model", order[1])[1]
            self.assertEqual(both["noise_refiner.0.attention.qkv.weight"], "high_precision")
            self.assertEqual(both["context_refiner.0.attention.qkv.weight"], "high_precision")
            self.assertEqual(both["x_embedder.weight"], "high_precision")
            self.assertEqual(both["noise_refiner.0.attention.k_norm.weight"], "keep")
            self.assertEqual(both["layers.0.attention.qkv.weight"], "quantize")

    def test_leaving_out_wins_over_keeping(self):
        source = self.write({"decoder.final_layer.weight": (16, 16), "decoder.norm.weight": (16,), "a.weight": (16, 16)})
        decisions = self.plan(source, "--model", "zimage", "--model", "t5xxl")[1]
        self.assertEqual(decisions["decoder.final_layer.weight"], "remove")
        self.assertEqual(decisions["decoder.norm.weight"], "remove")
        self.assertEqual(decisions["a.weight"], "quantize")

    def test_the_filter_is_found_and_says_why(self):
        document, decisions = self.plan(self.write(ZIMAGE))
        self.assertEqual(document["models"], ["zimage: 6 of 6 signature keys"])
        self.assertEqual(decisions["final_layer.linear.weight"], "high_precision")
        document, _ = self.plan(self.write({"unheard.of.weight": (64, 64)}))
        self.assertTrue(document["models"][0].startswith("generic: "))

    def test_a_layout_that_would_not_load_is_refused(self):
        source = self.write({"all_x_embedder.2-1.weight": (16, 16), "layers.0.attention.to_q.weight": (16, 16)})
        self.assertIn("diffusers layout", self.refuse(4, "plan", source))

    def test_a_filter_built_outside_the_tree_takes_part(self):
        source = self.write({
            "net.nest.in.weight": (512, 64), "net.song.weight": (16, 16), "net.wings.0.feather.qkv.weight": (48, 16),
        })
        document, decisions = self.plan(source, "--plugin-path", os.environ["OCTAVO_TEST_NEW_ARCHITECTURE"])
        self.assertEqual(document["models"], ["starling: 3 of 3 signature keys"])
        self.assertEqual(decisions["net.song.weight"], "high_precision")
        self.assertEqual(decisions["net.wings.0.feather.qkv.weight"], "quantize")


if __name__ == "__main__":
    unittest.main()
