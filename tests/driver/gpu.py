"""Tests that need a GPU end with 77, which ctest shows as skipped, where there is none."""

import json
import sys

from program import octavo


def found_gpus():
    """How many GPUs the CUDA backend finds, and what it says of them or of their absence."""
    listed = json.loads(octavo("plugins", "cuda", "--probe", "--json").stdout)
    found = [plugin for plugin in listed["plugins"] if plugin["id"] == "cuda" and plugin["kind"] == "backend"]
    if not found:
        return 0, "the CUDA backend is not built"
    return len(found[0]["devices"]), found[0]["probe"]


def require_gpu(count=1):
    there, said = found_gpus()
    if there < count:
        print("skipped:", f"{count} GPUs are needed: {said}" if there else said)
        sys.exit(77)
