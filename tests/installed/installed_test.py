"""The installed tree, moved to another place, used from an empty folder with an empty environment: convert, verify,
compare, and the same bytes as from the build tree."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import checkpoint_file
from program import octavo, sha256
from weight_sets import dit_like, gaussian

BUILD = os.environ["OCTAVO_BUILD"]
CMAKE = os.environ["OCTAVO_CMAKE"]


def model():
    """A small network with the layers that a filter has to choose from."""
    tensors = {
        "embed_tokens.weight": gaussian(1, (512, 256)),
        "final_layer.weight": gaussian(2, (64, 256)),
        "norm.weight": gaussian(3, (256,)),
    }
    for block in range(4):
        tensors[f"blocks.{block}.attn.qkv.weight"] = dit_like(10 + block, (768, 256))
        tensors[f"blocks.{block}.attn.qkv.bias"] = gaussian(20 + block, (768,))
        tensors[f"blocks.{block}.mlp.down.weight"] = dit_like(30 + block, (256, 1024))
        tensors[f"blocks.{block}.norm.weight"] = gaussian(40 + block, (256,))
    return {name: checkpoint_file.encode(values, "BF16") for name, values in tensors.items()}


class InstalledTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = pathlib.Path(tempfile.mkdtemp(prefix="octavo-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        first = cls.top / "first"
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", first], check=True, capture_output=True)
        cls.tree = cls.top / "another place"
        shutil.move(first, cls.tree)
        cls.bare = cls.top / "bare"
        cls.bare.mkdir()
        cls.source = checkpoint_file.write(cls.bare / "model.safetensors", model(), {"title": "small"})

    def run_installed(self, *arguments, program=None, expected=0):
        done = subprocess.run(
            [program or self.tree / "bin" / "octavo", *map(str, arguments)], cwd=self.bare,
            env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
        self.assertEqual(done.returncode, expected, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def document(self, *arguments, **options):
        return json.loads(self.run_installed(*arguments, "--json", **options).stdout)

    def test_convert_verify_compare(self):
        output = self.bare / "model_int8_convrot.safetensors"
        converted = self.document("convert", "model.safetensors")
        self.addCleanup(output.unlink)
        self.assertEqual(len(converted["layers"]), 8)  # the embedding, the ends and the norms stay
        verified = self.document("verify", output.name)
        self.assertTrue(verified["ok"])
        self.assertEqual([finding for finding in verified["findings"] if finding["severity"] == "error"], [])
        loads = {consumer["name"]: consumer["loads"] for consumer in verified["consumers"]}
        self.assertEqual(loads["ComfyUI"], "yes")
        compared = self.document("compare", "model.safetensors", output.name)
        self.assertEqual({layer["name"] for layer in compared["layers"]},
                         {layer["name"] for layer in converted["layers"]})
        for layer in compared["layers"]:
            self.assertGreater(layer["sqnr_db"], 40, layer["name"])
        # As people run it, with text instead of documents.
        for arguments in (("verify", output.name), ("compare", "model.safetensors", output.name),
                          ("inspect", output.name), ("plan", "model.safetensors")):
            self.assertTrue(self.run_installed(*arguments).stdout.strip(), arguments)

    def test_damage_is_found(self):
        output = self.bare / "damaged.safetensors"
        self.run_installed("convert", "model.safetensors", "-o", output)
        self.addCleanup(output.unlink)
        tensors = checkpoint_file.read(output).tensors
        del tensors["blocks.0.attn.qkv.comfy_quant"]
        checkpoint_file.write(output, tensors)
        self.assertFalse(self.document("verify", output, expected=7)["ok"])
        output.write_bytes(output.read_bytes()[:-1])
        self.assertIn("truncated", self.run_installed("verify", output, expected=7).stdout)
        self.assertIn("truncated", self.run_installed("inspect", output, expected=3).stderr)

    def test_the_same_bytes_as_from_the_build_tree(self):
        digests = set()
        for name in ("installed", "built"):
            output = self.bare / f"{name}.safetensors"
            arguments = ("convert", self.source, "-o", output)
            if name == "installed":
                self.run_installed(*arguments)
            else:
                self.assertEqual(octavo(*arguments).returncode, 0)
            digests.add(sha256(output))
            output.unlink()
        self.assertEqual(len(digests), 1)

    def test_every_plugin_is_there_and_usable(self):
        plugins = self.document("plugins")["plugins"]
        built = json.loads(octavo("plugins", "--json").stdout)["plugins"]
        self.assertEqual({(plugin["kind"], plugin["id"]) for plugin in plugins},
                         {(plugin["kind"], plugin["id"]) for plugin in built})
        for plugin in plugins:
            with self.subTest(plugin=plugin["id"]):
                self.assertEqual(plugin["state"], "available", plugin.get("reason"))
                self.assertTrue(pathlib.Path(plugin["path"]).is_relative_to(self.tree), plugin["path"])

    def test_nothing_points_to_the_build_tree(self):
        for library in [*self.tree.rglob("*.so"), self.tree / "bin" / "octavo"]:
            listed = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
            for line in listed.splitlines():
                if "RUNPATH" in line or "RPATH" in line:
                    for entry in line.split("[")[1].rstrip("]").split(":"):
                        self.assertTrue(entry.startswith("$ORIGIN"), f"{library}: {line}")

    def test_it_finds_itself_through_a_link_and_through_the_path(self):
        links = self.top / "links"
        links.mkdir(exist_ok=True)
        link = links / "octavo"
        link.unlink(missing_ok=True)
        link.symlink_to(self.tree / "bin" / "octavo")
        old_name = links / "convert_to_quant"
        old_name.unlink(missing_ok=True)
        old_name.symlink_to(link)
        self.run_installed("plan", "model.safetensors", program=link)
        output = self.bare / "old.safetensors"
        self.run_installed("-i", "model.safetensors", "-o", output, "--scaling_mode", "row", program=old_name)
        self.addCleanup(output.unlink)
        done = subprocess.run(
            ["octavo", "plan", "model.safetensors"], cwd=self.bare, env={"PATH": str(links)}, capture_output=True,
            text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_current_folder_is_not_searched(self):
        for folder in (self.bare / "lib" / "octavo" / "plugins" / "formats", self.bare / "plugins" / "formats"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.tree / "lib" / "octavo" / "plugins" / "formats" / "fp16.so", folder / "intruder.so")
        self.addCleanup(shutil.rmtree, self.bare / "lib")
        self.addCleanup(shutil.rmtree, self.bare / "plugins")
        listed = self.run_installed("plugins", "--json").stdout
        self.assertNotIn("intruder", listed)


if __name__ == "__main__":
    unittest.main()
