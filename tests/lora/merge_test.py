"""Merged weights against float64: every naming scheme, several files, every kind of update, kept and quantized
layers."""

import json
import unittest

import numpy as np

import checkpoint_file
from lora_files import DIFFUSION, dequantized, generator, lora, model, pair, stored, values
from program import ConversionTest, environment, sha256, simd_targets

# One that is quantized and one that the filter keeps: it has fewer than 64 rows.
LARGE, SMALL = "double_blocks.1.img_attn.proj", "double_blocks.11.img_mlp.2"
SHAPES = {LARGE: (128, 192), SMALL: (48, 96)}


def dotted(layer):
    return layer


def underscored(layer):
    return layer.replace(".", "_")


# name -> (layer's name in the file, ending of down, of up, of alpha)
SCHEMES = {
    "kohya": (lambda layer: "lora_unet_" + underscored(layer), ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "comfyui": (lambda layer: "diffusion_model." + layer, ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "comfyui full": (lambda layer: DIFFUSION + layer, ".lora_A.weight", ".lora_B.weight", ".alpha"),
    "diffusers": (lambda layer: "transformer." + layer, ".lora_A.weight", ".lora_B.weight", ".alpha"),
    "diffusers old": (lambda layer: "unet." + layer, ".lora.down.weight", ".lora.up.weight", ".alpha"),
    "peft": (lambda layer: "base_model.model." + layer, ".lora_A.default.weight", ".lora_B.default.weight",
             ".lora_alpha"),
    "lycoris": (lambda layer: "lycoris_" + underscored(layer), ".lora_down.weight", ".lora_up.weight", ".alpha"),
    "bare": (dotted, ".lora_A", ".lora_B", ".alpha"),
    "halves": (dotted, ".down.weight", ".up.weight", ".alpha"),
}


def entries_of(pairs, scheme):
    name, down, up, alpha = SCHEMES[scheme]
    entries = {}
    for layer, made in pairs.items():
        entries[name(layer) + down] = made.down
        entries[name(layer) + up] = made.up
        if made.alpha is not None:
            entries[name(layer) + alpha] = np.float32(made.alpha)
    return entries


class MergeTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.random = generator(77)

    def weights(self, shapes=None):
        return {layer + ".weight": values(self.random, *shape) for layer, shape in (shapes or SHAPES).items()}

    def merged(self, source, *arguments, name="out.safetensors", **options):
        document = self.convert(
            source, self.folder / name, "--model", "generic", "--format", "int8_tensorwise", "--force", *arguments,
            **options)
        return document, self.folder / name

    def assert_near(self, actual, expected, tolerance=1e-6):
        self.assertEqual(actual.shape, expected.shape)
        self.assertLessEqual(np.abs(actual - expected).max(), tolerance * np.abs(expected).max())

    def assert_quantized(self, path, layer, expected):
        """Every element within half a step of the expected value, and the scale its row's."""
        actual, scale = dequantized(path, layer)
        np.testing.assert_allclose(scale[:, 0], np.abs(expected).max(axis=1) / 127, rtol=1e-5)
        self.assertLessEqual((np.abs(actual - expected) / scale).max(), 0.5 + 1e-3)

    def test_every_naming_scheme(self):
        source, before = model(self.folder, self.weights())
        pairs = {LARGE: pair(self.random, 128, 192, 8, alpha=2.0), SMALL: pair(self.random, 48, 96, 4)}
        for scheme in SCHEMES:
            with self.subTest(scheme):
                file = lora(self.folder / "lora.safetensors", entries_of(pairs, scheme))
                document, path = self.merged(source, "--merge-lora", file)
                self.assertEqual(document["loras"][0]["updates"], 2)
                small = before[SMALL + ".weight"] + pairs[SMALL].delta()
                self.assert_near(stored(path)[SMALL + ".weight"], small)
                self.assert_quantized(path, LARGE, before[LARGE + ".weight"] + pairs[LARGE].delta())

    def test_alpha_of_the_metadata(self):
        source, before = model(self.folder, self.weights())
        made = pair(self.random, 48, 96, 4)
        file = lora(
            self.folder / "lora.safetensors", entries_of({SMALL: made}, "bare"),
            metadata={SMALL.replace(".", "_") + "_alpha": "1.5"})
        made.alpha = 1.5
        _, path = self.merged(source, "--merge-lora", file)
        self.assert_near(stored(path)[SMALL + ".weight"], before[SMALL + ".weight"] + made.delta())

    def test_alpha_of_the_adapters_configuration(self):
        source, before = model(self.folder, self.weights())
        pairs = {LARGE: pair(self.random, 128, 192, 8), SMALL: pair(self.random, 48, 96, 4)}
        for extra, alphas in (
            ({}, (2, 2)),
            ({"transformer.alpha_pattern": {"img_mlp.2": 3}}, (2, 3)),
            ({"transformer.use_rslora": True}, (2 * np.sqrt(8), 2 * np.sqrt(4))),
        ):
            config = {"transformer.r": 8, "transformer.lora_alpha": 2, "text_encoder.lora_alpha": 64, **extra}
            file = lora(
                self.folder / "lora.safetensors", entries_of(pairs, "diffusers"),
                metadata={"lora_adapter_metadata": json.dumps(config)})
            _, path = self.merged(source, "--merge-lora", file)
            pairs[LARGE].alpha, pairs[SMALL].alpha = alphas
            self.assert_near(stored(path)[SMALL + ".weight"], before[SMALL + ".weight"] + pairs[SMALL].delta())
            self.assert_quantized(path, LARGE, before[LARGE + ".weight"] + pairs[LARGE].delta())
            pairs[LARGE].alpha = pairs[SMALL].alpha = None

    def test_one_scale_for_the_layer(self):
        """The pass that finds the largest magnitude sees the merged weight too, of every kind."""
        source, before = model(self.folder, {"big.weight": values(self.random, 128, 192)}, "BF16")
        made, whole = pair(self.random, 128, 192, 4), values(self.random, 128, 192, scale=0.5)
        for entries, update in (
            (entries_of({"big": made}, "kohya"), made.delta()),
            ({"lora_unet_big.diff": whole}, whole.astype(np.float64)),
        ):
            file = lora(self.folder / "lora.safetensors", entries)
            for policy in ("error", "keep"):  # keep: a measuring pass before
                _, path = self.merged(
                    source, "--merge-lora", file, "--format", "int8_tensorwise:scale=tensor", "--tile-size", "16K",
                    "--nonfinite", policy)
                expected = before["big.weight"] + update
                actual, scale = dequantized(path, "big")
                np.testing.assert_allclose(scale, np.abs(expected).max() / 127, rtol=1e-6)
                self.assertLessEqual(np.abs(actual - expected).max() / scale, 0.5 + 1e-3)

    def test_values_beyond_the_dtype(self):
        source, before = model(self.folder, self.weights(), "F16")
        file = lora(self.folder / "lora.safetensors", {SMALL + ".diff": np.full((48, 96), 7e4)})
        arguments = ("--model", "generic", "--merge-lora", file, "-o", self.folder / "out.safetensors")
        self.assertIn(SMALL, self.refuse(3, "convert", source, *arguments))
        self.assert_files("model.safetensors", "lora.safetensors")
        _, path = self.merged(source, "--merge-lora", file, "--fp16-overflow", "clamp")
        self.assertTrue((stored(path)[SMALL + ".weight"] == 65504).all())

    def test_several_files(self):
        """An output of several files holds the same tensors."""
        source, _ = model(self.folder, self.weights())
        made = pair(self.random, 48, 96, 4)
        file = lora(self.folder / "lora.safetensors", entries_of({SMALL: made}, "kohya"))
        _, one = self.merged(source, "--merge-lora", file)
        _, folder = self.merged(source, "--merge-lora", file, "--shards", "2", name="shards")
        tensors = {}
        for shard in folder.glob("*.safetensors"):
            tensors |= checkpoint_file.read(shard).tensors
        self.assertEqual(tensors, checkpoint_file.read(one).tensors)

    def test_three_files_are_dampened_once(self):
        source, before = model(self.folder, self.weights())
        made = [pair(self.random, 48, 96, 4) for _ in range(3)]
        files = [
            lora(self.folder / f"{i}.safetensors", entries_of({SMALL: one}, "kohya")) for i, one in enumerate(made)
        ]
        weight = before[SMALL + ".weight"]
        cases = [
            ((), (1, 0.9, 0.81)),
            (("--no-merge-lora-dampen",), (1, 1, 1)),
            (("--merge-lora-dampen=False", "--merge-lora-scale", "0.5"), (0.5, 0.5, 0.5)),
            (("--merge_lora_scale=-2",), (-2, -1.8, -1.62)),
        ]
        for arguments, strengths in cases:
            with self.subTest(arguments):
                # --merge-loras come first, wherever they stand.
                document, path = self.merged(
                    source, "--merge-lora", files[2], "--merge-loras", files[0], files[1], *arguments)
                expected = weight + sum(s * one.delta() for s, one in zip(strengths, made))
                self.assert_near(stored(path)[SMALL + ".weight"], expected)
                np.testing.assert_allclose([one["strength"] for one in document["loras"]], strengths)

    def test_strength_of_a_file(self):
        source, before = model(self.folder, self.weights())
        made = pair(self.random, 48, 96, 4)
        file = lora(self.folder / "a:b.safetensors", entries_of({SMALL: made}, "kohya"))
        for text, strength in ((f"{file}:0.25", 0.25), (str(file), 1), (f"{file}:-1", -1)):
            _, path = self.merged(source, "--merge-lora", text)
            expected = before[SMALL + ".weight"] + strength * made.delta()
            self.assert_near(stored(path)[SMALL + ".weight"], expected)

    def test_kept_tensors_keep_their_dtype(self):
        for dtype, step in (("BF16", 2**-8), ("F16", 2**-11)):
            with self.subTest(dtype):
                source, before = model(self.folder, self.weights(), dtype)
                made = pair(self.random, 48, 96, 4)
                file = lora(self.folder / "lora.safetensors", entries_of({SMALL: made}, "comfyui"), dtype="F32")
                _, path = self.merged(source, "--merge-lora", file)
                self.assertEqual(checkpoint_file.read(path).tensors[DIFFUSION + SMALL + ".weight"].dtype, dtype)
                expected = before[SMALL + ".weight"] + made.delta()
                error = np.abs(stored(path)[SMALL + ".weight"] - expected)
                self.assertTrue((error <= step * np.abs(expected) + 1e-7).all())

    def test_whole_names_only(self):
        layers = {"blocks.1.proj": (48, 96), "blocks.11.proj": (48, 96), "big": (128, 128)}
        source, before = model(self.folder, self.weights(layers))
        made = pair(self.random, 48, 96, 2)
        file = lora(self.folder / "lora.safetensors", entries_of({"blocks.1.proj": made}, "kohya"))
        _, path = self.merged(source, "--merge-lora", file)
        after = stored(path)
        self.assert_near(after["blocks.1.proj.weight"], before["blocks.1.proj.weight"] + made.delta())
        np.testing.assert_array_equal(after["blocks.11.proj.weight"], before["blocks.11.proj.weight"])

    def test_parts_of_fused_weights(self):
        layers = {"double_blocks.0.img_attn.qkv": (96, 32), "single_blocks.0.linear1": (7 * 32, 32), "big": (128, 128)}
        source, before = model(self.folder, self.weights(layers))
        parts = {
            "transformer_blocks.0.attn.to_q": ("double_blocks.0.img_attn.qkv", 0, 32),
            "transformer_blocks.0.attn.to_v": ("double_blocks.0.img_attn.qkv", 64, 32),
            "single_transformer_blocks.0.attn.to_k": ("single_blocks.0.linear1", 32, 32),
            "single_transformer_blocks.0.proj_mlp": ("single_blocks.0.linear1", 96, 128),
        }
        pairs = {name: pair(self.random, rows, 32, 4, alpha=3) for name, (_, _, rows) in parts.items()}
        file = lora(self.folder / "lora.safetensors", entries_of(pairs, "diffusers"))
        _, path = self.merged(source, "--merge-lora", file)
        expected = {key: array.copy() for key, array in before.items()}
        for name, (layer, begin, rows) in parts.items():
            expected[layer + ".weight"][begin : begin + rows] += pairs[name].delta()
        after = stored(path)
        for layer in ("double_blocks.0.img_attn.qkv", "single_blocks.0.linear1"):
            self.assert_near(after[layer + ".weight"], expected[layer + ".weight"])

    def test_convolutions_and_biases(self):
        layers = {"input_blocks.1.0.in_layers.2": (24, 16, 3, 3), "big": (128, 128)}
        weights = {**self.weights(layers), "big.bias": values(self.random, 128)}
        source, before = model(self.folder, weights)
        down, up = values(self.random, 4, 16, 3, 3), values(self.random, 24, 4, 1, 1)
        tucker = {"down": values(self.random, 4, 16, 1, 1), "mid": values(self.random, 4, 4, 3, 3)}
        bias = values(self.random, 128)
        name = "lora_unet_down_blocks_0_resnets_0_conv1"
        key = "input_blocks.1.0.in_layers.2.weight"
        plain = np.einsum("or,rikl->oikl", up[:, :, 0, 0].astype(np.float64), down.astype(np.float64))
        core = np.einsum(
            "or,rskl,si->oikl", up[:, :, 0, 0].astype(np.float64), tucker["mid"].astype(np.float64),
            tucker["down"][:, :, 0, 0].astype(np.float64))
        for update, entries in (
            (plain, {".lora_down.weight": down, ".lora_up.weight": up, ".alpha": np.float32(2)}),
            (core, {".lora_down.weight": tucker["down"], ".lora_mid.weight": tucker["mid"], ".lora_up.weight": up,
                    ".alpha": np.float32(2)}),
        ):
            file = lora(
                self.folder / "lora.safetensors",
                {**{name + ending: array for ending, array in entries.items()}, "lora_unet_big.diff_b": bias})
            _, path = self.merged(source, "--merge-lora", f"{file}:0.5")
            after = stored(path)
            self.assert_near(after[key], before[key] + 0.5 * 0.5 * update)
            self.assert_near(after["big.bias"], before["big.bias"] + 0.5 * bias.astype(np.float64))

    def test_loha_lokr_and_differences(self):
        layers = {"hada": (48, 96), "kron": (48, 96), "product": (48, 96), "whole": (48, 96), "big": (128, 192)}
        source, before = model(self.folder, self.weights(layers))
        h = {f"hada_w{i}_{half}": values(self.random, *shape, scale=0.5)
             for i in (1, 2) for half, shape in (("a", (48, 3)), ("b", (3, 96)))}
        big = {f"hada_w{i}_{half}": values(self.random, *shape, scale=0.5)
               for i in (1, 2) for half, shape in (("a", (128, 3)), ("b", (3, 192)))}
        w1, w2 = values(self.random, 4, 8), values(self.random, 12, 12)
        a, b = values(self.random, 12, 2, scale=0.5), values(self.random, 2, 12, scale=0.5)
        diff = values(self.random, 48, 96)
        entries = {"lycoris_hada." + key: array for key, array in h.items()}
        entries |= {"lycoris_big." + key: array for key, array in big.items()}
        entries |= {"lycoris_hada.alpha": 1.5, "lycoris_big.alpha": 3, "lycoris_kron.lokr_w1": w1,
                    "lycoris_kron.lokr_w2": w2, "lycoris_kron.alpha": 9, "lycoris_product.lokr_w1": w1,
                    "lycoris_product.lokr_w2_a": a, "lycoris_product.lokr_w2_b": b, "lycoris_product.alpha": 1,
                    "lycoris_whole.diff": diff}
        file = lora(self.folder / "lora.safetensors", entries)
        _, path = self.merged(source, "--merge-lora", file)
        double = lambda array: array.astype(np.float64)  # noqa: E731
        product = lambda some: (double(some["hada_w1_a"]) @ double(some["hada_w1_b"])) * (  # noqa: E731
            double(some["hada_w2_a"]) @ double(some["hada_w2_b"]))
        updates = {
            "hada": product(h) * (1.5 / 3), "kron": np.kron(double(w1), double(w2)),
            "product": np.kron(double(w1), double(a) @ double(b)) * (1 / 2), "whole": double(diff),
        }
        after = stored(path)
        for layer, update in updates.items():
            with self.subTest(layer):
                self.assert_near(after[layer + ".weight"], before[layer + ".weight"] + update)
        self.assert_quantized(path, "big", before["big.weight"] + product(big))

    def test_same_bytes_everywhere(self):
        """Class A: lanes and instruction sets change nothing; neither does the tile where rows are independent."""
        layers = {"a": (200, 304), "b": (48, 70)}
        source, _ = model(self.folder, self.weights(layers), "BF16")
        pairs = {"a": pair(self.random, 200, 304, 16, alpha=5), "b": pair(self.random, 48, 70, 3)}
        file = lora(self.folder / "lora.safetensors", entries_of(pairs, "kohya"), dtype="BF16")
        hashes = set()
        for simd in simd_targets():
            for lanes, tile in ((1, "4M"), (3, "16K")):
                _, path = self.merged(
                    source, "--merge-loras", file, f"{file}:0.3", "--lanes", lanes, "--tile-size", tile,
                    env=environment(OCTAVO_SIMD=simd))
                hashes.add(sha256(path))
        self.assertEqual(len(hashes), 1)

    def test_provenance_names_the_training(self):
        source, _ = model(self.folder, self.weights())
        outputs = []
        for seed in (1, 2):
            made = pair(generator(seed), 48, 96, 4)
            file = lora(self.folder / "lora.safetensors", entries_of({SMALL: made}, "kohya"))
            _, path = self.merged(source, "--merge-lora", file)
            outputs.append(checkpoint_file.read(path).metadata["octavo"])
        self.assertNotEqual(*outputs)
        self.assertNotIn("lora.safetensors", outputs[0])


if __name__ == "__main__":
    unittest.main()
