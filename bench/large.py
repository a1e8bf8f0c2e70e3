#!/usr/bin/env python3
"""A whole 12 B model (the 304 linear layers of FLUX.1, bf16, 23.7 GB) to ConvRot INT8, against what the machine allows.

  large.py [--octavo PROGRAM] [--limits PROGRAM] [--folder FOLDER] [--share S] [--devices cuda cpu] [--rounds N]
           [--disk FOLDER] [--disk-share S] [--converter PROGRAM] [--learned ID,...]

Everything is done in one run, so that figures can be compared: the limits (octavo_limits), `cp`, the conversion on every
device into one file, discarded, and as 8 and 32 shards. The folder should be a tmpfs with room for twice the model. --share 0.1
takes a tenth of the blocks. With --disk the same from disk to disk with fsync, cold (needs root to drop the page cache) and
warm. With --learned nothing but nearest and these optimizers. --converter is the convert_to_quant program of PyPI, where it is installed. Seconds are those of the whole process."""

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy

DOUBLE = [(f"{part}_{name}", shape) for part in ("img", "txt") for name, shape in (
    ("attn.qkv", (9216, 3072)), ("attn.proj", (3072, 3072)), ("mlp.0", (12288, 3072)), ("mlp.2", (3072, 12288)),
    ("mod.lin", (18432, 3072)))]
SINGLE = [("linear1", (21504, 3072)), ("linear2", (3072, 15360)), ("modulation.lin", (9216, 3072))]
PIECE = 1 << 25


def layers(share):
    for block in range(round(19 * share)):
        for name, shape in DOUBLE:
            yield f"double_blocks.{block}.{name}", shape
    for block in range(round(38 * share)):
        for name, shape in SINGLE:
            yield f"single_blocks.{block}.{name}", shape


def weight_bits():
    """32 MiB of bf16: Gaussian weights with the heavier tail of a diffusion transformer."""
    random = numpy.random.default_rng(0)
    values = random.standard_normal(PIECE // 2).astype(numpy.float32)
    values *= 0.02 * numpy.exp(0.4 * random.standard_normal(PIECE // 2).astype(numpy.float32))
    return ((values.view(numpy.uint32) + 0x8000) >> 16).astype(numpy.uint16).tobytes()


def make_checkpoint(path, share):
    header, offset = {}, 0
    for name, shape in layers(share):
        for key, dims in ((f"{name}.weight", shape), (f"{name}.bias", shape[:1])):
            size = 2 * int(numpy.prod(dims))
            header[key] = {"dtype": "BF16", "shape": dims, "data_offsets": [offset, offset + size]}
            offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start, block = 8 + len(text), weight_bits()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.flush()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda at: os.pwrite(file.fileno(), block[:min(PIECE, offset - at)], start + at),
                          range(0, offset, PIECE)))


# A process begins with the memory of the one that starts it, so a small one stands between.
MEASURE = """
import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
begin = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.scratch = Path(tempfile.mkdtemp(prefix="octavo-bench-"))

    def run(self, *command):
        """Seconds, CPU seconds, peak resident bytes, what was printed."""
        out = self.scratch / "stdout"
        done = subprocess.run(
            ["python3", "-I", "-S", "-c", MEASURE, str(out), *map(str, command)], stdout=subprocess.PIPE, text=True)
        printed = out.read_text(errors="replace")
        if done.returncode != 0:
            raise SystemExit(f"failed: {' '.join(map(str, command))}\n{printed}")
        seconds, cpu, peak = map(float, done.stdout.split())
        return seconds, cpu, peak, printed

    def limits(self, *arguments):
        printed = self.run(self.arguments.limits, *arguments)[3]
        print(printed.rstrip())
        return {found[0]: float(found[1]) for found in re.findall(r"^(\w+) +([\d.]+) s", printed, re.MULTILINE)}

    def convert(self, name, source, output, *options):
        seconds, cpus, peaks = [], [], []
        for _ in range(self.arguments.rounds):
            remove(output)
            one, cpu, peak, _ = self.run(
                self.arguments.octavo, "convert", source, "-o", output, "-q", "--json", *options)
            seconds.append(one)
            cpus.append(cpu)
            peaks.append(peak)
        print(f"{name:<34} {' '.join(f'{one:6.2f}' for one in seconds)} s   best {min(seconds):5.2f}   "
              f"cpu {min(cpus):5.1f} s   {max(peaks) / 2**20:5.0f} MiB", flush=True)
        return min(seconds)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def same_bytes(first, second):
    return subprocess.run(["cmp", str(first), str(second)]).returncode == 0


class MemoryWatch:
    """The largest use of the first GPU's memory, and of pinned host memory, while it is there."""

    def __enter__(self):
        self.base, self.most, self.done = self.used(), 0, False
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done = True
        self.thread.join()

    def watch(self):
        while not self.done:
            self.most = max(self.most, self.used() - self.base)

    @staticmethod
    def used():
        try:
            printed = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                                     stdout=subprocess.PIPE, text=True, check=True).stdout
            return int(printed.splitlines()[0])
        except (OSError, subprocess.CalledProcessError, ValueError):
            return 0


