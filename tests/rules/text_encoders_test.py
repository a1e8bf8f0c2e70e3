"""Text encoders, and files that hold everything: what is left out, what stays as it is to the byte, and what a table
looks like where it is quantized after all."""

import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, encode
from rules_case import RulesTest
from stored_layer import stored_layer

T5 = "text_encoders.t5xxl.transformer."
CLIP = "text_encoders.clip_l.transformer.text_model."


def weight(seed, *shape):
    return encode(np.random.default_rng(seed).standard_normal(shape) * 0.03, "BF16")


def encoder(prefix=""):
    return {
        prefix + "shared.weight": weight(1, 320, 64),
        prefix + "encoder.embed_tokens.weight": weight(2, 320, 64),
        prefix + "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": weight(3, 32, 64),
        prefix + "encoder.block.0.layer.0.SelfAttention.q.weight": weight(4, 64, 64),
        prefix + "encoder.block.0.layer.0.layer_norm.weight": weight(5, 64),
        prefix + "encoder.block.0.layer.1.DenseReluDense.wi_1.weight": weight(6, 160, 64),
        prefix + "encoder.block.0.layer.1.DenseReluDense.wo.weight": weight(7, 64, 160),
        prefix + "encoder.final_layer_norm.weight": weight(8, 64),
    }


def decoder(prefix=""):
    """Of every rank: what is left out need not be a layer."""
    return {
        prefix + "decoder.block.0.layer.1.EncDecAttention.k.weight": weight(9, 64, 64),
        prefix + "decoder.final_layer_norm.weight": weight(10, 64),
        prefix + "decoder.embed_tokens.weight": weight(11, 320, 64),
        prefix + "decoder.step": Tensor("I64", (), bytes(8)),
        prefix + "lm_head.weight": weight(12, 320, 64),
    }


LAYERS = ["SelfAttention.q", "DenseReluDense.wi_1", "DenseReluDense.wo"]


