"""What convert and plan say where a program does not load what they make."""

import json
import math
import unittest

import checkpoint_file
from checkpoint_file import Tensor
from program import octavo
from rules_case import RulesTest

NOT_LOADED = "does not load the output"


class LoadingTest(RulesTest):
    def warnings(self, source, *arguments):
        document, stderr = self.plan(source, *arguments)
        found = [line for line in document["warnings"] if NOT_LOADED in line]
        for line in found:
            self.assertIn(line, stderr)
        return found

    def source_with(self, **dtypes):
        """A layer, and a tensor of each dtype."""
        shape = (4, 4)
        tensors = {"blocks.0.q.weight": Tensor("BF16", (256, 256), bytes(2 * 256 * 256))}
        for name, (dtype, size) in dtypes.items():
            tensors[name] = Tensor(dtype, shape, bytes(size * math.prod(shape)))
        return checkpoint_file.write(self.folder / "source.safetensors", tensors)

    def test_formats_that_comfyui_does_not_know(self):
        source = self.source_with()
        for arguments, name in ((("--format", "int8_blockwise"), "int8_blockwise"),
                                (("--scaling_mode", "block"), "int8_blockwise"),
                                (("--format", "int8_axiswise"), "int8_axiswise")):
            found = self.warnings(source, "--model", "none", *arguments)
            self.assertEqual(len(found), 1, arguments)
            self.assertTrue(found[0].startswith("ComfyUI "), found)
            self.assertIn(f"'{name}'", found[0])
        for arguments in ((), ("--format", "int8_tensorwise"), ("--format", "int8_tensorwise:scale=tensor"),
                          ("--format", "fp16")):
            self.assertEqual(self.warnings(source, "--model", "none", *arguments), [], arguments)

    def test_convert_says_it_too(self):
        source = self.source_with()
        done = octavo("convert", source, "--model", "none", "--format", "int8_axiswise", "--json", "-o",
                      self.folder / "out.safetensors")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count(NOT_LOADED), 1, done.stderr)
        self.assertEqual(len([line for line in json.loads(done.stdout)["warnings"] if NOT_LOADED in line]), 1)

    def test_one_layer_is_enough(self):
        source = self.write({"blocks.0.q.weight": (256, 256), "blocks.1.q.weight": (256, 256)})
        config = self.write_config({"blocks.1": {"format": "int8_axiswise"}})
        found = self.warnings(source, "--model", "none", "--layer-config", config)
        self.assertEqual(len(found), 1)
        self.assertIn("'blocks.1.q'", found[0])

    def test_kept_tensors_of_dtypes_that_readers_refuse(self):
        for dtype, size, programs in (("BOOL", 1, ["stable-diffusion.cpp"]), ("I16", 2, ["stable-diffusion.cpp"]),
                                      ("F8_E8M0", 1, ["ComfyUI", "stable-diffusion.cpp"]), ("I64", 8, []),
                                      ("U8", 1, [])):
            found = self.warnings(self.source_with(table=(dtype, size)), "--model", "none")
            self.assertEqual([line.split()[0] for line in found], programs, dtype)
            for line in found:
                self.assertIn("'table'", line)
                self.assertIn(dtype, line)

    def test_the_layout_of_diffusers(self):
        families = {
            "AuraFlow": ("joint_transformer_blocks.0.attn.to_q.weight",),
            "Flux": ("single_transformer_blocks.0.attn.to_q.weight",),
            "SD3": ("transformer_blocks.0.attn.add_q_proj.weight", "transformer_blocks.0.norm1_context.linear.weight"),
            "PixArt": ("transformer_blocks.0.attn1.to_q.weight", "pos_embed.proj.weight",
                       "adaln_single.emb.timestep_embedder.linear_1.weight"),
            "Z-Image": ("layers.0.attention.to_q.weight", "all_x_embedder.2-1.weight"),
            "UNet": ("down_blocks.0.resnets.0.time_emb_proj.weight",
                     "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"),
        }
        for family, names in families.items():
            source = self.write({name: (256, 256) for name in names})
            found = self.warnings(source, "--model", "none")
            self.assertEqual(len(found), 1, family)
            self.assertIn(f"{family} keys in diffusers' layout", found[0])
            self.assertEqual(self.warnings(source, "--model", "none", "--format", "fp16"), [], family)
        native = ("transformer_blocks.0.attn.add_q_proj.weight", "transformer_blocks.0.img_mod.1.weight")
        self.assertEqual(self.warnings(self.write({name: (256, 256) for name in native}), "--model", "none"), [])


if __name__ == "__main__":
    unittest.main()
