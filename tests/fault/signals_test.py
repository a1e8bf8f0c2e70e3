"""Runs that are stopped at any moment: ^C, ^C twice, SIGTERM, SIGKILL. The old output stays what it was, or there is
none, and only SIGKILL leaves a temporary file, which no reader takes for a checkpoint."""

import signal
import subprocess
import time
import unittest

import checkpoint_file
from program import SANITIZED, ConversionTest, environment, octavo, sha256, start
from sparse_model import write_sparse_model

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
        """codes: what a stopped run may end with. One that was done before ends with 0."""
        if code == 0:
            self.assertEqual(sha256(self.target), self.whole)
            self.target.write_bytes(OLD)
        else:
            self.assertIn(code, codes)
            self.assertEqual(self.target.read_bytes(), OLD)
        self.assert_files("source.safetensors", "out.safetensors")

    def check_stops(self, moments, stopped_code, *signals):
        stopped = 0
        for moment in moments:
            for _ in range(3):  # where a run was done before, another one is begun
                code = self.stop_at(moment, *signals)
                with self.subTest(moment=moment, code=code):
                    self.check_outcome(code, stopped_code)
                if code != 0:
                    stopped += 1
                    break
        self.assertGreaterEqual(stopped, len(moments) // 2, "hardly any run was stopped while it worked")

    def test_interrupt(self):  # T33
        self.check_stops(MOMENTS, 130, signal.SIGINT)

    def test_interrupt_twice(self):  # T34
        self.check_stops(MOMENTS[1::3], 130, signal.SIGINT, signal.SIGINT)

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


if __name__ == "__main__":
    unittest.main()
