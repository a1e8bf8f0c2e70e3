"""octavo batch: many inputs, their outputs and LoRAs, what is left out, and what a failure does to the rest."""

import json
import os
import time
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import encode
from program import ConversionTest, octavo
from stored_layer import stored_layer


def weight(seed, shape=(64, 256)):
    return encode(np.random.default_rng(seed).standard_normal(shape) * 0.02, "BF16")


def lora(path, seed, shape=(64, 256), rank=2):
    """A LoRA for the layer `a`, and the float64 update that it stands for."""
    random = np.random.default_rng(seed)
    down = random.standard_normal((rank, shape[1])).astype(np.float32)
    up = random.standard_normal((shape[0], rank)).astype(np.float32)
    checkpoint_file.write(path, {
        "lora_unet_a.lora_down.weight": encode(down, "F32"), "lora_unet_a.lora_up.weight": encode(up, "F32")})
    return up.astype(np.float64) @ down.astype(np.float64)


class BatchTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.models = self.folder / "models"
        self.models.mkdir()

    def model(self, name, seed=1, **more):
        return checkpoint_file.write(self.models / f"{name}.safetensors", {"a.weight": weight(seed), **more})

    def batch(self, *arguments, code=0):
        done = octavo("batch", "--json", "--model", "none", *arguments)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stderr}")
        document = json.loads(done.stdout)
        self.assertEqual(document["schema"], "octavo.batch/1")
        return document, done.stderr

    def statuses(self, *arguments, code=0):
        document = self.batch(*arguments, code=code)[0]
        return {os.path.basename(item["input"]).removesuffix(".safetensors"): item["status"] for item in document["items"]}

    def assert_names(self, folder, *names):
        self.assertEqual(sorted(os.listdir(folder)), sorted(names))


class InputsTest(BatchTest):
    def test_names_patterns_and_folders(self):
        for name in ("b", "a", "c"):
            self.model(name)
        every = {"a": "planned", "b": "planned", "c": "planned"}
        self.assertEqual(self.statuses(self.models / "b.safetensors", self.models / "*.safetensors", "--dry-run"), every)
        self.assertEqual(self.statuses("-i", self.models / "[ab].safetensors", "--dry-run").keys(), {"a", "b"})
        self.assertEqual(self.statuses("--inputs", f"{self.models}/{{a,c}}.safetensors", "--dry-run").keys(), {"a", "c"})
        self.assertEqual(self.statuses("-d", self.models, "--dry-run-batch"), every)
        self.assertEqual(self.statuses("--directory", self.models, "--pattern", "b*", "--dry-run").keys(), {"b"})
        self.assert_names(self.models, "a.safetensors", "b.safetensors", "c.safetensors")

    def test_one_file_by_two_names_is_one_input(self):
        path = self.model("a")
        self.assertEqual(len(self.batch(path, self.models / ".." / "models" / "a.safetensors", "--dry-run")[0]["items"]), 1)

    def test_a_name_that_looks_like_a_pattern(self):
        path = self.model("a[1]")
        self.assertEqual(self.statuses(path, "--dry-run"), {"a[1]": "planned"})

    def test_a_pattern_without_match_ends_the_run_before_it_begins(self):
        path = self.model("a")
        said = self.refuse(5, "batch", path, self.models / "x*.safetensors")
        self.assertIn("matches no file", said)
        self.refuse(5, "batch", "-d", self.models, "--pattern", "*.sft")
        self.refuse(5, "batch", "-d", self.folder / "none")
        self.assert_names(self.models, "a.safetensors")

    def test_inputs_or_a_folder(self):
        path = self.model("a")
        self.refuse(2, "batch")
        self.refuse(2, "batch", path, "-d", self.models)

    def test_a_diffusers_folder_is_an_input(self):
        folder = self.models / "hf"
        folder.mkdir()
        checkpoint_file.write(folder / "model.safetensors", {"a.weight": weight(1)})
        self.assertEqual(self.statuses(folder), {"hf": "converted"})
        self.assertTrue((self.models / "hf_int8_convrot.safetensors").exists())