class TextEncodersTest(RulesTest):
    def run_on(self, tensors, *arguments, metadata=None):
        source = checkpoint_file.write(self.folder / "source.safetensors", tensors, metadata)
        target = self.folder / "out.safetensors"
        document = self.convert(source, target, "--force", *arguments)
        return checkpoint_file.read(target), document

    def assert_unchanged(self, stored, tensors):
        for name, tensor in tensors.items():
            self.assertEqual(stored.tensors.get(name), tensor, name)

    def test_t5_without_its_decoder(self):
        spiece = {"spiece_model": Tensor("U8", (999,), np.random.default_rng(0).bytes(999))}
        tensors = {**encoder(), **decoder(), **spiece}
        stored, document = self.run_on(tensors, "--t5xxl")
        for name in decoder():
            self.assertNotIn(name, stored.tensors)
        removed = {tensor["name"] for tensor in document["tensors"] if tensor["decision"] == "remove"}
        self.assertEqual(removed, set(decoder()))
        layers = [name for name in encoder() if any(layer in name for layer in LAYERS)]
        for name in layers:
            base = name.removesuffix(".weight")
            for key, tensor in stored_layer(base, tensors[name], "int8_convrot").items():
                self.assertEqual(stored.tensors[key], tensor, key)
        self.assert_unchanged(stored, {name: tensor for name, tensor in encoder().items() if name not in layers})
        self.assert_unchanged(stored, spiece)

    def test_t5_is_recognised_with_its_decoder(self):
        """And what is left out of it is said, with its size."""
        big = {"encoder.block.0.layer.1.DenseReluDense.wi_1.weight": Tensor("BF16", (10240, 4096), bytes(2 * 10240 * 4096))}
        tensors = {**encoder(), **decoder(), **big}
        stored, document = self.run_on(tensors)
        self.assertTrue(document["models"][0].startswith("t5xxl: "), document["models"])
        self.assertFalse(set(decoder()) & set(stored.tensors))
        notes = [note for note in document["notes"] if "left out" in note]
        self.assertEqual(len(notes), 1, document["notes"])
        self.assertIn(f"{len(decoder())} tensors (decoder.", notes[0])
        self.assertIn("load the encoder", notes[0])
        _, document = self.run_on({**encoder(), **big})
        self.assertFalse([note for note in document["notes"] if "left out" in note])

    def test_everything_stays_without_the_filter(self):
        """--model none and another filter do not know what a decoder is."""
        for arguments in (("--model", "none"), ("--model", "mistral")):
            stored, _ = self.run_on({**encoder(), **decoder()}, *arguments)
            for name in decoder():
                self.assertIn(name, stored.tensors, arguments)

    def test_a_config_does_not_bring_the_decoder_back(self):
        config = self.write_config({"decoder": {"format": "fp16"}, "wo": {"skip": True}})
        stored, _ = self.run_on({**encoder(), **decoder()}, "--t5xxl", "--layer-config", config)
        self.assertFalse(set(decoder()) & set(stored.tensors))
        self.assertEqual(stored.tensors["encoder.block.0.layer.1.DenseReluDense.wo.weight"].dtype, "BF16")

    def test_tables_by_filter(self):
        """Tables that are looked up stay; INT8 ones load in ComfyUI only."""
        table = weight(20, 320, 64)
        layers = {"layers.0.self_attn.q_proj.weight": weight(21, 64, 64)}
        for name, arguments in (("model.embed_tokens.weight", ("--mistral",)), ("model.embed_tokens.weight", ("--qwen35",)),
                                ("shared.weight", ("--t5xxl",)), ("model.embed_tokens.weight", ()),
                                ("token_embedding.weight", ()), ("position_embedding.weight", ()),
                                ("text_projection.weight", ()), ("lm_head.weight", ())):
            stored, _ = self.run_on({name: table, **layers}, *arguments)
            self.assertEqual(stored.tensors[name], table, (name, arguments))
            self.assertEqual(stored.tensors["layers.0.self_attn.q_proj.weight"].dtype, "I8")

    def test_a_table_that_is_quantized_on_request(self):
        """Each row keeps its own scale, [rows, 1], and the marker says how rows are rotated back after the look-up."""
        table = weight(20, 320, 64)
        stored, _ = self.run_on({"embed_tokens.weight": table}, "--model", "none")
        for key, tensor in stored_layer("embed_tokens", table, "int8_convrot").items():
            self.assertEqual(stored.tensors[key], tensor, key)
        self.assertEqual(stored.tensors["embed_tokens.weight_scale"].shape, (320, 1))

    def test_an_all_in_one_file_keeps_what_its_loader_needs(self):
        network = {f"model.diffusion_model.layers.{i}.attention.qkv.weight": weight(30 + i, 192, 64) for i in range(6)}
        kept = {
            "vae.decoder.mid.attn_1.q.weight": weight(40, 64, 64),
            "vae.decoder.conv_in.weight": weight(41, 8, 4, 3, 3),
            CLIP + "encoder.layers.0.mlp.fc1.weight": weight(42, 256, 64),
            CLIP + "embeddings.token_embedding.weight": weight(43, 320, 64),
            "text_encoders.clip_l.logit_scale": Tensor("F32", (), bytes(4)),
            "text_encoders.qwen.tokenizer_json": Tensor("U8", (3,), b"{}\n"),
            "model.diffusion_model.__x0__": Tensor("F32", (0,), b""),
            "v_pred": Tensor("F32", (0,), b""),
            "model.diffusion_model.pos_embed": weight(44, 1, 16, 64),
            "model.diffusion_model.layers.0.norm.weight": weight(45, 64),
        }
        text = encoder(T5)
        text[T5 + "encoder.block.0.layer.1.DenseReluDense.wi_1.weight"] = Tensor("BF16", (10240, 4096), bytes(2 * 10240 * 4096))
        metadata = {"modelspec.architecture": "all-in-one", "config": '{"transformer": {}}'}
        stored, _ = self.run_on({**network, **kept, **text}, metadata=metadata)
        self.assert_unchanged(stored, kept)
        for name in network:
            self.assertEqual(stored.tensors[name].dtype, "I8", name)
            self.assertIn(name.replace(".weight", ".comfy_quant"), stored.tensors)
        self.assertEqual(stored.tensors[T5 + "encoder.block.0.layer.0.SelfAttention.q.weight"].dtype, "I8")
        self.assertEqual(stored.tensors[T5 + "shared.weight"], text[T5 + "shared.weight"])
        for key, value in metadata.items():
            self.assertEqual(stored.metadata[key], value)


if __name__ == "__main__":
    unittest.main()
