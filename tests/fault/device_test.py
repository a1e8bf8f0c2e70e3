"""A device that is lost in the middle of a run, or has no memory. Under --device auto the next backend carries on and
the file is the same, byte for byte, with a line that says so; a device that was asked for by name ends the run with
exit code 6 and no output. The device is a backend that fails on request (frail_backend.cpp)."""

import os
import unittest

import numpy as np

import checkpoint_file
from program import ConversionTest, environment, octavo, sha256
from weight_sets import companions, gaussian

PLUGINS = os.environ["OCTAVO_FRAIL_PLUGINS"]
FORMATS = ("int8_convrot", "int8_tensorwise:scale=tensor", "int8_blockwise", "fp16")
LAYERS, ROWS, COLS = 6, 640, 256
TILE_ROWS = 128  # tiles of 64 KiB, so five for each layer


class DeviceTest(ConversionTest):
    def setUp(self):
        super().setUp()
        tensors = {f"layer{i}.weight": checkpoint_file.encode(gaussian(i, (ROWS, COLS)), "BF16") for i in range(LAYERS)}
        tensors.update(companions(1))
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        self.target = self.folder / "out.safetensors"

    def options(self, device, spec="int8_convrot", *arguments):
        return ["--format", spec, "--model", "none", "--tile-size", "64KiB", "--force", "--plugin-path", PLUGINS,
                "--device", device, *arguments]

    def on_cpu(self, spec):
        self.convert(self.source, self.target, *self.options("cpu", spec))
        return sha256(self.target)

    def on_frail(self, spec, *arguments):
        document = self.convert(
            self.source, self.target, *self.options("auto", spec, *arguments), env=environment(OCTAVO_DEVICE="auto"))
        # Not what happened: a GPU that this machine lacks.
        document["notes"] = [note for note in document["notes"] if not note.startswith("cuda is not used: ")]
        return document, sha256(self.target)

    def test_a_device_that_works(self):
        for spec in FORMATS:
            with self.subTest(format=spec):
                expected = self.on_cpu(spec)
                document, digest = self.on_frail(spec)
                self.assertEqual(digest, expected)
                self.assertEqual(document["device"], "frail")
                self.assertEqual(document["notes"], [])

    def test_whole_layers_stream_through_small_slots(self):
        """A layer has 320 KiB and codes of half that; a slot's block of host memory a fraction of it."""
        self.on_cpu("int8_convrot")
        nearest = checkpoint_file.read(self.target).tensors
        for tile_size in ("16KiB", "64KiB", "1MiB"):
            for loses in ("false", "true"):
                with self.subTest(tile_size=tile_size, loses=loses):
                    self.convert(
                        self.source, self.target,
                        *self.options("frail", "int8_convrot", "--optimizer", f"mirror:loses={loses}",
                                      "--tile-size", tile_size))
                    stored = checkpoint_file.read(self.target).tensors
                    for name, tensor in nearest.items():
                        expected = tensor.data
                        if tensor.dtype == "I8" and name.startswith("layer") and loses == "false":
                            expected = (-checkpoint_file.decode(tensor)).astype(np.int8).tobytes()
                        self.assertEqual(stored[name].data, expected, name)

    def test_lost_while_layers_stream(self):
        """What streams is written in other pieces than its fallback writes."""
        self.convert(self.source, self.target, *self.options("cpu", "int8_convrot", "--optimizer", "mirror"))
        expected = sha256(self.target)
        for operations in range(1, LAYERS + 1):
            with self.subTest(lost_after=operations):
                document, digest = self.on_frail(
                    "int8_convrot", "--optimizer", "mirror", "--tile-size", "16KiB", "--lanes", "2",
                    "--set", f"frail.lost_after={operations}")
                self.assertEqual(digest, expected)
                self.assertIn("without frail", document["notes"][0])

    def test_lost_after_tall_tiles(self):
        """On a device a layer that was prepared comes in taller tiles than on the CPU, which does all of it again."""
        tensors = {f"layer{i}.weight": checkpoint_file.encode(gaussian(i, (20480, 128)), "BF16") for i in range(3)}
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        arguments = ["--format", "int8_tensorwise", "--model", "none", "--force", "--plugin-path", PLUGINS,
                     "--optimizer", "mirror:comes=prepared", "--lanes", "1"]
        self.convert(self.source, self.target, *arguments, "--device", "cpu")
        expected = sha256(self.target)
        document = self.convert(
            self.source, self.target, *arguments, "--device", "auto", "--set", "frail.lost_after=3",
            env=environment(OCTAVO_DEVICE="auto"))
        self.assertEqual(sha256(self.target), expected)
        self.assertTrue(any("cpu does all of it, not frail" in note for note in document["notes"]), document["notes"])

    def test_lost_at_every_point(self):
        for spec in FORMATS:
            expected = self.on_cpu(spec)
            for operations in (1, 2, 3, 7, 12, 20, 29, 30):
                with self.subTest(format=spec, lost_after=operations):
                    document, digest = self.on_frail(spec, "--set", f"frail.lost_after={operations}")
                    self.assertEqual(digest, expected)
                    self.assertEqual(len(document["notes"]), 1, document["notes"])
                    self.assertIn("cpu carries on without frail: [", document["notes"][0])
                    self.assertIn("fell off the bus", document["notes"][0])

    def test_the_note_is_said_once(self):
        for lanes in ("1", "7"):
            done = self.run_text("auto", "--set", "frail.lost_after=9", "--lanes", lanes)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr.count("carries on without"), 1, done.stderr)

    def run_text(self, device, *arguments):
        return octavo("convert", self.source, "-o", self.target, *self.options(device, "int8_convrot", *arguments),
                      env=environment(OCTAVO_DEVICE="auto"))

    def test_lost_and_asked_for_by_name(self):
        message = self.refuse(
            6, "convert", self.source, "-o", self.target,
            *self.options("frail", "int8_convrot", "--set", "frail.lost_after=9"))
        self.assertIn("fell off the bus", message)
        self.assert_files("source.safetensors")

    def test_memory_for_small_tiles(self):
        for spec in ("int8_convrot", "int8_tensorwise"):
            with self.subTest(format=spec):
                expected = self.on_cpu(spec)
                document, digest = self.on_frail(spec, "--set", f"frail.most_rows={TILE_ROWS // 8}")
                self.assertEqual(digest, expected)
                self.assertEqual((document["device"], document["notes"]), ("frail", []))
                for layer in document["layers"]:
                    self.assertIn("smaller tiles", layer["note"])

    def with_a_tall_layer(self):
        """Its tile has all of its 640 rows, so an eighth of it is 80 rows high; those of the others 16."""
        tensors = {f"layer{i}.weight": checkpoint_file.encode(gaussian(i, (ROWS, COLS)), "BF16") for i in range(LAYERS)}
        tensors["tall.weight"] = checkpoint_file.encode(gaussian(9, (ROWS, 32)), "BF16")
        tensors.update(companions(1))
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)

    def test_no_memory_for_one_tensor(self):
        self.with_a_tall_layer()
        expected = self.on_cpu("int8_convrot")
        for lanes in ("1", "5"):
            with self.subTest(lanes=lanes):
                document, digest = self.on_frail("int8_convrot", "--set", "frail.most_rows=20", "--lanes", lanes)
                self.assertEqual(digest, expected)
                self.assertEqual(document["device"], "frail")
                grouped, lacking = document["notes"]
                self.assertIn("rotated in groups of 16", grouped)
                self.assertIn("cpu works on what frail has no memory for, tall.weight first: ", lacking)
                notes = {layer["name"]: layer.get("note") or "" for layer in document["layers"]}
                for name, note in notes.items():
                    self.assertEqual("smaller tiles" in note, not name.startswith("tall"), notes)

    def test_no_memory_for_any_tensor(self):
        self.with_a_tall_layer()
        for spec in FORMATS:
            expected = self.on_cpu(spec)
            for lanes in ("1", "5"):
                with self.subTest(format=spec, lanes=lanes):
                    document, digest = self.on_frail(spec, "--set", "frail.most_rows=1", "--lanes", lanes)
                    self.assertEqual(digest, expected)
                    said = [note for note in document["notes"] if "cpu works on what frail has no memory for" in note]
                    self.assertEqual(len(said), 1, document["notes"])
        message = self.refuse(
            6, "convert", self.source, "-o", self.target,
            *self.options("frail", "int8_convrot", "--set", "frail.most_rows=1"))
        self.assertIn("the tile does not fit", message)

    def test_memory_for_some_lanes(self):
        expected = self.on_cpu("int8_convrot")
        document, digest = self.on_frail("int8_convrot", "--set", "frail.lanes=2")
        self.assertEqual(digest, expected)
        self.assertEqual(document["device"], "frail")
        self.assertIn("fewer lanes of frail", document["notes"][0])
        # Also where it was asked for by name: it does the work.
        self.convert(self.source, self.target, *self.options("frail", "int8_convrot", "--set", "frail.lanes=1"))
        self.assertEqual(sha256(self.target), expected)

    def on_two(self, device, *arguments):
        document = self.convert(self.source, self.target, *self.options(device, "int8_convrot", *arguments))
        return document["notes"], sha256(self.target)

    def test_several_devices_share_the_work(self):
        expected = self.on_cpu("int8_convrot")
        self.assertEqual(self.on_two("frail:0,1"), ([], expected))
        # One that has no memory shows that it was to have lanes, and the other one that it has them.
        for memory_on in (0, 1):
            notes, digest = self.on_two("frail:0,1", "--set", f"frail.memory_on={memory_on}")
            self.assertEqual(digest, expected)
            self.assertEqual(len(notes), 1, notes)
            self.assertIn("fewer lanes of frail", notes[0])
        self.refuse(6, "convert", self.source, "-o", self.target,
                    *self.options("frail:0", "int8_convrot", "--set", "frail.memory_on=1"))

    def test_what_is_prepared_stays_on_the_first_device(self):
        mirror = ["--optimizer", "mirror:comes=prepared"]
        _, expected = self.on_two("frail:0", *mirror)
        for rehearsed in ([], ["--keep-worst", "1"]):
            notes, digest = self.on_two("frail:1,0", *mirror, "--set", "frail.memory_on=1", *rehearsed)
            said = "frail:1 does all of it: what is prepared for a layer stays on one device"
            self.assertEqual([note for note in notes if "device" in note], [said])
            self.assertEqual(digest == expected, not rehearsed)

    def test_whole_layers_that_are_not_prepared_are_spread(self):
        _, expected = self.on_two("frail:0", "--optimizer", "mirror")
        notes, digest = self.on_two("frail:0,1", "--optimizer", "mirror", "--set", "frail.memory_on=1")
        self.assertEqual(digest, expected)
        self.assertIn("fewer lanes of frail", notes[0])

    def test_memory_for_no_lane(self):
        expected = self.on_cpu("int8_convrot")
        document, digest = self.on_frail("int8_convrot", "--set", "frail.lanes=0")
        self.assertEqual(digest, expected)
        self.assertIn("cpu works instead of frail", document["notes"][0])
        message = self.refuse(
            6, "convert", self.source, "-o", self.target,
            *self.options("frail", "int8_convrot", "--set", "frail.lanes=0"))
        self.assertIn("no memory for another lane", message)


if __name__ == "__main__":
    unittest.main()
