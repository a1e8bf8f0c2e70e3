"""Outputs that cannot or must not be written: full disks, read-only and missing folders, the input itself, an output
that exists, a second run, a closed standard output."""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import encode
from program import SANITIZED, ConversionTest, environment, octavo, program, sha256, start
from sparse_model import write_sparse_model
from weight_sets import gaussian

OLD = b"the old output"


class OutputTest(ConversionTest):
    def setUp(self):
        super().setUp()
        tensors = {f"layer{i}.weight": encode(gaussian(i, (256, 1024)), "F32") for i in range(4)}
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        self.target = self.folder / "out.safetensors"
        self.digest = sha256(self.source)

    def tearDown(self):
        self.assertEqual(sha256(self.source), self.digest, "the input was changed")


class MountTest(OutputTest):
    """File systems of our own, where this user may mount one."""

    def mount(self, options):
        disk = self.folder / "disk"
        disk.mkdir()
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "octavo-test", disk], capture_output=True, text=True)
        if tried.returncode != 0:
            self.skipTest(f"this user cannot mount: {tried.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        return disk

    def test_a_full_disk(self):
        disk = self.mount("size=512k")  # the output needs a little more than 1 MiB
        target = disk / "out.safetensors"
        target.write_bytes(OLD)
        for arguments in (("-o", target, "--force"), ("-o", disk / "other.safetensors")):
            error = self.refuse(5, "convert", self.source, *arguments)
            self.assertIn("free", error)
            self.assertEqual([entry.name for entry in disk.iterdir()], [target.name])
            self.assertEqual(target.read_bytes(), OLD)

    def test_a_disk_that_is_one_page_too_small(self):
        needed = self.folder / "needed.safetensors"
        self.convert(self.source, needed)
        page = os.sysconf("SC_PAGESIZE")
        # Besides the file: the folder, the lock, and what the file system keeps for itself.
        pages = -(-needed.stat().st_size // page)
        disk = self.mount(f"size={(pages - 1) * page}")
        self.assertIn("free", self.refuse(5, "convert", self.source, "-o", disk / "out.safetensors"))
        self.assertEqual(list(disk.iterdir()), [])

    def test_a_disk_that_fills_up_meanwhile(self):
        source = write_sparse_model(self.folder / "large.safetensors", megabytes=200)
        disk = self.mount("size=70m")  # the output has 50 MiB
        target = disk / "out.safetensors"
        target.write_bytes(OLD)
        child = start("convert", source, "-o", target, "--force", "--model", "none", "--lanes", "1",
                      env=environment(OCTAVO_SIMD="scalar"))
        wait_for_part(self, child, disk)
        child.send_signal(signal.SIGSTOP)
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 20))
            except OSError:
                pass
        child.send_signal(signal.SIGCONT)
        error = child.communicate(timeout=60)[1].decode()
        # The space may have been reserved before it was gone; then all is well.
        if child.returncode == 0:
            self.assertNotEqual(target.read_bytes()[:14], OLD)
        else:
            self.assertEqual(child.returncode, 5, error)
            self.assertEqual(target.read_bytes(), OLD)
        self.assertEqual([entry.name for entry in disk.iterdir() if entry.name.endswith(".part")], [])

    def test_a_read_only_file_system(self):
        disk = self.mount("size=64m")
        target = disk / "out.safetensors"
        target.write_bytes(OLD)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        self.assertIn("Read-only", self.refuse(5, "convert", self.source, "-o", target, "--force"))
        self.assertIn("Read-only", self.refuse(5, "convert", self.source, "-o", disk / "new.safetensors"))
        self.assertEqual(target.read_bytes(), OLD)