class OutputsTest(BatchTest):
    def test_every_output_is_that_of_convert(self):
        for seed, name in enumerate(("a", "b")):
            path = self.model(name, seed)
            self.convert(path, self.folder / f"{name}.safetensors", "--model", "none", "--format", "int8_axiswise")
        document, _ = self.batch("-d", self.models, "--format", "int8_axiswise", "-o", f"{self.folder}/new/deep/")
        for item, name in zip(document["items"], ("a", "b")):
            self.assertEqual(item["output"], f"{self.folder}/new/deep/{name}_int8_axiswise.safetensors")
            with open(item["output"], "rb") as made:
                self.assertEqual(made.read(), (self.folder / f"{name}.safetensors").read_bytes())
            self.assertGreater(item["sqnr_db"], 30)
            self.assertEqual(item["file_bytes"], os.path.getsize(item["output"]))

    def test_templates(self):
        self.model("a")
        self.batch("-d", self.models, "-o", "{folder}/{stem}.{format}.{optimizer}.safetensors")
        self.assert_names(self.models, "a.safetensors", "a.int8_convrot.nearest.safetensors")
        self.batch("-d", self.models, "--pattern", "a.safetensors", "--output-template", f"{self.folder}/{{name}}")
        self.assertTrue((self.folder / "a.safetensors").exists())
        self.refuse(2, "batch", "-d", self.models, "-o", "{model}.safetensors")

    def test_two_inputs_for_one_output(self):
        self.model("a")
        self.model("b")
        said = self.refuse(2, "batch", "-d", self.models, "-o", self.folder / "one.safetensors")
        self.assertIn("would both become", said)
        self.assert_files("models")

    def test_an_output_is_no_input_of_the_next_run(self):
        self.model("a")
        self.assertEqual(self.statuses("-d", self.models), {"a": "converted"})
        document, said = self.batch("-d", self.models)
        self.assertEqual([item["status"] for item in document["items"]], ["up_to_date"])
        self.assertIn("a_int8_convrot.safetensors is left out", said)

    def test_never_in_place(self):
        path = self.model("a")
        before = path.read_bytes()
        for arguments in (("--force",), ("--force", "--dry-run")):
            self.assertEqual(self.statuses(path, "-o", "{folder}/{name}", *arguments, code=2), {"a": "failed"})
        self.assertEqual(path.read_bytes(), before)

    def test_the_table(self):
        self.model("a")
        done = octavo("batch", "-d", self.models, "--model", "none")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"a\.safetensors +converted .* dB")
        self.assertIn("1 converted of 1 input\n", done.stdout)
        self.assertIn("1 up to date of 1 input\n", octavo("batch", "-d", self.models, "--model", "none").stdout)


class UpToDateTest(BatchTest):
    def setUp(self):
        super().setUp()
        self.path = self.model("a")
        self.target = self.models / "a_int8_convrot.safetensors"
        self.batch(self.path)
        self.first = self.target.stat().st_mtime_ns

    def refused(self, *arguments):
        """Out of date, and not replaced; returns why."""
        document = self.batch(self.path, *arguments, code=2)[0]
        self.assertEqual(self.target.stat().st_mtime_ns, self.first)
        return document["items"][0]["error"]["message"]

    def test_is_left_alone(self):
        for arguments in ((), ("--force",), ("--lanes", "1"), ("--dry-run",), ("--tile-size", "64KiB")):
            self.assertEqual(self.statuses(self.path, *arguments), {"a": "up_to_date"}, arguments)
        self.assertEqual(self.target.stat().st_mtime_ns, self.first)

    def test_unless_asked(self):
        self.assertEqual(self.statuses(self.path, "--no-skip-up-to-date", "--force"), {"a": "converted"})
        self.assertNotEqual(self.target.stat().st_mtime_ns, self.first)
        self.first = self.target.stat().st_mtime_ns
        self.assertNotIn("out of date", self.refused("--no-skip-up-to-date"))

    def test_other_settings(self):
        self.assertIn("settings differ", self.refused("--seed", "4"))
        self.assertIn("settings differ: format", self.refused("-o", self.target, "--format", "int8_tensorwise"))
        self.assertEqual(self.statuses(self.path, "--seed", "4", "--force"), {"a": "converted"})
        self.assertEqual(self.statuses(self.path, "--seed", "4"), {"a": "up_to_date"})

    def test_every_setting_that_affects_bytes(self):
        path = self.model("two", **{"b.weight": weight(2)})
        custom = ("--custom-layers", "^a", "--custom-type")
        rows = ("--set", "int8_tensorwise.scale=tensor")
        for number, (settings, more) in enumerate((
                ((), ("--save-quant-metadata",)),
                (("--shards", "1"), ("--shards", "2")),
                (("--shard-size", "1M"), ("--shard-size", "2M")),
                ((*custom, "int8_tensorwise"), rows),
                (("--exclude-layers", "^a", "--fallback", "int8_tensorwise"), rows),
                ((*custom, "int8"), ("--custom-simple",)),
                (("--exclude-layers", "^a", "--fallback", "int8"), ("--fallback-simple",)))):
            with self.subTest(more=more, settings=settings):
                arguments = (path, "-o", f"{self.folder}/{number}/", *settings)
                self.assertEqual(self.statuses(*arguments), {"two": "converted"})
                self.assertEqual(self.statuses(*arguments), {"two": "up_to_date"})
                item = self.batch(*arguments, *more, code=2)[0]["items"][0]
                self.assertIn("its settings differ", item["error"]["message"])

    def test_a_source_of_other_shapes(self):
        checkpoint_file.write(self.path, {"a.weight": weight(1, (128, 256))})
        self.assertIn("another source", self.refused())

    def test_a_newer_source(self):
        """The header is the same and the values are not: only the time tells."""
        self.model("a", seed=9)
        later = self.first + 10**9
        os.utime(self.path, ns=(later, later))
        self.assertIn("the source is newer", self.refused())
        self.assertEqual(self.statuses(self.path, "--force"), {"a": "converted"})
        os.utime(self.path, ns=(self.first - 10**9,) * 2)
        self.assertEqual(self.statuses(self.path), {"a": "up_to_date"})

    def test_what_octavo_did_not_make(self):
        checkpoint_file.write(self.target, {"a.weight": weight(1)})
        self.first = self.target.stat().st_mtime_ns
        self.assertIn("did not make it", self.refused())
        for provenance in ("[]", '{"source":' * 1_000_000 + "1" + "}" * 1_000_000):
            checkpoint_file.write(self.target, {"a.weight": weight(1)}, {"octavo": provenance})
            self.first = self.target.stat().st_mtime_ns
            self.assertIn("did not make it", self.refused())
        self.target.write_bytes(b"half")
        self.first = self.target.stat().st_mtime_ns
        self.assertIn("cannot be read", self.refused())

    def test_an_edited_output(self):
        edited = self.folder / "edited.safetensors"
        self.assertEqual(octavo("edit", self.target, "--remove-keys", "convrot", "-o", edited).returncode, 0)
        os.replace(edited, self.target)
        self.first = self.target.stat().st_mtime_ns
        self.assertIn("differ", self.refused())


