#!/usr/bin/env python3
"""Whole conversions against `cp` of the same file, in turns in one run, and what start-up costs.

  convert.py [--octavo PROGRAM] [--gigabytes G] [--source FOLDER] [--target FOLDER] [--rounds N]
             [--device D]

A file with the layer shapes of FLUX.1 is made once in the source folder and read into the page cache; outputs go to
the target folder (tmpfs by default) and are removed. Ratios are what counts: absolute times of a shared machine do
not repeat. Needs NumPy.
"""

import argparse
import json
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy

LAYERS = (("attn.qkv", (9216, 3072)), ("attn.proj", (3072, 3072)), ("mlp.0", (12288, 3072)), ("mlp.2", (3072, 12288)),
          ("linear1", (21504, 3072)), ("linear2", (3072, 15360)), ("modulation", (18432, 3072)))


def make_checkpoint(path, gigabytes):
    """bf16 layers of Gaussian weights; the same 32 MiB of them over and over."""
    header, offset, number = {}, 0, 0
    while offset < gigabytes * 1e9:
        name, shape = LAYERS[number % len(LAYERS)]
        size = 2 * shape[0] * shape[1]
        header[f"blocks.{number // len(LAYERS)}.{name}.weight"] = {
            "dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
        number += 1
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    bits = (numpy.random.default_rng(0).standard_normal(1 << 24).astype(numpy.float32) * 0.02).view(numpy.uint32)
    block = ((bits + 0x8000) >> 16).astype(numpy.uint16).tobytes()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for begin in range(0, offset, len(block)):
            file.write(block[:min(len(block), offset - begin)])


def make_header(path, tensors):
    header, offset = {}, 0
    for number in range(tensors // 4):
        for name, shape in (("attn.q.weight", (256, 256)), ("attn.q.bias", (256,)), ("mlp.fc.weight", (512, 256)),
                            ("norm.weight", (256,))):
            size = 2 * int(numpy.prod(shape))
            header[f"model.blocks.{number}.{name}"] = {
                "dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


def measure(command, output=None):
    """Seconds of the whole process, and what it printed."""
    if output is not None:
        output.unlink(missing_ok=True)
    begin = time.perf_counter()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - begin, done.stdout


def report(name, seconds, peers, peak):
    ratios = [own / peer for own, peer in zip(seconds, peers)]
    print(f"{name:<28} {min(seconds):6.2f} {statistics.median(seconds):6.2f} s   "
          f"{min(ratios):5.2f} {statistics.median(ratios):5.2f} {max(ratios):5.2f} x cp   {peak:5.0f} MiB")


def conversions(arguments, source):
    with tempfile.TemporaryDirectory(dir=arguments.target) as folder:
        output = Path(folder) / "output.safetensors"
        octavo = [arguments.octavo, "convert", source, "-o", output, "-q", "--json", "--device", arguments.device]
        commands = {"row": octavo + ["--format", "int8_tensorwise"], "ConvRot": octavo,
                    "row, no fsync": octavo + ["--format", "int8_tensorwise", "--no-fsync"],
                    "ConvRot, no fsync": octavo + ["--no-fsync"]}
        seconds = {name: [] for name in commands}
        peaks = dict.fromkeys(commands, 0.0)
        copies = []
        for _ in range(arguments.rounds):
            copies.append(measure(["cp", source, output], output)[0])
            for name, command in commands.items():
                one, printed = measure(command, output)
                seconds[name].append(one)
                peaks[name] = max(peaks[name], json.loads(printed)["peak_memory"] / 2**20)
        print(f"{source.stat().st_size / 1e9:.2f} GB from {arguments.source} to {arguments.target}: min, median; "
              "ratio to cp of the same round: min, median, max; peak memory")
        print(f"{'cp':<28} {min(copies):6.2f} {statistics.median(copies):6.2f} s")
        for name in commands:
            report(name, seconds[name], copies, peaks[name])


def start_up(arguments):
    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "header.safetensors"
        make_header(header, 20_000)
        for name, command in (("octavo plugins", [arguments.octavo, "plugins"]),
                              ("plan of 20,000 tensors", [arguments.octavo, "plan", header]),
                              ("the same, --json", [arguments.octavo, "plan", header, "--json"])):
            times = [measure(command)[0] for _ in range(arguments.rounds)]
            print(f"{name:<28} {min(times):6.3f} {statistics.median(times):6.3f} s")


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octavo", type=Path, default=root / "build/dev/bin/octavo")
    parser.add_argument("--gigabytes", type=float, default=1.3)
    parser.add_argument("--source", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--target", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    start_up(arguments)
    with tempfile.TemporaryDirectory(dir=arguments.source) as folder:
        source = Path(folder) / "source.safetensors"
        make_checkpoint(source, arguments.gigabytes)
        conversions(arguments, source)


if __name__ == "__main__":
    main()