class PlaceTest(OutputTest):
    def test_a_limit_of_the_file_size(self):  # T30
        self.target.write_bytes(OLD)

        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))

        done = octavo("convert", self.source, "-o", self.target, "--force", preexec_fn=limited)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("ulimit", done.stderr)
        self.assertEqual(self.target.read_bytes(), OLD)
        self.assert_files("out.safetensors", "source.safetensors")

    def test_folders_that_are_none(self):  # T24
        for target in (self.source / "out.safetensors", self.folder / "missing" / "out.safetensors"):
            started = time.monotonic()
            self.refuse(5, "convert", self.source, "-o", target)
            self.assertLess(time.monotonic() - started, 10 if SANITIZED else 5)
        self.assert_files("source.safetensors")

    def test_a_folder_of_somebody_else(self):
        if os.geteuid() != 0:
            folder = self.folder / "closed"
            folder.mkdir(0o555)
            self.addCleanup(folder.chmod, 0o755)
            self.refuse(5, "convert", self.source, "-o", folder / "out.safetensors")
            self.assertEqual(list(folder.iterdir()), [])
            return
        folder = pathlib.Path("/proc/self/task")  # where root cannot create a file either
        self.refuse(5, "convert", self.source, "-o", folder / "out.safetensors")

    def test_the_input_is_never_the_output(self):  # T21
        link, hard, name = self.folder / "link", self.folder / "hard.safetensors", self.source.name
        link.symlink_to(self.source)
        os.link(self.source, hard)
        (self.folder / "sub").mkdir()
        detour = self.folder / "sub" / ".." / name
        pairs = [(self.source, target) for target in (self.source, link, hard, detour)]
        for source, target in [*pairs, (link, self.source), (hard, self.source), (name, f"./{name}")]:
            for arguments in ((), ("--force",)):
                with self.subTest(source=source, target=target):
                    done = octavo("convert", source, "-o", target, *arguments, cwd=self.folder)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn("same file", done.stderr)
        self.assert_files("source.safetensors", "link", "hard.safetensors", "sub")
        self.assertTrue(link.is_symlink())

    def test_an_output_that_exists(self):  # T22
        self.target.write_bytes(OLD)
        self.assertIn("--force", self.refuse(2, "convert", self.source, "-o", self.target))
        self.assertEqual(self.target.read_bytes(), OLD)
        self.convert(self.source, self.target, "--force")
        self.assertNotEqual(self.target.read_bytes(), OLD)
        self.assert_files("source.safetensors", "out.safetensors")

    def test_the_output_is_looked_at_before_the_data(self):  # T22, T24, T25
        """Where a policy decides by the data, reading it would end with 3: there is a NaN."""
        source = checkpoint_file.write(self.folder / "nan.safetensors", {"a.weight": encode(np.full((64, 256), np.nan), "F32")})
        self.target.write_bytes(OLD)

        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 256, 64 * 256))  # less than a header and a byte for each weight

        for policy in (("--min-sqnr", "20"), ("--keep-worst", "1")):
            arguments = ("convert", source, "--model", "none", *policy, "-o")
            self.refuse(3, *arguments, self.folder / "new.safetensors")
            self.refuse(2, *arguments, self.target)
            self.refuse(2, *arguments, source, "--force")
            self.refuse(5, *arguments, self.folder / "missing" / "out.safetensors")
            done = octavo(*arguments, self.folder / "new.safetensors", preexec_fn=limited)
            self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(self.target.read_bytes(), OLD)
        self.assert_files("source.safetensors", "nan.safetensors", "out.safetensors")

    def test_a_dry_run_fails_where_the_conversion_would(self):
        self.target.write_bytes(OLD)
        missing = self.folder / "missing" / "out.safetensors"
        for command in (("convert", self.source, "--dry-run=analyze", "--json"), ("plan", self.source, "--json")):
            for code, target in ((2, self.target), (2, self.source), (5, missing)):
                done = octavo(*command, "-o", target)
                self.assertEqual(done.returncode, code, done.stderr)
                document = json.loads(done.stdout)
                self.assertEqual((len(document["tensors"]), document["error"]["code"]), (4, code))
            self.assertEqual(octavo(*command, "-o", self.target, "--force").returncode, 0)
        self.assert_files("source.safetensors", "out.safetensors")

    def test_a_plan_does_not_need_the_usual_name(self):
        (self.folder / "source_int8_convrot.safetensors").write_bytes(OLD)
        self.refuse(2, "convert", self.source, "--dry-run")
        self.assertEqual(octavo("plan", self.source).returncode, 0)

    def test_the_usual_name_of_a_folder(self):
        """However it is named, also without its name: never a hidden file."""
        models = self.folder / "models"
        folder = models / "flux.dev"
        (folder / "deep").mkdir(parents=True)
        shutil.copy(self.source, folder / "model.safetensors")
        made = models / "flux.dev_int8_convrot.safetensors"
        for place, name in ((folder, "."), (folder, "./"), (models, "flux.dev/."), (folder / "deep", ".."), (models, "flux.dev")):
            with self.subTest(place=place, name=name):
                done = octavo("convert", name, cwd=place)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(sorted(entry.name for entry in models.iterdir()), [folder.name, made.name])
                made.unlink()
        self.assertEqual(sorted(entry.name for entry in folder.iterdir()), ["deep", "model.safetensors"])

    def test_streams_are_no_files(self):
        for arguments in (("convert", "-"), ("convert", self.source, "-o", "-"), ("plan", "-"), ("plan", self.source, "-o", "-")):
            self.assertIn("./-", self.refuse(2, *arguments))
        self.assertEqual(octavo("convert", self.source, "-o", "./-", cwd=self.folder).returncode, 0)
        self.assert_files("source.safetensors", "-")

    def test_outputs_that_are_no_files(self):
        folder, fifo = self.folder / "folder", self.folder / "fifo"
        folder.mkdir()
        os.mkfifo(fifo)
        for target in (folder, fifo, "/dev/null"):
            self.refuse(2, "convert", self.source, "-o", target, "--force")
        self.assert_files("source.safetensors", "folder", "fifo")

    def test_a_link_is_replaced_not_written_through(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.write_bytes(OLD)
        self.target.symlink_to(elsewhere)
        self.refuse(2, "convert", self.source, "-o", self.target)
        self.convert(self.source, self.target, "--force")
        self.assertEqual(elsewhere.read_bytes(), OLD)
        self.assertFalse(self.target.is_symlink())
        self.assert_files("source.safetensors", "out.safetensors", "elsewhere")

    def test_a_link_that_leads_nowhere(self):
        self.target.symlink_to(self.folder / "nowhere")
        self.refuse(2, "convert", self.source, "-o", self.target)
        self.convert(self.source, self.target, "--force")
        self.assert_files("source.safetensors", "out.safetensors")

    def test_the_mode_follows_the_umask(self):
        for umask, mode in ((0o022, 0o644), (0o077, 0o600)):
            octavo("convert", self.source, "-o", self.target, "--force", preexec_fn=lambda mask=umask: os.umask(mask))
            self.assertEqual(self.target.stat().st_mode & 0o777, mode)


class StandardOutputTest(OutputTest):  # T39
    def setUp(self):
        super().setUp()
        expected = self.folder / "expected.safetensors"
        self.convert(self.source, expected)
        self.expected = sha256(expected)
        expected.unlink()

    def command(self):
        return f"'{program()}' convert '{self.source}' -o '{self.target}' --force --progress plain"

    def check(self, shell):
        done = subprocess.run(["bash", "-c", shell], env=environment(), capture_output=True, text=True, timeout=60)
        self.assertEqual(sha256(self.target), self.expected, done.stderr)
        self.target.unlink()
        return done

    def test_nobody_reads_it(self):
        self.assertEqual(self.check(self.command() + " | head -n 1; exit ${PIPESTATUS[0]}").returncode, 0)
        self.assertEqual(self.check(self.command() + " | true; exit ${PIPESTATUS[0]}").returncode, 0)
        self.assertEqual(self.check(self.command() + " --json | true; exit ${PIPESTATUS[0]}").returncode, 0)
        self.assertEqual(self.check(self.command() + " 2>&1 | true; exit ${PIPESTATUS[0]}").returncode, 0)

    def test_it_is_closed(self):
        # The next file that is opened gets its number; what is printed must not end up in the model.
        for closed in (">&-", "<&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            for arguments in ("", " --json", " -vv"):
                with self.subTest(closed=closed, arguments=arguments):
                    self.assertEqual(self.check(self.command() + arguments + " " + closed).returncode, 0)

    def test_it_is_full(self):
        self.check(self.command() + " >/dev/full")


class ConcurrentTest(OutputTest):
    def setUp(self):
        super().setUp()
        self.large = write_sparse_model(self.folder / "large.safetensors", megabytes=200)

    def stopped_in_the_middle(self, *arguments):
        """A run that has begun to write and is held."""
        child = start("convert", self.large, "-o", self.target, "--model", "none", "--lanes", "1", *arguments,
                      env=environment(OCTAVO_SIMD="scalar"))
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.addCleanup(child.stderr.close)
        wait_for_part(self, child, self.folder)
        child.send_signal(signal.SIGSTOP)
        self.assertFalse(self.target.exists(), "the run was over before it could be stopped")
        return child

    def finish(self, child):
        child.send_signal(signal.SIGCONT)
        error = child.communicate(timeout=60)[1].decode()
        return child.returncode, error

    def test_two_runs_to_the_same_output(self):  # T37
        first = self.stopped_in_the_middle()
        for arguments in ((), ("--force",)):
            started = time.monotonic()
            error = self.refuse(5, "convert", self.source, "-o", self.target, *arguments)
            self.assertLess(time.monotonic() - started, 10 if SANITIZED else 5)
            self.assertIn("another run", error)
        self.assertEqual(self.finish(first)[0], 0)
        self.assert_files("source.safetensors", "large.safetensors", "out.safetensors")
        self.convert(self.source, self.target, "--force")

    def test_an_output_that_appears_meanwhile(self):
        first = self.stopped_in_the_middle()
        self.target.write_bytes(OLD)
        code, error = self.finish(first)
        self.assertEqual(code, 2, error)
        self.assertEqual(self.target.read_bytes(), OLD)
        self.assert_files("source.safetensors", "large.safetensors", "out.safetensors")

    def test_input_that_changes_meanwhile(self):  # T38
        def overwrite(path):
            with open(path, "r+b") as file:
                file.seek(-1, os.SEEK_END)
                file.write(b"\1")

        def append(path):
            with open(path, "ab") as file:
                file.write(b"\1")

        def replace(path):
            shutil.copy(path, path.with_suffix(".copy"))
            os.replace(path.with_suffix(".copy"), path)

        for change in (overwrite, append, lambda path: os.truncate(path, 1 << 20), replace):
            write_sparse_model(self.large, megabytes=200)
            child = self.stopped_in_the_middle()
            change(self.large)
            code, error = self.finish(child)
            self.assertEqual(code, 3, error)
            self.assertIn("large.safetensors", error)
            self.assert_files("source.safetensors", "large.safetensors")


def wait_for_part(test, child, folder):
    """Until the temporary file is there, or the run has ended without."""
    limit = time.monotonic() + 30
    while not any(entry.name.endswith(".part") for entry in folder.iterdir()):
        test.assertIsNone(child.poll(), "the run ended before it wrote anything")
        test.assertLess(time.monotonic(), limit)
        time.sleep(0.0005)


if __name__ == "__main__":
    unittest.main()
