"""LoRAs that do not fit: the exit code, the name of the entry, and nothing written."""

import unittest

import numpy as np

from lora_files import generator, lora, model, stored, values
from program import ConversionTest, octavo

KEY = "lora_unet_a"


class RefusalsTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.random = generator(5)
        layers = {"a.weight": values(self.random, 48, 96), "big.weight": values(self.random, 128, 128)}
        self.source, self.before = model(self.folder, layers)
        self.good = {
            "lora_unet_big.lora_down.weight": values(self.random, 2, 128),
            "lora_unet_big.lora_up.weight": values(self.random, 128, 2),
        }

    def pair(self, rows=48, cols=96, rank=2, up_rank=None, key=KEY):
        return {
            key + ".lora_down.weight": values(self.random, rank, cols),
            key + ".lora_up.weight": values(self.random, rows, up_rank or rank),
        }

    def arguments(self, *more):
        return ("convert", self.source, "-o", self.folder / "out.safetensors", "--model", "generic", *more)

    def refused(self, entries, *more, code=3):
        file = lora(self.folder / "lora.safetensors", entries)
        said = self.refuse(code, *self.arguments("--merge-lora", file, *more))
        self.assert_files("model.safetensors", "lora.safetensors")
        return said

    def test_entries_that_do_not_fit(self):
        cases = {
            "shape": (self.pair(rows=49), "[49, 96]"),
            "columns": (self.pair(cols=95), "[48, 95]"),
            "rank": (self.pair(rank=2, up_rank=3), "rank differs"),
            "no up": ({KEY + ".lora_down.weight": values(self.random, 2, 96)}, "missing"),
            "no down": ({KEY + ".lora_up.weight": values(self.random, 48, 2)}, "missing"),
            "half a LoHa": ({KEY + ".hada_w1_a": values(self.random, 48, 2)}, "missing"),
            "half a LoKr": ({KEY + ".lokr_w1": values(self.random, 4, 8)}, "missing"),
            "DoRA": ({**self.pair(), KEY + ".dora_scale": values(self.random, 48, 1)}, "not supported"),
            "unknown": (self.pair(key="lora_unet_b"), "lora_unet_b"),
            "no entry": ({"something": values(self.random, 3)}, "something"),
            "alpha": ({**self.pair(), KEY + ".alpha": values(self.random, 2)}, "alpha"),
        }
        for name, (entries, said) in cases.items():
            with self.subTest(name):
                self.assertIn(said, self.refused({**entries, **self.good}))

    def test_partial_on_request(self):
        entries = {**self.pair(rows=49), **self.good}
        file = lora(self.folder / "lora.safetensors", entries)
        document = self.convert(
            self.source, self.folder / "out.safetensors", "--model", "generic", "--merge-lora", file,
            "--allow-partial-lora")
        self.assertEqual([one["entry"] for one in document["loras"][0]["left_out"]], [KEY])
        np.testing.assert_array_equal(stored(self.folder / "out.safetensors")["a.weight"], self.before["a.weight"])

    def test_no_match_is_an_error_in_any_case(self):
        entries = self.pair(key="lora_unet_b")
        self.assertIn("changes nothing", self.refused(entries))
        self.assertIn("changes nothing", self.refused(entries, "--allow-partial-lora"))
        self.assertIn("changes nothing", self.refused(self.pair(key="lora_te_text_model_x")))

    def test_other_networks_are_listed(self):
        file = lora(
            self.folder / "lora.safetensors", {**self.good, **self.pair(key="lora_te1_text_model_encoder_x")})
        document = self.convert(
            self.source, self.folder / "out.safetensors", "--model", "generic", "--merge-lora", file)
        self.assertEqual(document["loras"][0]["elsewhere"], ["lora_te1_text_model_encoder_x"])

    def test_the_network_is_there_by_its_prefix(self):
        """A text encoder that the file names, and a LoRA that means another one."""
        layers = {"a.weight": values(self.random, 128, 128)}
        source, _ = model(
            self.folder, {**{"model.diffusion_model." + key: array for key, array in layers.items()},
                          "cond_stage_model.transformer.x.weight": values(self.random, 64, 64)}, prefix="")
        file = lora(
            self.folder / "lora.safetensors",
            {**self.pair(128, 128), **self.pair(64, 64, key="lora_te_text_model_y")})
        said = self.refuse(3, "convert", source, "-o", self.folder / "out.safetensors", "--merge-lora", file)
        self.assertIn("lora_te_text_model_y", said)

    def test_two_updates_of_the_same_rows(self):
        self.assertIn("updates tensor", self.refused({**self.pair(), **self.pair(key="diffusion_model.a")}))

    def test_values(self):
        entries = self.pair()
        entries[KEY + ".lora_up.weight"][3, 1] = np.nan
        self.assertIn("not finite at element 7", self.refused(entries))

    def test_files_and_strengths(self):
        self.refuse(5, *self.arguments("--merge-lora", self.folder / "none.safetensors"))
        self.refuse(2, *self.arguments("--merge-lora-scale", "much"))
        lora(self.folder / "lora.safetensors", self.good)
        self.refuse(2, *self.arguments("--merge-lora", f"{self.folder / 'lora.safetensors'}:nan"))
        (self.folder / "lora.safetensors").write_bytes(b"not a checkpoint")
        self.refuse(3, *self.arguments("--merge-lora", self.folder / "lora.safetensors"))
        self.assert_files("model.safetensors", "lora.safetensors")

    def test_the_output_is_no_input(self):
        file = lora(self.folder / "lora.safetensors", self.good)
        before = file.read_bytes()
        done = octavo("convert", self.source, "-o", file, "--force", "--model", "generic", "--merge-lora", file)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(file.read_bytes(), before)


if __name__ == "__main__":
    unittest.main()
