"""A large checkpoint that takes hardly any disk: the header, some random weights, and holes, which read as zeros."""

import json
import struct

import numpy as np

LAYER = (4096, 4096)  # F32: 64 MiB
ROW_BYTES = LAYER[1] * 4


def write_sparse_model(path, megabytes=300):
    """F32 layers of up to 64 MiB each, `megabytes` in all."""
    left = megabytes << 20
    entries, begin, number = {}, 0, 0
    while left > 0:
        rows = min(LAYER[0], left // ROW_BYTES)
        size = rows * ROW_BYTES
        entries[f"blocks.{number}.linear.weight"] = {
            "dtype": "F32", "shape": [rows, LAYER[1]], "data_offsets": [begin, begin + size]}
        begin, number, left = begin + size, number + 1, left - size
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for entry in entries.values():
            file.seek(8 + len(header) + entry["data_offsets"][0])
            file.write(np.random.default_rng(1).standard_normal((64, LAYER[1]), np.float32).tobytes())
        file.truncate(8 + len(header) + begin)
    return path
