#!/usr/bin/env python3
"""What learned rounding costs beyond nearest: one layer, the projected objective, 50 iterations, subspaces included.

  learned.py [--octavo PROGRAM] [--shape ROWSxCOLS] [--optimizer ID ...] [--lanes N] [--rounds N] [--device D]

Prints the best of some rounds, in seconds of wall clock and of processor time, less those of a nearest conversion of
the same file. Needs NumPy.
"""

import argparse
import json
import os
import subprocess
import tempfile
import struct
from pathlib import Path

import numpy


def make_layer(path, rows, cols):
    weight = (numpy.random.default_rng(0).standard_normal((rows, cols)) * 0.02).astype(numpy.float32)
    header = {"layer.weight": {"dtype": "F32", "shape": [rows, cols], "data_offsets": [0, weight.nbytes]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + weight.tobytes())


def measure(command):
    """Wall clock inside the program, processor time of the process, and the report."""
    before = os.times()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    report = json.loads(done.stdout)
    return report["seconds"], cpu, report["layers"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--octavo", default=root / "build/dev/bin/octavo")
    parser.add_argument("--shape", default="1024x1024")
    parser.add_argument("--optimizer", nargs="+", default=["adaptive", "adamw", "radam"])
    parser.add_argument("--lanes", default="2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    rows, cols = (int(side) for side in arguments.shape.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        make_layer(source, rows, cols)

        def best(optimizer):
            command = [arguments.octavo, "convert", source, "-o", target, "--force", "--json", "--model", "none",
                       "--optimizer", optimizer, "--lanes", arguments.lanes, "--device", arguments.device]
            return min((measure(command) for _ in range(arguments.rounds)), key=lambda run: run[0])

        base_wall, base_cpu, _ = best("nearest")
        print(f"[{rows}, {cols}], {arguments.lanes} lanes: nearest {base_wall:.3f} s, {base_cpu:.3f} s of processor")
        for optimizer in arguments.optimizer:
            wall, cpu, layer = best(optimizer)
            print(f"{optimizer:<9} {wall - base_wall:6.2f} s, {cpu - base_cpu:6.2f} s of processor beyond nearest; "
                  f"{layer['note']}")


if __name__ == "__main__":
    main()
