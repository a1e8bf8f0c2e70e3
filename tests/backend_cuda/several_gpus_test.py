"""Conversions on two GPUs: both of them work, the file is the CPU's, and what stays on one device is said."""

import subprocess
import unittest

import numpy as np

from checkpoint_file import encode, write
from gpu import require_gpu
from program import ConversionTest, environment, sha256

CONTEXT_MIB = 100  # a context takes more than that of a GPU's memory


class MemoryInUse:
    """The most memory that each GPU has in use while this is open, in MiB beyond what it had before."""

    QUERY = ["nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits"]

    def __enter__(self):
        self.before = self.most_of(subprocess.check_output(self.QUERY, text=True))
        self.watch = subprocess.Popen(self.QUERY + ["-lms", "20"], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.watch.terminate()
        most = self.most_of(self.watch.communicate()[0])
        self.added = {index: most.get(index, before) - before for index, before in self.before.items()}

    @staticmethod
    def most_of(printed):
        most = {}
        for line in printed.splitlines():
            index, comma, used = line.partition(", ")
            if comma and used.isdigit():  # the last line may have been cut
                most[int(index)] = max(most.get(int(index), 0), int(used))
        return most


class TwoGpus(ConversionTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(5)
        self.source = write(self.folder / "in.safetensors", {
            f"blocks.{i}.fc.weight": encode((0.02 * random.standard_t(4, (2048, 3072))).astype(np.float32), "BF16")
            for i in range(12)})

    def digest(self, device, *arguments):
        target = self.folder / "out.safetensors"
        document = self.convert(self.source, target, "--model", "none", "--force", *arguments,
                                env=environment(OCTAVO_DEVICE=device))
        return sha256(target), document

    def test_the_same_bytes_as_on_the_cpu(self):
        for spec in ("int8_convrot", "int8_tensorwise:scale=tensor", "int8_blockwise", "float8_e4m3fn", "fp16"):
            expected, _ = self.digest("cpu", "--format", spec)
            for device in ("cuda:0,1", "cuda:1,0", "cuda:1"):
                with self.subTest(format=spec, device=device):
                    digest, document = self.digest(device, "--format", spec)
                    self.assertEqual(digest, expected)
                    self.assertEqual(document["notes"], [])

    def test_all_that_are_named_work_and_no_other(self):
        for device, named in (("cuda:0,1", {0, 1}), ("cuda:1", {1})):
            with self.subTest(device=device), MemoryInUse() as memory:
                for _ in range(3):
                    self.digest(device)
            self.assertEqual({index for index, added in memory.added.items() if added > CONTEXT_MIB}, named)

    def test_learned_rounding_is_spread(self):
        few = ["--optimizer", "adamw:num_iter=8"]
        on_one, _ = self.digest("cuda:0", *few)
        with MemoryInUse() as memory:
            on_both, document = self.digest("cuda:0,1", *few)
        self.assertEqual(on_both, on_one)
        self.assertEqual(document["notes"], [])
        self.assertGreater(min(memory.added[0], memory.added[1]), CONTEXT_MIB)

    def test_what_prepares_layers_stays_on_the_first_and_says_so(self):
        random = np.random.default_rng(6)
        inputs = write(self.folder / "inputs.safetensors", {
            f"blocks.{i}.fc.inputs": encode(random.standard_normal((512, 3072)).astype(np.float32), "BF16")
            for i in range(12)})
        feedback = ["--optimizer", "quip", "--calibration-data", inputs]
        expected, _ = self.digest("cuda:1", *feedback)
        digest, document = self.digest("cuda:1,0", *feedback)
        self.assertEqual(digest, expected)
        self.assertEqual([note for note in document["notes"] if "stays on one device" in note],
                         ["cuda:1 does all of it: what is prepared for a layer stays on one device"])


if __name__ == "__main__":
    require_gpu(2)
    unittest.main()
