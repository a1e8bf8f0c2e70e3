"""System calls that fail, one after the other: for n = 1, 2, 3, ... the n-th call of a kind fails, until a run in which
there is no n-th. Each time the run ends with exit code 5, no temporary file is left, and the output is the old one. A
library that is preloaded makes the calls fail."""

import errno
import os
import pathlib
import resource
import unittest

import checkpoint_file
from program import SANITIZED, ConversionTest, environment, octavo, sha256
from sparse_model import write_sparse_model
from weight_sets import companions, gaussian

SHIM = os.environ["OCTAVO_FAULT_SHIM"]
MOST_CALLS = 200  # a run that makes more of them has another fault
OLD = b"the old output"


def is_memory(folder):
    """True for tmpfs, where the output is written in another way."""
    best, kind = "", ""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        point, name = line.split()[1:3]
        if (str(folder) + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, name
    return kind == "tmpfs"


class InjectionTest(ConversionTest):
    sink = "positioned"  # the way of writing that is under test

    def setUp(self):
        super().setUp()
        tensors = {f"layer{i}.weight": checkpoint_file.encode(gaussian(i, (128, 256)), "BF16") for i in range(3)}
        tensors.update(companions(1))
        self.inputs = self.folder / "in"
        self.outputs = self.folder / "out"
        self.inputs.mkdir()
        self.outputs.mkdir()
        self.source = checkpoint_file.write(self.inputs / "source.safetensors", tensors, {"a": "b"})
        self.target = self.outputs / "model.safetensors"
        self.log = self.inputs / "fault.log"
        self.prepare()
        self.run_with()
        self.good = sha256(self.target)

    def prepare(self):
        pass

    def run_with(self, *arguments, **faults):
        self.log.unlink(missing_ok=True)
        env = environment(LD_PRELOAD=SHIM, FAULT_LOG=self.log, **faults)
        return octavo("convert", self.source, "-o", self.target, "--model", "none", "--lanes", "1", "--sink",
                      self.sink, *arguments, env=env)

    def fail_each(self, call, number, *, lasting=0, force=True, may_be_new=False, arguments=()):
        """Returns how many calls there were."""
        arguments = (*arguments, "--force") if force else arguments
        for n in range(1, MOST_CALLS):
            for entry in self.outputs.iterdir():
                entry.unlink()
            if force:
                self.target.write_bytes(OLD)
            done = self.run_with(
                *arguments, FAULT_CALL=call, FAULT_NUMBER=n, FAULT_ERRNO=number, FAULT_LASTING=lasting)
            if not self.log.exists():
                self.assertEqual(done.returncode, 0, f"{call} {n}: {done.stderr}")
                self.assertEqual(sha256(self.target), self.good)
                return n - 1
            with self.subTest(call=call, n=n, error=errno.errorcode[number], lasting=lasting, force=force):
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertIn("error: ", done.stderr)
                self.assertIn(os.strerror(number), done.stderr)
                names = [entry.name for entry in self.outputs.iterdir()]
                if may_be_new and names == [self.target.name] and sha256(self.target) == self.good:
                    continue
                self.assertEqual(names, [self.target.name] if force else [])
                if force:
                    self.assertEqual(self.target.read_bytes(), OLD)
        self.fail(f"more than {MOST_CALLS} calls of {call}")

    def test_every_write(self):
        for number in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            # At least the header and its length; where memory is mapped there are no others.
            self.assertGreaterEqual(self.fail_each("pwrite", number), 2)
        self.fail_each("pwrite", errno.ENOSPC, lasting=1)
        self.fail_each("pwrite", errno.ENOSPC, force=False)

    def test_every_reservation(self):
        self.assertGreater(self.fail_each("fallocate", errno.ENOSPC), 0)
        self.fail_each("fallocate", errno.ENOSPC, force=False)

    def test_every_resize(self):
        self.assertGreater(self.fail_each("ftruncate", errno.EIO), 0)

    def test_every_sync(self):
        # The last one is of the folder, after the rename: the output may be the new file, whole, by then.
        self.assertGreaterEqual(self.fail_each("fsync", errno.EIO, may_be_new=True), 3)
        self.fail_each("fsync", errno.ENOSPC, may_be_new=True, lasting=1)

    def test_the_rename(self):
        for number in (errno.EIO, errno.ENOSPC, errno.EROFS):
            self.assertEqual(self.fail_each("rename", number), 1)
            self.assertEqual(self.fail_each("rename", number, force=False), 1)

    def test_every_file_that_is_created(self):
        for number in (errno.ENOSPC, errno.EROFS):
            self.assertGreater(self.fail_each("open", number), 0)

    def test_every_read(self):
        # Of the input, and of the output when it is read again; once sampled, once whole.
        self.assertGreater(self.fail_each("pread", errno.EIO), 5)
        self.fail_each("pread", errno.EIO, arguments=("--verify", "full"))

    def test_every_thread(self):
        """Where one cannot be started the others do its work, or there is none."""
        for lasting in (0, 1):
            ended = set()
            for n in range(1, MOST_CALLS):
                self.target.write_bytes(OLD)
                done = self.run_with("--force", "--lanes", "4", FAULT_CALL="pthread_create", FAULT_NUMBER=n,
                                     FAULT_ERRNO=errno.EAGAIN, FAULT_LASTING=lasting)
                if not self.log.exists():
                    break
                ended.add(done.returncode)
                with self.subTest(n=n, lasting=lasting):
                    self.assertEqual([entry.name for entry in self.outputs.iterdir()], [self.target.name])
                    if done.returncode == 0:
                        self.assertEqual(sha256(self.target), self.good)
                    else:
                        self.assertIn("[threads]", done.stderr)
                        self.assertEqual(self.target.read_bytes(), OLD)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertGreater(n, 4, "each of the four lanes has a thread")
            self.assertLessEqual(ended, {0, 6})
            self.assertIn(6, ended)

    def test_a_file_system_that_cannot_reserve(self):
        for number in (errno.EOPNOTSUPP, errno.ENOSYS):
            done = self.run_with(
                "--force", FAULT_CALL="fallocate", FAULT_NUMBER=1, FAULT_ERRNO=number, FAULT_LASTING=1)
            self.assertTrue(self.log.exists())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sha256(self.target), self.good)

    def test_short_and_interrupted_calls_change_nothing(self):
        for lanes in (1, 2):
            done = self.run_with("--force", "--lanes", lanes, "--verify", "full", FAULT_FLAKY=1)
            self.assertTrue(self.log.exists())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sha256(self.target), self.good)


