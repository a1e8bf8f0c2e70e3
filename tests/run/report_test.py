"""What convert says about its own run, beside what can be seen of it from outside: lanes, memory, time, progress."""

import json
import signal
import subprocess
import time
import unittest

from program import SANITIZED, ConversionTest, environment, measure, octavo, program
from sparse_model import write_sparse_model

MIB = 1 << 20
# A tile has 4 MiB of the source, a quarter of that as codes, and a scale for each of its 256 rows.
LANE_BYTES = 4 * MIB + MIB + 256 * 4
PLAIN = ("--model", "none", "--no-fsync")


class ReportTest(ConversionTest):
    def source(self, megabytes):
        return write_sparse_model(self.folder / f"{megabytes}.safetensors", megabytes)

    def setUp(self):
        super().setUp()
        self.target = self.folder / "out.safetensors"

    def document(self, source, *arguments, **settings):
        return self.convert(source, self.target, "--force", *PLAIN, *arguments, env=environment(**settings))

    def test_lanes(self):
        source = self.source(20)  # five tiles
        for given, arguments, lanes in ((3, (), 3), (1, (), 1), (3, ("--lanes", "2"), 2)):
            with self.subTest(OCTAVO_LANES=given, arguments=arguments):
                document = self.document(source, *arguments, OCTAVO_LANES=given)
                self.assertEqual(document["lanes"], lanes)
                self.assertEqual(document["memory"], lanes * LANE_BYTES)
        done = octavo("plan", source, env=environment(OCTAVO_LANES="0"))
        self.assertEqual(done.returncode, 2, done.stderr)

    def test_what_is_discarded_is_reported_all_the_same(self):
        source = self.source(20)
        written = self.document(source)
        self.target.unlink()
        discarded = self.document(source, "--discard")
        self.assert_files(source.name)
        for key in ("layers", "tensors", "bytes_in", "bytes_out", "sqnr_db"):
            self.assertEqual(discarded[key], written[key], key)

    def test_the_planned_memory_is_that_of_the_lanes_whatever_the_file(self):
        for megabytes in (20, 300):
            done = octavo("plan", self.source(megabytes), "--model", "none", "--lanes", "4", "--json")
            plan = json.loads(done.stdout)
            self.assertEqual(plan["memory"], 4 * LANE_BYTES)
            self.assertEqual(plan["memory_parts"], {"lanes": 4 * LANE_BYTES, "layers": 0, "largest_layer": 0})

    @unittest.skipIf(SANITIZED, "the sanitizer's own memory is much larger")
    def test_memory_does_not_grow_with_the_file(self):
        peaks = {}
        for megabytes in (4, 300, 1200):
            source = self.source(megabytes)
            code, _, peaks[megabytes] = measure("convert", source, "-o", self.target, "--lanes", "2", *PLAIN)
            self.assertEqual(code, 0)
            self.target.unlink()
            source.unlink()
        self.assertLess(peaks[1200], 200 * MIB)
        self.assertLess(abs(peaks[1200] - peaks[300]), 8 * MIB)
        # The plan's figure is what comes on top of a run that has next to nothing to do (one tile, one lane).
        self.assertLess(peaks[1200] - (peaks[4] - LANE_BYTES), 2 * LANE_BYTES + 8 * MIB)

    @unittest.skipIf(SANITIZED, "the sanitizer's own memory is much larger")
    def test_the_peak_of_memory_is_the_systems(self):
        source = self.source(100)
        peaks = {}
        for tile in ("4M", "64M"):
            arguments = ("--lanes", "1", "--tile-size", tile)
            peaks[tile] = self.document(source, *arguments)["peak_memory"]
            _, _, seen = measure("convert", source, "-o", self.target, "--force", *PLAIN, *arguments)
            self.assertLess(abs(peaks[tile] - seen), 8 * MIB, tile)
        self.assertGreater(peaks["64M"], 64 * MIB)
        self.assertLess(peaks["4M"], 64 * MIB)

    def test_time_and_progress(self):
        """Held for a while after its first line, a run says that it took that long, and goes on with its lines."""
        source, held = self.source(100), 1.2  # seconds; a line comes each second
        begun = time.monotonic()
        child = subprocess.Popen(
            [program(), "convert", source, "-o", self.target, *PLAIN, "--lanes", "1", "--json", "--progress", "json"],
            env=environment(OCTAVO_SIMD="scalar"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        first = child.stderr.readline()
        child.send_signal(signal.SIGSTOP)
        time.sleep(held)
        child.send_signal(signal.SIGCONT)
        out, rest = child.communicate(timeout=60)
        wall = time.monotonic() - begun
        self.assertEqual(child.returncode, 0, rest)
        document = json.loads(out)
        self.assertGreater(document["seconds"], held)
        self.assertLess(document["seconds"], wall)
        size = 100 * MIB
        self.assertEqual(document["bytes_in"], size)
        self.assertAlmostEqual(document["bytes_per_second"] * document["seconds"] / size, 1, places=6)

        lines = [json.loads(line) for line in (first + rest).splitlines()]
        self.assertGreaterEqual(len(lines), 3)
        for line in lines:
            self.assertEqual(line["schema"], "octavo.progress/1")
            self.assertEqual(line["bytes_total"], size)
            self.assertAlmostEqual(line["bytes_per_second"] * line["seconds"] / size, line["bytes_done"] / size, places=6)
            self.assertIn(line["tensor"], ("blocks.0.linear.weight", "blocks.1.linear.weight", ""))
        for key in ("bytes_done", "seconds", "tensors_done"):
            values = [line[key] for line in lines]
            self.assertEqual(values, sorted(values), key)
        self.assertLess(lines[0]["bytes_done"], lines[-1]["bytes_done"])
        self.assertLess(lines[0]["seconds"] + held, lines[1]["seconds"] + 0.1)
        self.assertEqual(lines[-1]["bytes_done"], size)
        self.assertEqual(lines[-1]["tensors_total"], 2)
        self.assertEqual(lines[-1]["tensors_done"], 2)
        self.assertEqual(len({json.dumps(line) for line in lines}), len(lines), "a line was said twice")


if __name__ == "__main__":
    unittest.main()