def in_memory(bench, folder):
    arguments = bench.arguments
    devices = arguments.devices
    source = folder / "model.safetensors"
    begin = time.perf_counter()
    make_checkpoint(source, arguments.share)
    size = source.stat().st_size
    print(f"{size / 1e9:.2f} GB in {folder}, made in {time.perf_counter() - begin:.1f} s", flush=True)
    limits = bench.limits("fill", folder, size // 2)
    limits.update(bench.limits("read", source))
    on_gpus = [device for device in devices if device.startswith("cuda")]
    if on_gpus:
        limits.update(bench.limits("bus", size))
    if not arguments.no_copy:
        copied = folder / "copy"
        print(f"{'cp':<34} {bench.run('cp', source, copied)[0]:6.2f} s")
        remove(copied)
    output = folder / "output.safetensors"
    if arguments.converter:
        seconds, cpu, peak, _ = bench.run(
            arguments.converter, "-i", source, "-o", output, "--int8", "--scaling_mode", "row", "--comfy_quant",
            "--save-quant-metadata", "--simple", "--convrot")
        print(f"{'Python converter':<34} {seconds:6.2f} s   cpu {cpu:5.1f} s   {peak / 2**20:5.0f} MiB", flush=True)
        remove(output)
    for device in devices:
        one = ["--device", device]
        whole = bench.convert(f"{device}: one file", source, output, *one)
        print(f"{'':<34} fill + {whole - limits['fill']:.2f} s")
        kept = folder / f"{device}.safetensors"
        output.rename(kept)
        discarded = bench.convert(f"{device}: discarded", source, output, *one, "--discard")
        if device in on_gpus:
            print(f"{'':<34} context + bus + {discarded - limits['context'] - limits['bus']:.2f} s")
        for count in (8, 32):
            if count <= len(list(layers(arguments.share))):
                bench.convert(f"{device}: {count} shards", source, folder / "shards", *one, "--shards", str(count))
                remove(folder / "shards")
        bench.convert(f"{device}: plain rows", source, output, *one, "--format", "int8_tensorwise")
        remove(output)
    if on_gpus:
        with MemoryWatch() as watch:
            bench.run(arguments.octavo, "convert", source, "-o", output, "-q", "--device", on_gpus[0])
        print(f"GPU memory {watch.most} MiB at most")
        remove(output)
    first, *others = [folder / f"{device}.safetensors" for device in devices]
    if others:
        print("the same bytes:", all(same_bytes(first, other) for other in others))
    if arguments.digest:
        print("SHA-256", hashlib.file_digest(open(first, "rb"), "sha256").hexdigest())
    fill_again = bench.limits("fill", folder, size // 2)
    print(f"fill before and after: {limits['fill']:.2f} {fill_again['fill']:.2f} s")


def learned(bench, folder):
    """Optimizers against nearest, into one file."""
    arguments = bench.arguments
    source, output = folder / "model.safetensors", folder / "output.safetensors"
    make_checkpoint(source, arguments.share)
    print(f"{source.stat().st_size / 1e9:.2f} GB in {folder}", flush=True)
    for device in arguments.devices:
        nearest = bench.convert(f"{device}: nearest", source, output, "--device", device)
        for optimizer in arguments.learned.split(","):
            whole = bench.convert(f"{device}: {optimizer}", source, output, "--device", device, "--optimizer", optimizer)
            print(f"{'':<34} nearest + {whole - nearest:.2f} s", flush=True)


def drop_caches():
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return True
    except OSError:
        return False


def read_through(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(PIECE):
            pass


def on_disk(bench, folder):
    """cp and sync of the input against conversions that wait for the disk."""
    arguments = bench.arguments
    source, copied = folder / "model.safetensors", folder / "copy"
    make_checkpoint(source, arguments.disk_share)
    os.sync()
    print(f"{source.stat().st_size / 1e9:.2f} GB on the disk at {folder}; seconds with fsync")
    commands = {"cp": ["sh", "-c", f"cp '{source}' '{copied}' && sync '{copied}'"]}
    for device in arguments.devices:
        commands[device] = [arguments.octavo, "convert", source, "-o", copied, "-q", "--device", device]
    for state in ("cold", "warm"):
        times = {name: [] for name in commands}
        for _ in range(arguments.disk_rounds):
            for name, command in commands.items():
                remove(copied)
                os.sync()
                if state == "cold" and not drop_caches():
                    return print("cold: the page cache cannot be dropped here")
                if state == "warm":
                    read_through(source)
                times[name].append(bench.run(*command)[0])
        for name, seconds in times.items():
            ratio = min(one / peer for one, peer in zip(seconds, times["cp"]))
            print(f"{state} {name:<10} {' '.join(f'{one:6.2f}' for one in seconds)} s   {ratio:5.2f} x cp", flush=True)


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octavo", type=Path, default=root / "build/dev/bin/octavo")
    parser.add_argument("--limits", type=Path, default=root / "build/dev/bench/octavo_limits")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--devices", nargs="+", default=["cuda", "cpu"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--disk-share", type=float, default=0.25)
    parser.add_argument("--disk-rounds", type=int, default=2)
    parser.add_argument("--only-disk", action="store_true")
    parser.add_argument("--converter", help="the program convert_to_quant of PyPI, to be timed too (minutes)")
    parser.add_argument("--no-copy", action="store_true", help="leave out cp")
    parser.add_argument("--learned", help="optimizers to be timed against nearest, and nothing else")
    parser.add_argument("--digest", action="store_true", help="print the SHA-256 of the output")
    arguments = parser.parse_args()
    if any("," in device and ":" not in device for device in arguments.devices):
        parser.error("--devices: several devices are several words, cuda cpu")
    bench = Bench(arguments)
    try:
        if not arguments.only_disk:
            with tempfile.TemporaryDirectory(prefix="octavo-bench-", dir=arguments.folder) as folder:
                (learned if arguments.learned else in_memory)(bench, Path(folder))
        if arguments.disk is not None:
            with tempfile.TemporaryDirectory(prefix="octavo-bench-", dir=arguments.disk) as folder:
                on_disk(bench, Path(folder))
    finally:
        shutil.rmtree(bench.scratch)


if __name__ == "__main__":
    main()
