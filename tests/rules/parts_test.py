"""All-in-one files: each part is judged by the filter that recognises it, and what a loader needs plain stays so."""

import json
import unittest

from program import octavo
from rules_case import RulesTest

FLUX2 = {
    "double_stream_modulation_img.lin.weight": (96, 32),
    "double_stream_modulation_txt.lin.weight": (96, 32),
    "single_stream_modulation.lin.weight": (96, 32),
    "img_in.weight": (32, 32),
    "txt_in.weight": (32, 32),
    "time_in.in_layer.weight": (32, 32),
    "double_blocks.0.img_attn.qkv.weight": (96, 32),
    "single_blocks.0.linear1.weight": (96, 32),
}
VAE = {"vae.decoder.mid.attn_1.q.weight": (64, 64), "vae.decoder.conv_in.weight": (8, 4, 3, 3)}
CLIP = {"text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (64, 64)}
NETWORK = "model.diffusion_model."


def below(prefix, shapes):
    return {prefix + name: shape for name, shape in shapes.items()}


class PartsTest(RulesTest):
    def setUp(self):
        super().setUp()
        self.source = self.write({**below(NETWORK, FLUX2), **VAE, **CLIP})

    def test_every_part_is_named_with_its_reason(self):
        models = self.plan(self.source)[0]["models"]
        self.assertEqual(models, [
            "flux2: 8 of 8 signature keys (model.diffusion_model.)",
            "text encoder (text_encoders.clip_l.transformer.): stays as it is, no filter recognises it",
            "VAE (vae.): stays as it is, its loader expects plain weights",
        ])

    def test_only_the_network_is_quantized(self):
        stored = self.stored(self.source)
        self.assertEqual({name for name, what in stored.items() if what.startswith("int8")},
                         {NETWORK + "double_blocks.0.img_attn.qkv.weight", NETWORK + "single_blocks.0.linear1.weight"})
        self.assertEqual(stored["vae.decoder.mid.attn_1.q.weight"], "keep")

    def test_a_filter_that_leaves_parts_out_does_so_in_its_own_part(self):
        """t5xxl leaves `decoder` out; the VAE's decoder is not its business."""
        t5 = {
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (32, 64),
            "encoder.block.0.layer.1.DenseReluDense.wi_1.weight": (10240, 4096),
            "encoder.final_layer_norm.weight": (4096,),
            "encoder.block.0.layer.0.SelfAttention.q.weight": (64, 64),
            "encoder.block.0.layer.1.DenseReluDense.wo.weight": (64, 64),
            "lm_head.weight": (64, 64),
        }
        prefix = "text_encoders.t5xxl.transformer."
        source = self.write({**below(NETWORK, FLUX2), **VAE, **below(prefix, t5)}, "all.safetensors")
        models = self.plan(source)[0]["models"]
        self.assertIn(f"t5xxl: 5 of 5 signature keys ({prefix})", models)
        self.assertIn("flux2: 8 of 8 signature keys (model.diffusion_model.)", models)
        for arguments in ((), ("--model", "t5xxl")):
            stored = self.stored(source, *arguments)
            self.assertEqual(stored[prefix + "lm_head.weight"], "remove")
            self.assertEqual(stored[prefix + "encoder.block.0.layer.0.SelfAttention.q.weight"], "int8_convrot")
            self.assertEqual(stored["vae.decoder.conv_in.weight"], "keep")
            self.assertEqual(stored["vae.decoder.mid.attn_1.q.weight"], "keep")

    def test_fallback_leaves_such_parts_alone_and_a_config_does_not(self):
        stored = self.stored(self.source, "--fallback", "fp16")
        self.assertEqual(stored["vae.decoder.mid.attn_1.q.weight"], "keep")
        self.assertEqual(stored[next(iter(CLIP))], "keep")
        self.assertEqual(stored[NETWORK + "img_in.weight"], "fp16")
        config = self.write_config({"^vae": {"format": "fp16"}})
        self.assertEqual(self.stored(self.source, "--layer-config", config)["vae.decoder.mid.attn_1.q.weight"], "fp16")

    def test_none_takes_every_layer_of_every_part(self):
        stored = self.stored(self.source, "--model", "none")
        self.assertEqual(stored["vae.decoder.mid.attn_1.q.weight"], "int8_convrot")
        self.assertEqual(stored[next(iter(CLIP))], "int8_convrot")
        self.assertEqual(stored["vae.decoder.conv_in.weight"], "keep")

    def test_an_unknown_network_is_generic_and_says_so(self):
        source = self.write({**below(NETWORK, {f"layers.{i}.weight": (64, 64) for i in range(6)}), **VAE}, "u.safetensors")
        self.assertIn("generic: no filter recognised this checkpoint (model.diffusion_model.)",
                      self.plan(source)[0]["models"])

    def test_a_vae_alone_has_nothing_to_quantize(self):
        source = self.write(VAE, "vae.safetensors")
        self.assertIn("nothing would be quantized", self.refuse(4, "convert", source))
        # What shows the reasons shows them here too.
        done = octavo("plan", source)
        self.assertEqual(done.returncode, 4)
        self.assertIn("vae.decoder.conv_in.weight", done.stdout)
        done = octavo("plan", source, "--json")
        self.assertEqual(done.returncode, 4)
        document = json.loads(done.stdout)
        self.assertEqual({tensor["decision"] for tensor in document["tensors"]}, {"keep"})
        self.assertEqual(document["error"]["code"], 4)


if __name__ == "__main__":
    unittest.main()