class EditInjectionTest(InjectionTest):
    """The same for an edit, which reserves nothing and lets the kernel copy."""

    def prepare(self):
        self.quantized = self.inputs / "quantized.safetensors"
        self.convert(self.source, self.quantized, "--model", "none")

    def run_with(self, *arguments, **faults):
        self.log.unlink(missing_ok=True)
        env = environment(LD_PRELOAD=SHIM, FAULT_LOG=self.log, **faults)
        return octavo("edit", self.quantized, "-o", self.target, "--add-keys", "'full_precision_matrix_mult': true",
                      *arguments, env=env)

    def test_every_reservation(self):
        self.assertEqual(self.fail_each("fallocate", errno.ENOSPC), 0)

    def test_a_file_system_that_cannot_reserve(self):
        """There is nothing to reserve."""

    def test_every_thread(self):
        """There are no lanes."""

    def test_a_kernel_that_cannot_copy(self):
        """Also where it stops in the middle: the rest goes through the program."""
        for number in (errno.EXDEV, errno.ENOSYS, errno.EIO):
            for n in (1, 2):
                for lasting in (0, 1):
                    done = self.run_with("--force", "--verify", "full", FAULT_CALL="copy_file_range", FAULT_NUMBER=n,
                                         FAULT_ERRNO=number, FAULT_LASTING=lasting)
                    self.assertTrue(self.log.exists())
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(sha256(self.target), self.good)

    def test_short_and_interrupted_calls_change_nothing(self):
        done = self.run_with("--force", "--verify", "full", FAULT_FLAKY=1)
        self.assertTrue(self.log.exists())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sha256(self.target), self.good)


class MemoryFileSystemTest(InjectionTest):
    """The same through a mapping, where files live in memory."""

    sink = "mapping"

    parent = "/dev/shm"

    def setUp(self):
        if not os.access(self.parent, os.W_OK) or not is_memory(self.parent):
            self.skipTest("there is no writable tmpfs")
        super().setUp()


class DamageTest(ConversionTest):
    """A disk that says yes and stores another byte: how much of it each level of --verify finds."""

    def setUp(self):
        super().setUp()
        tensors = {f"layer{i}.weight": checkpoint_file.encode(gaussian(i, (256, 1024)), "BF16") for i in range(4)}
        tensors["copied"] = checkpoint_file.encode(gaussian(9, (1 << 20,)), "F32")
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        self.target = self.folder / "model.safetensors"
        self.log = self.folder / "fault.log"
        self.convert(self.source, self.target, "--model", "none", "--no-fsync")
        self.good = sha256(self.target)

    def found(self, level):
        """The writes, from 1, whose damage ends the run; and how many writes there are."""
        numbers = []
        for n in range(1, MOST_CALLS):
            self.target.write_bytes(OLD)
            env = environment(LD_PRELOAD=SHIM, FAULT_LOG=self.log, FAULT_CALL="damage", FAULT_NUMBER=n)
            done = octavo("convert", self.source, "-o", self.target, "--force", "--model", "none", "--no-fsync",
                          "--lanes", "1", "--sink", "positioned", "--verify", level, env=env)
            if not self.log.exists():
                self.assertEqual(sha256(self.target), self.good)
                return set(numbers), n - 1
            self.log.unlink()
            if done.returncode == 0:
                self.assertNotEqual(sha256(self.target), self.good)
                continue
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertEqual(self.target.read_bytes(), OLD)
            self.assert_files("source.safetensors", "model.safetensors")
            numbers.append(n)
        self.fail(f"more than {MOST_CALLS} writes")

    def test_levels(self):
        header, writes = self.found("header")
        sampled, _ = self.found("sampled")
        full, _ = self.found("full")
        self.assertEqual(full, set(range(1, writes + 1)))
        self.assertEqual(header, {writes - 1, writes})  # the header, then its length, are written last
        # Every small write is sampled, scales and markers of four layers, and not every large one.
        self.assertLess(header, sampled)
        self.assertLess(sampled, full)
        self.assertGreaterEqual(len(sampled), 2 + 4 + 1)


class LittleMemoryTest(ConversionTest):
    @unittest.skipIf(SANITIZED, "a sanitizer reserves more address space than any limit")
    def test_no_memory(self):
        source = write_sparse_model(self.folder / "source.safetensors", megabytes=70)
        target = self.folder / "model.safetensors"
        limit = 110 << 20  # of the address space: enough for the program and small tiles, not for one of 64 MiB

        def limited():
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

        for tile, code in (("4M", 0), ("64M", 6)):
            with self.subTest(tile=tile):
                target.write_bytes(OLD)
                done = octavo("convert", source, "-o", target, "--force", "--model", "none", "--lanes", "1",
                              "--no-fsync", "--tile-size", tile, preexec_fn=limited)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assert_files("source.safetensors", "model.safetensors")
        self.assertIn("out of memory", done.stderr)
        self.assertEqual(target.read_bytes(), OLD)


if __name__ == "__main__":
    unittest.main()
