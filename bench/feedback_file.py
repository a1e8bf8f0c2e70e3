#!/usr/bin/env python3
"""Rounding with feedback of a whole 12 B model (the 304 linear layers of FLUX.1, bf16, 23.7 GB), beside nearest.

  feedback_file.py [--octavo PROGRAM] [--folder FOLDER] [--share S] [--device DEVICE] [--rounds N] [--samples N]
                   [--only shared|own] [--optimizer SPEC] [--discard] [--log FOLDER]

Two calibration files are made: one with inputs for each width, which all layers of that width share (three factors), and one
with inputs for each of the 304 layers (7.2 GB with 2,048 rows). Everything is done in one run, so that figures can be
compared: nearest, then feedback with either file. The folder should be a tmpfs with room for 45 GB. --share 0.1 takes a
tenth of the blocks. Seconds are those of the whole process, "beyond" is the best run's beyond nearest's best."""

import argparse
import json
import os
import shutil
import struct
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy

from large import Bench, MemoryWatch, layers, make_checkpoint, remove


def input_bits(samples, cols):
    """bf16 [samples, cols]: neighbouring channels go together, and a few are far larger than the others."""
    random = numpy.random.default_rng(cols)
    noise = random.standard_normal((samples, cols + 12), dtype=numpy.float32)
    values = sum(0.9**lag * noise[:, lag:lag + cols] for lag in range(12))
    values *= numpy.exp(0.5 * random.standard_normal(cols, dtype=numpy.float32))
    values[:, random.choice(cols, 8, replace=False)] *= 10
    return ((values.view(numpy.uint32) + 0x8000) >> 16).astype(numpy.uint16)


def write_inputs(path, entries, sharing, blocks):
    """entries: layer -> columns; sharing: layer -> layer whose inputs it shares; blocks: columns -> bits."""
    header, offset, places = {}, 0, []
    for name, cols in entries.items():
        size = blocks[cols].nbytes
        header[f"{name}.inputs"] = {
            "dtype": "BF16", "shape": list(blocks[cols].shape), "data_offsets": [offset, offset + size]}
        places.append((offset, cols))
        offset += size
    if sharing:
        header["__metadata__"] = {"octavo.inputs": json.dumps(sharing)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.flush()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda at: os.pwrite(file.fileno(), blocks[at[1]].data, start + at[0]), places))
    return start + offset


def shared_inputs(path, shapes, blocks):
    owners = {}
    for name, (_, cols) in shapes:
        owners.setdefault(cols, name)
    sharing = {name: owners[cols] for name, (_, cols) in shapes if owners[cols] != name}
    return write_inputs(path, {name: cols for cols, name in owners.items()}, sharing, blocks)


def run(bench, name, source, output, *options, rounds=None):
    """The best of the rounds' seconds."""
    seconds, peak, report = [], 0, {}
    rounds = rounds or bench.arguments.rounds
    for turn in range(rounds):
        remove(output)
        if bench.arguments.log and turn == rounds - 1:  # says how long each layer was prepared
            options += ("--log-file", bench.arguments.log / (name.replace(",", "").replace(" ", "-") + ".log"))
        one, _, resident, printed = bench.run(
            bench.arguments.octavo, "convert", source, "-o", output, "-q", "--json", "--device",
            bench.arguments.device, *options)
        seconds.append(one)
        peak = max(peak, resident)
        report = json.loads(printed)
    nearest = sum(layer.get("stored_as_nearest", False) for layer in report["layers"])
    print(f"{name:<26} {' '.join(f'{one:6.2f}' for one in seconds)} s   best {min(seconds):5.2f}   "
          f"{peak / 2**20:5.0f} MiB   {nearest} of {len(report['layers'])} layers as nearest", flush=True)
    for note in report.get("notes", []):
        print("  note:", note)
    return min(seconds)


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octavo", type=Path, default=root / "build/dev/bin/octavo")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--only", choices=("shared", "own"))
    parser.add_argument("--optimizer", default="quip")
    parser.add_argument("--log", type=Path, help="where the last round of each kind leaves its log")
    parser.add_argument("--discard", action="store_true", help="compute and drop the output")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    extra = ["--discard"] if arguments.discard else []
    try:
        with tempfile.TemporaryDirectory(prefix="octavo-bench-", dir=arguments.folder) as name:
            folder = Path(name)
            source, inputs, output = (folder / f"{part}.safetensors" for part in ("model", "inputs", "output"))
            begin = time.perf_counter()
            shapes = list(layers(arguments.share))
            make_checkpoint(source, arguments.share)
            blocks = {cols: input_bits(arguments.samples, cols) for cols in {cols for _, (_, cols) in shapes}}
            print(f"{source.stat().st_size / 1e9:.2f} GB, made in {time.perf_counter() - begin:.1f} s", flush=True)
            nearest = run(bench, "nearest", source, output, *extra)
            with_inputs = ["--optimizer", arguments.optimizer, "--calibration-data", inputs, *extra]
            for kind in ("shared", "own"):
                if arguments.only not in (None, kind):
                    continue
                if kind == "shared":
                    size = shared_inputs(inputs, shapes, blocks)
                else:
                    size = write_inputs(inputs, {name: cols for name, (_, cols) in shapes}, {}, blocks)
                print(f"inputs, {kind}: {size / 1e9:.2f} GB", flush=True)
                best = run(bench, f"feedback, {kind} factors", source, output, *with_inputs)
                print(f"{'':<26} {best - nearest:.2f} s beyond nearest", flush=True)
                with MemoryWatch() as watch:  # asking the driver all the time slows a run down, so it is another one
                    run(bench, "once more, watched", source, output, *with_inputs, rounds=1)
                print(f"{'':<26} {watch.most} MiB of the GPU's memory", flush=True)
                remove(output)
    finally:
        shutil.rmtree(bench.scratch)


if __name__ == "__main__":
    main()