class FailuresTest(BatchTest):
    def setUp(self):
        super().setUp()
        self.good = self.model("good")
        self.late = self.model("zlate")
        (self.models / "bad.safetensors").write_bytes(b"no checkpoint")
        checkpoint_file.write(self.models / "empty.safetensors", {"norm.weight": encode(np.ones(4), "F32")})

    def test_one_failure_does_not_stop_the_rest_and_the_worst_code_counts(self):
        document, said = self.batch("-d", self.models, code=4)
        self.assertEqual({os.path.basename(item["input"]): item["status"] for item in document["items"]}, {
            "bad.safetensors": "failed", "empty.safetensors": "failed", "good.safetensors": "converted",
            "zlate.safetensors": "converted"})
        codes = [item["error"]["code"] for item in document["items"] if "error" in item]
        self.assertEqual(codes, [3, 4])
        self.assertEqual((document["exit_code"], document["converted"], document["failed"]), (4, 2, 2))
        self.assertIn("bad.safetensors: ", said)
        self.assertEqual(self.statuses(self.good, self.models / "none.safetensors", code=5),
                         {"good": "up_to_date", "none": "failed"})

    def test_fail_fast(self):
        self.assertEqual(self.statuses("-d", self.models, "--fail-fast", code=3), {
            "bad": "failed", "empty": "not_started", "good": "not_started", "zlate": "not_started"})
        self.assert_names(self.models, "bad.safetensors", "empty.safetensors", "good.safetensors", "zlate.safetensors")

    def test_a_dry_run_finds_what_would_fail(self):
        self.assertEqual(self.statuses("-d", self.models, "--dry-run", code=4), {
            "bad": "failed", "empty": "failed", "good": "planned", "zlate": "planned"})
        self.assert_names(self.models, "bad.safetensors", "empty.safetensors", "good.safetensors", "zlate.safetensors")

    def test_wrong_options_end_the_run_before_it_begins(self):
        self.refuse(2, "batch", "-d", self.models, "--format", "no_such_format")
        self.refuse(2, "batch", "-d", self.models, "--exclude-layers", "(")
        self.refuse(3, "batch", "-d", self.models, "--lora-mapping", self.models / "bad.safetensors")
        self.refuse(5, "batch", "-d", self.models, "--lora-mapping", self.models / "none.json")
        self.refuse(5, "batch", "-d", self.models, "--lora-dir", self.models / "none")


