"""Sets of files with an index: what they hold beside one file, sources that are such sets, and runs that write one and
are stopped, killed, or fail. A set appears whole or not at all, and the old one stays until then."""

import errno
import json
import os
import signal
import time
import unittest

import checkpoint_file
from checkpoint_file import encode
from program import SANITIZED, ConversionTest, environment, octavo, sha256, start
from sparse_model import write_sparse_model
from weight_sets import companions, gaussian

SHIM = os.environ["OCTAVO_FAULT_SHIM"]
INDEX = "model.safetensors.index.json"
MOST_CALLS = 60  # a run that makes more of them has another fault


def layers():
    tensors = {f"blocks.{i}.linear.weight": encode(gaussian(i, (64 + 64 * (i % 3), 512)), "BF16") for i in range(7)}
    tensors.update({f"blocks.{i}.linear.bias": encode(gaussian(i, (64 + 64 * (i % 3),)), "F32") for i in range(0, 7, 2)})
    return {**tensors, **companions(5)}


def digests(folder):
    return {entry.name: sha256(entry) for entry in folder.iterdir()}


class SetCase(ConversionTest):
    def setUp(self):
        super().setUp()
        self.source = checkpoint_file.write(self.folder / "source.safetensors", layers(), {"title": "small"})
        self.target = self.folder / "set"

    def convert_to(self, target, *arguments, source=None):
        return self.convert(source or self.source, target, "--model", "none", *arguments)


class ShardsTest(SetCase):
    def expected(self):
        one = self.folder / "one.safetensors"
        self.convert_to(one, "--force")
        return checkpoint_file.read(one)

    def read_set(self):
        """name -> Tensor of all files, which have to be those of the index."""
        index = json.loads((self.target / INDEX).read_text())
        files = sorted(set(index["weight_map"].values()))
        self.assertEqual(sorted(entry.name for entry in self.target.iterdir()), sorted([*files, INDEX]))
        self.assertEqual(
            files, [f"model-{i:05}-of-{len(files):05}.safetensors" for i in range(1, len(files) + 1)])
        tensors = {}
        for name in files:
            read = checkpoint_file.read(self.target / name)
            self.assertEqual({key: index["weight_map"][key] for key in read.tensors}, dict.fromkeys(read.tensors, name))
            tensors.update(read.tensors)
        self.assertEqual(set(tensors), set(index["weight_map"]))
        self.assertEqual(index["metadata"]["total_size"], sum(len(tensor.data) for tensor in tensors.values()))
        return tensors, index["weight_map"], files

    def test_a_set_holds_what_one_file_holds(self):
        expected = self.expected().tensors
        for arguments, count in ((("--shards", "3"), 3), (("--shard-size", "120K"), None)):
            with self.subTest(arguments=arguments):
                self.convert_to(self.target, "--force", *arguments)
                tensors, places, files = self.read_set()
                self.assertEqual(tensors, expected)
                for i in range(7):  # a loader finds the parts of a layer together
                    parts = [f"blocks.{i}.linear.{part}" for part in ("weight", "weight_scale", "comfy_quant")]
                    self.assertEqual(len({places[part] for part in parts}), 1)
                if count:
                    self.assertEqual(len(files), count)

    def test_no_file_is_larger_than_asked_for(self):
        for size in (120_000, 200_000):
            self.convert_to(self.target, "--force", "--shard-size", size)
            _, _, files = self.read_set()
            sizes = [(self.target / name).stat().st_size for name in files]
            self.assertLessEqual(max(sizes), size)
            # Nor are there more files than needed, by much: two neighbours fit in no one.
            self.assertTrue(all(a + b > size for a, b in zip(sizes, sizes[1:])), sizes)

    def test_a_set_as_source(self):  # T20
        """The same tensors, spread by hand over three files, one layer's weight and bias apart."""
        parts = self.folder / "transformer"
        parts.mkdir()
        tensors = layers()
        places = {name: f"part-{i % 3}.safetensors" for i, name in enumerate(sorted(tensors))}
        for file in sorted(set(places.values())):
            checkpoint_file.write(parts / file, {key: tensors[key] for key in tensors if places[key] == file},
                                  {"title": "small"})
        (parts / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        expected = self.expected()
        converted = self.folder / "converted.safetensors"
        self.convert_to(converted, source=parts)
        read = checkpoint_file.read(converted)
        self.assertEqual(list(read.tensors), list(expected.tensors))
        self.assertEqual(read.tensors, expected.tensors)
        self.assertEqual(read.metadata["title"], "small")


class StoppedShardsTest(SetCase):
    """There is an old set, and a large source for a new one."""

    def setUp(self):
        super().setUp()
        self.convert_to(self.target, "--shards", "2")
        self.old = digests(self.target)
        self.large = write_sparse_model(self.folder / "large.safetensors", megabytes=200)

    def begin(self):
        child = start("convert", self.large, "-o", self.target, "--force", "--shards", "3", "--model", "none",
                      "--lanes", "1", env=environment(OCTAVO_SIMD="scalar"))
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        while not self.parts():
            self.assertIsNone(child.poll(), "the run ended before it wrote anything")
            time.sleep(0.0005)
        return child

    def parts(self):
        return [entry for entry in self.folder.iterdir() if entry.name.endswith(".part")]

    def test_stopped(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)):
            for seconds in (0, 0.15):
                with self.subTest(signal=number, seconds=seconds):
                    child = self.begin()
                    time.sleep(seconds)
                    sent = time.monotonic()
                    child.send_signal(number)
                    child.wait(timeout=60)
                    self.assertLess(time.monotonic() - sent, 20 if SANITIZED else 2)
                    self.assertEqual(child.returncode, code)
                    self.assertEqual(digests(self.target), self.old)
                    self.assert_files("source.safetensors", "large.safetensors", "set")

    def test_killed(self):
        child = self.begin()
        time.sleep(0.1)
        child.kill()
        child.wait()
        self.assertEqual(digests(self.target), self.old)
        (part,) = self.parts()
        for entry in part.iterdir():  # no loader takes one of its files for a checkpoint
            with open(entry, "rb") as file:
                self.assertIn(file.read(8), (b"", bytes(8)), entry.name)
        self.convert_to(self.target, "--shards", "2", "--force")  # nor does it stand in the way
        self.assertEqual(digests(self.target), self.old)

    def test_every_call_that_fails(self):
        outside = self.folder / "fault.log"
        names = sorted(entry.name for entry in self.folder.iterdir())
        for call, number, least in (("pwrite", errno.ENOSPC, 4), ("fallocate", errno.ENOSPC, 2), ("rename", errno.EIO, 1)):
            for n in range(1, MOST_CALLS):
                env = environment(LD_PRELOAD=SHIM, FAULT_LOG=outside, FAULT_CALL=call, FAULT_NUMBER=n, FAULT_ERRNO=number)
                done = octavo("convert", self.source, "-o", self.target, "--force", "--shards", "2", "--model", "none",
                              "--format", "int8_tensorwise", "--lanes", "1", "--sink", "positioned", env=env)
                if not outside.exists():
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertNotEqual(digests(self.target), self.old)
                    break
                outside.unlink()
                with self.subTest(call=call, n=n):
                    self.assertEqual(done.returncode, 5, done.stderr)
                    self.assertIn(os.strerror(number), done.stderr)
                    self.assertEqual(digests(self.target), self.old)
                    self.assertEqual(sorted(entry.name for entry in self.folder.iterdir()), names)
            self.assertGreater(n, least, call)
            self.convert_to(self.target, "--shards", "2", "--force")  # the old set again


if __name__ == "__main__":
    unittest.main()
