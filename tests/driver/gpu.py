"""Tests that need a GPU end with 77, which ctest shows as skipped, where there is none."""

import json
import sys

from program import octavo


def absence():
    """Why the CUDA backend cannot work here, or ""."""
    listed = json.loads(octavo("plugins", "cuda", "--probe", "--json").stdout)
    found = [plugin for plugin in listed["plugins"] if plugin["id"] == "cuda" and plugin["kind"] == "backend"]
    if not found:
        return "the CUDA backend is not built"
    return "" if found[0]["score"] else found[0]["probe"]


def require_gpu():
    why = absence()
    if why:
        print("skipped:", why)
        sys.exit(77)
