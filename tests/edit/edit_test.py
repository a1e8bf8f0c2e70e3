"""octavo edit: markers and metadata change as asked, and not a byte of anything else."""

import json
import os
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, encode
from program import ConversionTest, octavo, sha256

ROTATED = '{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256}'
PLAIN = '{"format": "int8_tensorwise"}'
FULL = "'full_precision_matrix_mult': true"


def marker(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return Tensor("U8", (len(raw),), raw)


def layer(name, text, seed, shape=(24, 256)):
    random = np.random.default_rng(seed)
    return {
        name + ".weight": encode(random.integers(-127, 128, shape), "I8"),
        name + ".weight_scale": encode(random.random((shape[0], 1)), "F32"),
        name + ".comfy_quant": marker(text),
    }


class EditTest(ConversionTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(3)
        self.before = {
            **layer("blocks.0.attn", ROTATED, 1), **layer("blocks.1.attn", PLAIN, 2),
            "norm.weight": encode(random.standard_normal(7), "BF16"),
            "flags": encode(np.array([True, False]), "BOOL"),
            "empty": Tensor("F32", (0, 3), b""),
        }
        self.source = self.write(self.before, {"modelspec.title": "a model"})
        self.target = self.folder / "model_edited.safetensors"

    def write(self, tensors, metadata=None, name="model.safetensors"):
        return checkpoint_file.write(self.folder / name, tensors, metadata)

    def edit(self, *arguments, source=None):
        done = octavo("edit", source or self.source, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(document["schema"], "octavo.edit/1")
        return document, done.stderr

    def markers(self, path=None):
        tensors = checkpoint_file.read(path or self.target).tensors
        return {
            name.removesuffix(".comfy_quant"): tensor.data.decode()
            for name, tensor in tensors.items() if name.endswith(".comfy_quant")
        }

    def metadata(self):
        return checkpoint_file.read(self.target).metadata

    def assert_only_markers_differ(self, before, path=None):
        after = checkpoint_file.read(path or self.target).tensors
        self.assertEqual(set(after), set(before))
        for name, tensor in before.items():
            if not name.endswith(".comfy_quant"):
                self.assertEqual(after[name], tensor, name)


class MarkersTest(EditTest):
    def test_keys_are_added_and_removed(self):
        document, _ = self.edit("--add-keys", FULL, "--remove-keys", "convrot_groupsize, convrot")
        full = '{"format": "int8_tensorwise", "full_precision_matrix_mult": true}'
        self.assertEqual(self.markers(), {"blocks.0.attn": full, "blocks.1.attn": full})
        self.assert_only_markers_differ(self.before)
        self.assertEqual([(one["name"], one["before"], one["after"], one["changed"]) for one in document["layers"]],
                         [("blocks.0.attn", ROTATED, full, True), ("blocks.1.attn", PLAIN, full, True)])
        self.assertTrue(document["changes"] and document["written"])

    def test_the_same_bytes_as_a_conversion_with_the_flag(self):
        weights = np.random.default_rng(9).standard_normal((64, 256))
        source = self.write({"a.weight": encode(weights, "BF16")}, name="float.safetensors")
        plain, full = self.folder / "plain.safetensors", self.folder / "full.safetensors"
        self.convert(source, plain)
        self.convert(source, full, "--full-precision-matrix-mult")
        self.edit("--add-keys", FULL, "-o", self.target, source=plain)
        self.assertEqual(checkpoint_file.read(self.target).tensors, checkpoint_file.read(full).tensors)
        for path in (plain, self.target):
            self.assertEqual(octavo("verify", path).returncode, 0)

    def test_the_filter_searches_the_layers_name(self):
        self.edit("--add-keys", FULL, "--quant-filter", r"\.1\.")
        self.assertEqual(self.markers(), {
            "blocks.0.attn": ROTATED, "blocks.1.attn": '{"format": "int8_tensorwise", "full_precision_matrix_mult": true}'})

    def test_a_marker_that_does_not_change_keeps_its_bytes(self):
        odd = '{ "format":"int8_tensorwise" }  '
        source = self.write({**self.before, **layer("odd", odd, 5)}, name="odd.safetensors")
        document, said = self.edit("--remove-keys", "per_row", "-o", self.target, source=source)
        self.assertEqual(self.markers()["odd"], odd)
        self.assertFalse(document["changes"])
        self.assertIn("nothing changes", said)
        self.assertNotIn("octavo", self.metadata() or {})

    def test_values(self):
        self.edit("--add-keys", '{"params": {"linear_dtype": "int8"}, "n": 3}', "--add-keys", "'m': 0.5", "--quant-filter", "1")
        self.assertEqual(json.loads(self.markers()["blocks.1.attn"]),
                         {"format": "int8_tensorwise", "params": {"linear_dtype": "int8"}, "n": 3, "m": 0.5})

    def test_a_marker_without_format_is_a_warning(self):
        document, said = self.edit("--remove-keys", "format", "--quant-filter", "1")
        self.assertIn("1 marker is without a format", said)
        self.assertEqual(len(document["warnings"]), 1)

    def test_a_marker_that_tells_of_other_weights_is_a_warning(self):
        document, said = self.edit("--remove-keys", "convrot_groupsize, convrot")
        self.assertIn("what markers say of convrot, convrot_groupsize changes: loaders will read other weights", said)
        self.assertEqual(len(document["warnings"]), 1)
        document, _ = self.edit("--add-keys", FULL, "--force")
        self.assertEqual(document["warnings"], [])

    def test_half_of_a_rotation_is_found(self):
        self.edit("--remove-keys", "convrot")
        found = json.loads(octavo("verify", self.target, "--json").stdout)["findings"]
        self.assertEqual([(one["code"], one["severity"]) for one in found if one["code"].startswith("convrot")],
                         [("convrot-missing", "warning")])

    def test_the_output_of_a_conversion_edits_back(self):
        """There and back again gives the first file's tensors."""
        once = self.folder / "once.safetensors"
        self.edit("--add-keys", FULL, "-o", once)
        self.edit("--remove-keys", "full_precision_matrix_mult", "-o", self.target, source=once)
        self.assertEqual(checkpoint_file.read(self.target).tensors, self.before)


class HeaderTest(EditTest):
    def entries(self):
        return json.loads(self.metadata()["_quantization_metadata"])["layers"]

    def with_header(self, layers):
        text = json.dumps({"format_version": "1.0", "layers": layers})
        return self.write(self.before, {"_quantization_metadata": text, "config": "{}"}, "header.safetensors")

    def test_other_metadata_stay_and_the_provenance_tells(self):
        self.edit("--add-keys", FULL, "--quant-filter", "attn")
        metadata = self.metadata()
        self.assertEqual(metadata["modelspec.title"], "a model")
        edits = json.loads(metadata["octavo"])["edits"]
        self.assertEqual(len(edits), 1)
        self.assertEqual(edits[0]["add_keys"], {"full_precision_matrix_mult": True})
        self.assertEqual(edits[0]["quant_filter"], "attn")
        self.assertEqual(edits[0]["source"]["bytes"], self.source.stat().st_size)

    def test_the_provenance_of_a_conversion_is_kept(self):
        source = self.write({"a.weight": encode(np.ones((64, 256)), "F32")}, name="float.safetensors")
        converted = self.folder / "converted.safetensors"
        self.convert(source, converted)
        before = json.loads(checkpoint_file.read(converted).metadata["octavo"])
        self.edit("--add-keys", FULL, "-o", self.target, source=converted)
        after = json.loads(self.metadata()["octavo"])
        self.assertEqual({key: after[key] for key in before}, before)
        self.assertEqual(len(after["edits"]), 1)

    def test_a_provenance_whose_edits_are_no_list(self):
        for edits in ("text", {"a": 1}, 7, None):
            made = json.dumps({"version": "0", "edits": edits})
            source = self.write(self.before, {"octavo": made}, "provenance.safetensors")
            self.edit("--add-keys", FULL, "-o", self.target, "--force", source=source)
            after = json.loads(self.metadata()["octavo"])
            self.assertEqual(after["version"], "0")
            self.assertEqual(len(after["edits"]), 1)

    def test_a_header_without_a_version_keeps_what_else_it_says(self):
        text = json.dumps({"made_by": "somebody", "layers": {"blocks.0.attn": json.loads(ROTATED)}})
        source = self.write(self.before, {"_quantization_metadata": text}, "unversioned.safetensors")
        self.edit("--add-keys", FULL, "-o", self.target, source=source)
        after = json.loads(self.metadata()["_quantization_metadata"])
        self.assertEqual(list(after), ["format_version", "made_by", "layers"])
        self.assertEqual(after["made_by"], "somebody")
        self.assertEqual(after["layers"]["blocks.0.attn"], json.loads(self.markers()["blocks.0.attn"]))

    def test_entries_follow_their_markers(self):
        source = self.with_header({"blocks.0.attn": json.loads(PLAIN), "blocks.1.attn": {"format": "stale"}})
        document, _ = self.edit("--add-keys", FULL, "--quant-filter", "0", "-o", self.target, source=source)
        entries = self.entries()
        self.assertEqual(entries["blocks.0.attn"], json.loads(self.markers()["blocks.0.attn"]))
        self.assertEqual(entries["blocks.1.attn"], {"format": "stale"}, "its marker did not change")
        self.assertIn("_quantization_metadata", document["metadata_changed"])

    def test_an_entry_without_prefix_follows_too(self):
        tensors = layer("model.diffusion_model.a", ROTATED, 1)
        text = json.dumps({"format_version": "1.0", "layers": {"a": json.loads(ROTATED)}})
        source = self.write(tensors, {"_quantization_metadata": text}, "prefix.safetensors")
        self.edit("--add-keys", FULL, "-o", self.target, source=source)
        self.assertEqual(self.entries()["a"], json.loads(self.markers()["model.diffusion_model.a"]))

    def test_entries_without_marker_are_edited_by_themselves(self):
        tensors = {name: tensor for name, tensor in self.before.items() if not name.endswith(".comfy_quant")}
        text = json.dumps({"format_version": "1.0", "layers": {"blocks.0.attn": json.loads(ROTATED)}})
        source = self.write(tensors, {"_quantization_metadata": text}, "legacy.safetensors")
        document, _ = self.edit("--remove-keys", "convrot", "-o", self.target, source=source)
        self.assertEqual(self.entries(), {"blocks.0.attn": {"format": "int8_tensorwise", "convrot_groupsize": 256}})
        self.assertEqual(document["layers"][0]["where"], "header")
        self.assertEqual(checkpoint_file.read(self.target).tensors, tensors)

    def test_save_quant_metadata_makes_an_entry_of_every_marker(self):
        self.edit("--save-quant-metadata")
        text = self.metadata()["_quantization_metadata"]
        self.assertEqual(text, '{"format_version": "1.0", "layers": {"blocks.0.attn": %s, "blocks.1.attn": %s}}'
                         % (ROTATED, PLAIN))
        self.assertEqual(self.markers(), {"blocks.0.attn": ROTATED, "blocks.1.attn": PLAIN})

    def test_metadata_is_set_and_taken_out(self):
        document, _ = self.edit("--set-metadata", "modelspec.author=a=b", "--remove_metadata", "modelspec.title")
        metadata = self.metadata()
        self.assertEqual(metadata["modelspec.author"], "a=b")
        self.assertNotIn("modelspec.title", metadata)
        self.assertEqual(document["metadata_changed"], ["modelspec.author", "modelspec.title"])
        self.assertEqual(document["layers"], [])

    def test_a_header_that_is_no_json(self):
        source = self.write(self.before, {"_quantization_metadata": "{"}, "broken.safetensors")
        self.assertIn("_quantization_metadata", self.refuse(3, "edit", source, "--add-keys", FULL))
        self.edit("--remove-metadata", "_quantization_metadata", "-o", self.target, source=source)
        self.assertNotIn("_quantization_metadata", self.metadata())


class FilesTest(EditTest):
    def test_the_data_begins_alike_so_that_blocks_can_be_shared(self):
        """Also where the new header is longer: its spaces make up for it."""
        self.edit("--set-metadata", "long=" + "x" * 5000)
        starts = [8 + int.from_bytes(path.read_bytes()[:8], "little") for path in (self.source, self.target)]
        self.assertEqual(starts[0] % 4096, starts[1] % 4096)
        self.assertEqual(octavo("verify", self.target).returncode, 0)

    def test_large_tensors_are_copied_whole(self):
        random = np.random.default_rng(11)
        big = {**layer("big", ROTATED, 4, (3000, 1024)), "table.weight": encode(random.standard_normal((700, 1000)), "BF16")}
        source = self.write(big, name="big.safetensors")
        for verify in ("header", "sampled", "full"):
            self.edit("--add-keys", FULL, "-o", self.target, "--force", "--verify", verify, source=source)
            self.assert_only_markers_differ(big)

    def test_tensors_in_another_order(self):
        """A source whose data lies otherwise than the reference writer puts it is copied tensor by tensor."""
        names = sorted(self.before)
        entries, data = {}, b""
        for name in names:
            tensor = self.before[name]
            entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape),
                             "data_offsets": [len(data), len(data) + len(tensor.data)]}
            data += tensor.data
        source = self.folder / "order.safetensors"
        source.write_bytes(checkpoint_file.frame(checkpoint_file.padded(json.dumps(entries)), data))
        self.edit("--add-keys", FULL, "-o", self.target, source=source)
        self.assert_only_markers_differ(self.before)

    def test_a_sharded_set_stays_one(self):
        weights = {f"layers.{i}.weight": encode(np.full((64, 256), i + 1.0), "F32") for i in range(4)}
        source = self.write(weights, name="float.safetensors")
        shards = self.folder / "shards"
        self.convert(source, shards, "--shards", "2")
        document, _ = self.edit("--add-keys", FULL, source=shards)
        target = self.folder / "shards_edited"
        self.assertEqual(document["output"], str(target))
        self.assertEqual(sorted(os.listdir(target)), sorted(os.listdir(shards)))
        index = [json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"] for folder in (shards, target)]
        self.assertEqual(*index)
        for name in os.listdir(shards):
            if name.endswith(".safetensors"):
                self.assert_only_markers_differ(checkpoint_file.read(shards / name).tensors, target / name)
                for text in self.markers(target / name).values():
                    self.assertIn('"full_precision_matrix_mult": true', text)

    def test_never_in_place(self):
        before = sha256(self.source)
        link = self.folder / "link.safetensors"
        os.link(self.source, link)
        for target in (self.source, link):
            self.refuse(2, "edit", self.source, "-o", target, "--force", "--add-keys", FULL)
        self.assertEqual(sha256(self.source), before)

    def test_an_existing_output_needs_force(self):
        self.target.write_bytes(b"mine")
        self.refuse(2, "edit", self.source, "--add-keys", FULL)
        self.assertEqual(self.target.read_bytes(), b"mine")
        self.edit("--add-keys", FULL, "--force")

    def test_dry_run_ends_as_the_run_would(self):
        self.target.write_bytes(b"mine")
        for code, target in ((2, self.target), (2, self.source), (2, f"{self.folder}/new/"), (5, "/nowhere/x.safetensors")):
            for more in ((), ("--dry-run",)):
                self.refuse(code, "edit", self.source, "--add-keys", FULL, "-o", target, *more)
        self.assert_files("model.safetensors", "model_edited.safetensors")

    def test_dry_run_writes_nothing(self):
        document, _ = self.edit("--add-keys", FULL, "--dry-run")
        self.assertFalse(document["written"])
        self.assertEqual(sum(one["changed"] for one in document["layers"]), 2)
        self.assert_files("model.safetensors")
        done = octavo("edit", self.source, "--add-keys", FULL, "--dry-run")
        self.assertIn("not written", done.stdout)
        self.edit("--add-keys", FULL)
        self.assertEqual(self.target.stat().st_size, document["file_bytes"])


class RefusalsTest(EditTest):
    def test_usage(self):
        for arguments in ((), ("--quant-filter", "a"), ("--add-keys", "a: 1"), ("--add-keys", "{"), ("--remove-keys", "a,,b"),
                          ("--add-keys", FULL, "--quant-filter", "("), ("--set-metadata", "nothing"),
                          ("--set-metadata", "octavo=x"), ("--add-keys", FULL, "--quant_filters", "a")):
            self.refuse(2, "edit", self.source, *arguments)
        self.refuse(2, "edit", "--add-keys", FULL)
        self.assert_files("model.safetensors")

    def test_nothing_to_edit(self):
        said = self.refuse(4, "edit", self.source, "--add-keys", FULL, "--quant-filter", "blocks.2.attn")
        self.assertIn("hint: there is blocks.", said)
        plain = self.write({"a.weight": encode(np.ones((4, 4)), "F32")}, name="plain.safetensors")
        self.refuse(4, "edit", plain, "--add-keys", FULL)
        self.assert_files("model.safetensors", "plain.safetensors")

    def test_markers_that_are_no_json(self):
        source = self.write({**self.before, **layer("bad", b"\0\0", 6)}, name="bad.safetensors")
        self.assertIn("bad.comfy_quant", self.refuse(3, "edit", source, "--add-keys", FULL))
        self.edit("--add-keys", FULL, "--quant-filter", "attn", "-o", self.target, source=source)

    def test_inputs_that_are_no_checkpoints(self):
        self.refuse(5, "edit", self.folder / "none.safetensors", "--add-keys", FULL)
        bad = self.folder / "bad.safetensors"
        bad.write_bytes(self.source.read_bytes()[:-1])
        self.refuse(3, "edit", bad, "--add-keys", FULL)
        self.assert_files("model.safetensors", "bad.safetensors")


class ConvertFlagsTest(EditTest):
    """--edit-quant and its flags, as convert_to_quant has them."""

    def test_edit_quant_is_edit(self):
        done = octavo("convert", "-i", self.source, "--edit-quant", "--add-keys", FULL, "--remove_keys", "convrot",
                      "--quant-filter", "0", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["schema"], "octavo.edit/1")
        self.assertEqual(self.markers()["blocks.0.attn"],
                         '{"format": "int8_tensorwise", "full_precision_matrix_mult": true, "convrot_groupsize": 256}')
        self.assertEqual(self.markers()["blocks.1.attn"], PLAIN)

    def test_edit_quant_with_a_dry_run_and_the_header(self):
        self.assertEqual(octavo("convert", self.source, "--edit_quant", "--save-quant-metadata", "--dry-run").returncode, 0)
        self.assert_files("model.safetensors")
        self.assertEqual(octavo("convert", self.source, "--edit-quant", "--save-quant-metadata").returncode, 0)
        self.assertIn("_quantization_metadata", self.metadata())

    def test_a_conversion_says_that_they_are_not_for_it(self):
        source = self.write({"a.weight": encode(np.ones((64, 256)), "F32")}, name="float.safetensors")
        for flag, value in (("--add-keys", FULL), ("--remove-keys", "a"), ("--quant-filter", "a")):
            done = octavo("convert", source, "-o", self.target, "--force", flag, value)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{flag} has no effect", done.stderr)


if __name__ == "__main__":
    unittest.main()
