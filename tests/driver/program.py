"""Runs the octavo program that the tests are about, in an environment without settings of whoever runs the tests."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SETTINGS = ("OCTAVO_PLUGIN_PATH", "OCTAVO_DEVICE", "OCTAVO_LANES", "OCTAVO_SIMD")
SANITIZED = bool(os.environ.get("OCTAVO_SANITIZED"))
TIMEOUT = 300  # seconds; nothing here runs nearly so long


def program():
    return os.environ["OCTAVO_PROGRAM"]


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    kept["OCTAVO_DEVICE"] = os.environ.get("OCTAVO_TEST_DEVICE", "cpu")
    kept.update({name: str(value) for name, value in changes.items()})
    return kept


def octavo(*arguments, env=None, **options):
    """Runs to the end; returncode, stdout and stderr as text."""
    return subprocess.run(
        [program(), *map(str, arguments)], env=env or environment(), capture_output=True, text=True, timeout=TIMEOUT,
        stdin=subprocess.DEVNULL, **options,
    )


def start(*arguments, env=None, **options):
    return subprocess.Popen(
        [program(), *map(str, arguments)], env=env or environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options,
    )


# A process begins with the memory of the one that starts it, so a small one has to stand between.
MEASURE = """
import os, sys
child = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
"""


def measure(*arguments):
    """Exit code, seconds of CPU time (other programs do not count), and the largest resident memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE, program(), *map(str, arguments)], env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=TIMEOUT, check=True,
    )
    code, seconds, peak = done.stdout.split()[-3:]
    return int(code), float(seconds), int(peak)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cpu_flags():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


def simd_targets():
    """What OCTAVO_SIMD can force on this machine."""
    flags = cpu_flags()
    targets = ["scalar"]
    if {"avx2", "fma", "bmi2", "f16c"} <= flags:
        targets.append("avx2")
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
        targets.append("avx512")
    return targets


class ConversionTest(unittest.TestCase):
    """A test with a folder of its own, `self.folder`."""

    parent = None  # where the folder is made; the system's place for temporary files if None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="octavo-test-", dir=self.parent))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def convert(self, source, target, *arguments, env=None):
        """A conversion that must succeed; returns the document of --json."""
        done = octavo("convert", source, "-o", target, "--json", *arguments, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refuse(self, code, *arguments, env=None):
        """A run that must fail with this exit code; returns what it said on stderr."""
        done = octavo(*arguments, env=env)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        self.assertIn("error: ", done.stderr)
        return done.stderr

    def assert_files(self, *names):
        """The folder holds exactly these names: no output too many, no temporary file, no lock."""
        self.assertEqual(sorted(entry.name for entry in self.folder.iterdir()), sorted(names))
