"""Runs that are stopped at any moment: ^C, ^C twice, SIGTERM, SIGKILL. The old output stays what it was, or there is
none, and only SIGKILL leaves a temporary file, which no reader takes for a checkpoint."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time
import unittest

import checkpoint_file
from program import SANITIZED, ConversionTest, environment, octavo, sha256, start
from sparse_model import write_sparse_model
from weight_sets import gaussian

SHIM = os.environ["OCTAVO_FAULT_SHIM"]
OLD = b"the old output"
# Moments of the work, as parts of the time from the first sight of the temporary file to the end. Fixed, so that a
# failure can be looked at again; counted from there, so that a machine with other work to do does not shift them.
MOMENTS = (0.0, 0.11, 0.23, 0.37, 0.52, 0.66, 0.81, 0.95)
EARLY = (0.0, 0.005, 0.02)  # seconds from the start of the program: it may not have set its handlers up
PROMPT = 20 if SANITIZED else 2  # seconds from the signal to the end


class SignalTest(ConversionTest):
    measured = None  # seconds of an undisturbed run's work and the SHA-256 of its output; the same for all tests

    def setUp(self):
        super().setUp()
        self.source = write_sparse_model(self.folder / "source.safetensors")
        self.target = self.folder / "out.safetensors"
        if SignalTest.measured is None:
            # The first run reads files that no later one has to, and takes longer.
            self.assertEqual(self.begin().wait(), 0)
            self.target.unlink()
            child = self.begin()
            started = self.wait_for_work(child)
            self.assertEqual(child.wait(), 0)
            SignalTest.measured = time.monotonic() - started, sha256(self.target)
        self.length, self.whole = SignalTest.measured
        self.target.write_bytes(OLD)

    def begin(self, **settings):
        child = start("convert", self.source, "-o", self.target, "--model", "none", "--force", "--lanes", "1",
                      env=environment(**settings))
        self.addCleanup(child.stderr.close)
        return child

    def parts(self):
        return [entry for entry in self.folder.iterdir() if entry.name.endswith(".part")]

    def wait_for_work(self, child):
        """Returns when the run's temporary file is there, with the time, or when the run has ended."""
        while not self.parts() and child.poll() is None:
            time.sleep(0.0005)
        return time.monotonic()

    def stop_at(self, moment, *signals):
        """Sends the signals at a moment of the work; the exit code."""
        child = self.begin()
        started = self.wait_for_work(child)
        try:
            child.wait(timeout=moment * self.length)
        except subprocess.TimeoutExpired:
            pass
        else:  # the machine has become faster since the length was measured
            self.length = min(self.length, time.monotonic() - started)
        return self.end_by(child, *signals)

    def end_by(self, child, *signals):
        sent = time.monotonic()
        for number in signals:
            child.send_signal(number)
        child.wait(timeout=60)
        self.assertLess(time.monotonic() - sent, PROMPT)
        return child.returncode

    def check_outcome(self, code, *codes):
        """codes: what a run may end with that was stopped before its output was in place. One that was done before ends
        with 0, or by a signal that it no longer looks for. True if it was stopped."""
        stopped = self.target.read_bytes() == OLD
        if stopped:
            self.assertIn(code, codes)
        else:
            self.assertEqual(sha256(self.target), self.whole)
            self.target.write_bytes(OLD)
            self.assertIn(code, (0, *codes, -signal.SIGINT, -signal.SIGTERM))
        self.assert_files("source.safetensors", "out.safetensors")
        return stopped

    def check_stops(self, moments, stopped_code, *signals):
        stopped = 0
        for moment in moments:
            for _ in range(3):  # where a run was done before, another one is begun
                code = self.stop_at(moment, *signals)
                with self.subTest(moment=moment, code=code):
                    if self.check_outcome(code, stopped_code):
                        stopped += 1
                        break
        self.assertGreaterEqual(stopped, len(moments) // 2, "hardly any run was stopped while it worked")

    def test_interrupt(self):  # T33
        self.check_stops(MOMENTS, 130, signal.SIGINT)

    def test_interrupt_twice(self):  # T34
        self.check_stops(MOMENTS[1::3], 130, signal.SIGINT, signal.SIGINT)
        # The first one alone does not end a run that waits for its disk.
        log = self.folder / "log"
        child = self.begin(LD_PRELOAD=SHIM, FAULT_LOG=log, FAULT_CALL="fsync", FAULT_SLOW=120_000)
        self.addCleanup(child.kill)
        while not log.exists():
            self.assertIsNone(child.poll(), "the run ended before it was durable")
            time.sleep(0.005)
        log.unlink()
        child.send_signal(signal.SIGINT)
        with self.assertRaises(subprocess.TimeoutExpired):
            child.wait(timeout=0.5)
        self.check_outcome(self.end_by(child, signal.SIGINT), 130)

    def test_terminate(self):
        self.check_stops(MOMENTS[1::3], 143, signal.SIGTERM)

    def test_interrupt_before_the_work(self):
        # Before the program has set its handlers up, the signal ends it: a shell shows the same number.
        for seconds in EARLY:
            child = self.begin()
            time.sleep(seconds)
            code = self.end_by(child, signal.SIGINT)
            with self.subTest(seconds=seconds, code=code):
                self.check_outcome(code, 130, -signal.SIGINT)

    def test_slow_work_stops_promptly(self):
        # Plain C++ needs several times as long for each tile.
        child = self.begin(OCTAVO_SIMD="scalar")
        self.wait_for_work(child)
        self.assertIsNone(child.poll(), "the run ended before it wrote anything")
        time.sleep(0.2)
        self.assertEqual(self.end_by(child, signal.SIGINT), 130)
        self.assert_files("source.safetensors", "out.safetensors")

    def test_nothing_is_left_where_there_was_no_output(self):
        self.target.unlink()
        self.assertIn(self.stop_at(0.5, signal.SIGINT), (130, 0))
        self.assertEqual(self.parts(), [])

    def test_kill(self):
        left = 0
        for moment in MOMENTS[::2]:
            with self.subTest(moment=moment):
                code = self.stop_at(moment, signal.SIGKILL)
                self.assertIn(code, (-signal.SIGKILL, 0))
                # Killed between the rename and the end, a run has done its work.
                if self.target.read_bytes() != OLD:
                    self.assertEqual(sha256(self.target), self.whole)
                for part in self.parts():
                    left += 1
                    with open(part, "rb") as file:
                        begins = file.read(8)
                    # Zero until the whole file is durable; the name is all that can be missing then.
                    if begins not in (b"", bytes(8)):
                        self.assertEqual(sha256(part), self.whole)
                    part.unlink()
                self.target.write_bytes(OLD)
        self.assertGreater(left, 0, "no run was killed while it wrote")
        # What a killed run leaves does not stand in the way of the next one.
        child = self.begin()
        self.assertEqual(child.wait(timeout=60), 0)
        self.assertEqual(sha256(self.target), self.whole)

    def test_a_killed_run_leaves_no_valid_file(self):
        child = self.begin()
        self.wait_for_work(child)
        self.assertIsNone(child.poll(), "the run ended before it wrote anything")
        child.send_signal(signal.SIGSTOP)
        (part,) = self.parts()
        child.kill()
        child.wait()
        with open(part, "rb") as file:
            self.assertIn(file.read(8), (b"", bytes(8)))
        done = octavo("plan", part, "--model", "none")
        self.assertEqual(done.returncode, 3, done.stderr)


class SlowReadsTest(ConversionTest):
    """What is done outside of the lanes stops as well. Every read takes longer, so that there is time to."""

    layers = 24

    def setUp(self):
        super().setUp()
        tensors, inputs = {}, {}
        for i in range(self.layers):
            name = f"layers.{i}.attention.qkv"
            tensors[f"{name}.weight"] = checkpoint_file.encode(gaussian(i, (24, 64)), "F32")
            tensors[f"layers.{i}.attention_norm1.weight"] = checkpoint_file.encode(gaussian(50 + i, (64,)), "F32")
            inputs[f"{name}.inputs"] = checkpoint_file.encode(gaussian(100 + i, (8, 64)), "F32")
        self.source = checkpoint_file.write(self.folder / "source.safetensors", tensors)
        self.inputs = checkpoint_file.write(self.folder / "inputs.safetensors", inputs)
        self.target = self.folder / "out.safetensors"
        self.target.write_bytes(OLD)

    def arguments(self, *more):
        return ("convert", self.source, "-o", self.target, "--model", "zimage", "--force", "--lanes", "1", *more)

    def begin(self, *more):
        """One second for 50 reads; a layer takes up to 40 of them."""
        child = start(*self.arguments(*more),
                      env=environment(LD_PRELOAD=SHIM, FAULT_CALL="pread", FAULT_SLOW=20))
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.kill)
        return child

    def wait_until(self, child, happened):
        while not happened():
            self.assertIsNone(child.poll(), "the run ended before it was to be stopped")
            time.sleep(0.002)

    def has_header(self):
        """The header of a file with a hidden name is written."""
        for part in self.folder.glob(".*.part"):
            with contextlib.suppress(OSError), open(part, "rb") as file:
                return file.read(8) not in (b"", bytes(8))
        return False

    def interrupt(self, child):
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        said = child.stderr.read().decode()
        self.assertEqual(child.wait(timeout=60), 130, said)
        self.assertLess(time.monotonic() - sent, PROMPT)
        self.assert_files("source.safetensors", "inputs.safetensors", "out.safetensors")
        return said

    def test_while_the_output_is_read_again(self):
        child = self.begin("--verify", "full")
        self.wait_until(child, self.has_header)
        self.interrupt(child)
        self.assertEqual(self.target.read_bytes(), OLD)

    def test_a_calibration_file_that_changes_meanwhile(self):
        text = self.folder / "scales.json"
        text.write_text('{"layers.0.attention.qkv": 0.5}')
        for changed in (self.inputs, text):
            with self.subTest(changed=changed.name):
                child = self.begin("--calibration-data", self.inputs, "--calibration-data", text)
                self.wait_until(child, lambda: any(self.folder.glob(".*.part")))
                os.utime(changed, (1, 1))
                said = child.stderr.read().decode()
                self.assertEqual(child.wait(timeout=60), 3, said)
                self.assertIn(changed.name, said)
                self.assertEqual(self.target.read_bytes(), OLD)

    def test_while_a_written_output_is_judged(self):
        calibrated = ("--calibration-data", self.inputs, "--report-quality")
        self.assertEqual(octavo(*self.arguments(*calibrated)).returncode, 0)
        whole = sha256(self.target)
        self.target.write_bytes(OLD)
        child = self.begin(*calibrated)
        self.wait_until(child, lambda: self.target.stat().st_size != len(OLD))
        self.assertIn("is complete", self.interrupt(child))
        self.assertEqual(sha256(self.target), whole)

    def test_while_layers_are_chosen(self):
        child = self.begin("--calibration-data", self.inputs, "--keep-worst", "2")
        self.wait_until(child, self.has_header)
        self.interrupt(child)
        self.assertEqual(self.target.read_bytes(), OLD)

    def test_while_factors_are_searched(self):
        child = self.begin("--calibration-data", self.inputs, "--smoothquant", "--smoothquant-alpha", "search")

        def is_handled():
            (mask,) = (line.split()[1] for line in pathlib.Path(f"/proc/{child.pid}/status").read_text().splitlines()
                       if line.startswith("SigCgt:"))
            return int(mask, 16) >> (signal.SIGINT - 1) & 1

        self.wait_until(child, is_handled)
        time.sleep(0.3)
        self.interrupt(child)
        self.assertEqual(self.target.read_bytes(), OLD)


if __name__ == "__main__":
    unittest.main()