class LorasTest(BatchTest):
    def setUp(self):
        super().setUp()
        self.loras = self.folder / "loras"
        self.loras.mkdir()

    def mapping(self, entries):
        path = self.folder / "map.json"
        path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
        return path

    def stored(self, name):
        path = self.models / f"{name}_int8_tensorwise.safetensors"
        return checkpoint_file.decode(checkpoint_file.read(path).tensors["a.weight"])

    def test_each_model_gets_its_own(self):
        for seed, name in enumerate(("flux-dev", "sdxl", "other")):
            self.model(name, seed)
        one, two = lora(self.loras / "one.safetensors", 10), lora(self.loras / "two.safetensors", 11)
        document, _ = self.batch(
            "-d", self.models, "--format", "int8_tensorwise", "--lora-dir", self.loras, "--lora-mapping",
            self.mapping({"_comment": "", "flux": ["one.safetensors", "two.safetensors:0.5"], "sdxl": "two.safetensors"}))
        self.assertEqual([[os.path.basename(one["path"]) for one in item["loras"]] for item in document["items"]],
                         [["one.safetensors", "two.safetensors"], [], ["two.safetensors"]])
        for seed, name, delta in ((0, "flux-dev", one + 0.5 * 0.9 * two), (1, "sdxl", two), (2, "other", 0 * one)):
            merged = encode(checkpoint_file.decode(weight(seed)).astype(np.float64) + delta, "F32")
            expected = checkpoint_file.decode(stored_layer("a", merged, "int8_tensorwise")["a.weight"])
            self.assertLessEqual(np.abs(self.stored(name).astype(int) - expected).max(), 1, name)
            self.assertLess(np.mean(self.stored(name) != expected), 1e-3, name)

    def test_files_of_a_folder_by_the_models_name(self):
        for name in ("a", "b", "c"):
            self.model(name)
        lora(self.loras / "a.safetensors", 1)
        lora(self.loras / "b_lora.safetensors", 2)
        document, _ = self.batch("-d", self.models, "--lora-dir", self.loras, "--dry-run")
        self.assertEqual([[os.path.basename(one["path"]) for one in item["loras"]] for item in document["items"]],
                         [["a.safetensors"], ["b_lora.safetensors"], []])

    def test_a_lora_for_all_wins(self):
        self.model("a")
        file = lora(self.loras / "all.safetensors", 1) is not None and self.loras / "all.safetensors"
        document, _ = self.batch("-d", self.models, "--merge-lora", file, "--merge-lora-scale", "0.5", "--lora-mapping",
                                 self.mapping({"a": "none.safetensors"}), "--dry-run")
        self.assertEqual(document["items"][0]["loras"], [{"path": str(file), "strength": 1.0}])

    def test_loras_beside_the_models_are_no_models(self):
        self.model("a")
        lora(self.models / "style.safetensors", 1)
        document, said = self.batch("-d", self.models, "--merge-lora", self.models / "style.safetensors", "--dry-run")
        self.assertEqual(len(document["items"]), 1)
        self.assertIn("style.safetensors is left out: it is a LoRA", said)

    def test_another_lora_makes_the_output_out_of_date(self):
        self.model("a")
        lora(self.loras / "a.safetensors", 1)
        self.assertEqual(self.statuses("-d", self.models, "--lora-dir", self.loras), {"a": "converted"})
        self.assertEqual(self.statuses("-d", self.models, "--lora-dir", self.loras), {"a": "up_to_date"})
        lora(self.loras / "a.safetensors", 2)
        document = self.batch("-d", self.models, "--lora-dir", self.loras, code=2)[0]
        self.assertIn("loras", document["items"][0]["error"]["message"])

    def test_a_missing_lora_fails_its_model_only(self):
        self.model("a")
        self.model("b")
        self.assertEqual(self.statuses("-d", self.models, "--lora-mapping", self.mapping({"a": "none.safetensors"}), code=5),
                         {"a": "failed", "b": "converted"})

    def test_mappings_that_are_wrong(self):
        self.model("a")
        for text, said in (('{"a": "x", "a": "y"}', "twice"), ("{", "not JSON"), ('{"a": 3}', "'a' is 3"), ("[]", "object")):
            self.assertIn(said, self.refuse(3, "batch", "-d", self.models, "--lora-mapping", self.mapping(text)))
        self.assert_names(self.models, "a.safetensors")

    def test_a_key_without_a_model_is_a_warning(self):
        self.model("a")
        said = self.batch("-d", self.models, "--dry-run", "--lora-mapping", self.mapping({"b": "x.safetensors"}))[1]
        self.assertIn("no model goes by 'b'", said)


if __name__ == "__main__":
    unittest.main()
