#!/usr/bin/env python3
"""What learned rounding costs beyond nearest: the projected objective, 50 iterations, subspaces included.

  learned.py [--octavo PROGRAM] [--shape ROWSxCOLS] [--layers N] [--optimizer ID ...] [--lanes N] [--rounds N]
             [--device D]

Prints the best of some rounds, in seconds of wall clock and of processor time, less those of a nearest conversion of
the same file. That of one layer holds what a process spends once (on a GPU mostly the loading of LibTorch); with
--layers N, the second figure is what each of N further layers costs. Needs NumPy.
"""

import argparse
import json
import os
import subprocess
import tempfile
import struct
from pathlib import Path

import numpy


def make_layers(path, layers, rows, cols):
    weight = (numpy.random.default_rng(0).standard_normal((rows, cols)) * 0.02).astype(numpy.float32)
    header = {f"layer{i}.weight": {"dtype": "F32", "shape": [rows, cols],
                                   "data_offsets": [i * weight.nbytes, (i + 1) * weight.nbytes]} for i in range(layers)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(layers):
            file.write(weight.tobytes())


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
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--folder", default="/dev/shm", help="where the files go; a tmpfs")
    parser.add_argument("--optimizer", nargs="+", default=["adaptive", "adamw", "radam"])
    parser.add_argument("--lanes", default="2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    rows, cols = (int(side) for side in arguments.shape.split("x"))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        target = Path(folder) / "out.safetensors"
        sources = {}
        for layers in sorted({1, arguments.layers, 2 * arguments.layers}) if arguments.layers > 1 else [1]:
            sources[layers] = Path(folder) / f"{layers}.safetensors"
            make_layers(sources[layers], layers, rows, cols)

        def best(optimizer, layers):
            command = [arguments.octavo, "convert", sources[layers], "-o", target, "--force", "--json", "--model", "none",
                       "--optimizer", optimizer, "--lanes", arguments.lanes, "--device", arguments.device]
            return min((measure(command) for _ in range(arguments.rounds)), key=lambda run: run[0])

        nearest = {layers: best("nearest", layers) for layers in sources}
        print(f"[{rows}, {cols}], {arguments.device}, {arguments.lanes} lanes: nearest {nearest[1][0]:.3f} s, "
              f"{nearest[1][1]:.3f} s of processor")
        for optimizer in arguments.optimizer:
            beyond = {}
            for layers in sources:
                wall, cpu, layer = best(optimizer, layers)
                beyond[layers] = wall - nearest[layers][0], cpu - nearest[layers][1]
            print(f"{optimizer:<9} {beyond[1][0]:6.3f} s, {beyond[1][1]:6.3f} s of processor beyond nearest; {layer['note']}")
            if arguments.layers > 1:
                further = (beyond[2 * arguments.layers][0] - beyond[arguments.layers][0]) / arguments.layers
                print(f"{'':<9} {1000 * further:6.1f} ms beyond nearest for each further layer", flush=True)


if __name__ == "__main__":
    main()
