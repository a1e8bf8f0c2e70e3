"""Hostile and broken input through the real program: a clear error, exit code 3 (4 for other containers), and nothing
left in the folder. Names T.. are those of the rule that a case is about."""

import json
import os
import struct
import time
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, encode, frame, padded
from program import SANITIZED, ConversionTest, measure, octavo
from weight_sets import gaussian

FLOATS = encode(gaussian(1, (64, 256)), "F32")


def entry(dtype, shape, begin, end):
    return json.dumps({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]})


def with_header(text, data):
    return frame(padded(text), data)


def one_tensor(dtype, shape, begin, end, data):
    return with_header('{"w.weight":' + entry(dtype, shape, begin, end) + "}", data)


def two_tensors(first, second, data):
    return with_header('{"a":' + entry("U8", *first) + ',"b":' + entry("U8", *second) + "}", data)


VALID = checkpoint_file.serialize({"w.weight": FLOATS}, {"key": "value"})
VALUES = FLOATS.data
SIZE = len(VALUES)

# name -> bytes of the file, and words that the message has to hold.
INVALID = {
    "T01 empty": (b"", "not a safetensors file (0 bytes)"),
    "T01 seven bytes": (VALID[:7], "not a safetensors file (7 bytes)"),
    "T02 LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234\n", "LFS"),
    "T02 HTML": (b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>", "HTML"),
    "T03 length 2^63": (struct.pack("<Q", 2**63) + VALID[8:], "9223372036854775808"),
    "T03 length 2^64-1": (struct.pack("<Q", 2**64 - 1) + VALID[8:], "18446744073709551615"),
    "T03 length over the cap": (struct.pack("<Q", 100_000_001) + VALID[8:], "100000001"),
    "T04 length beyond the file": (struct.pack("<Q", len(VALID)) + VALID[8:], str(len(VALID))),
    "T07 one byte short": (VALID[:-1], "truncated by 1 bytes"),
    "T07 half of it": (VALID[: len(VALID) - SIZE // 2], f"truncated by {SIZE // 2} bytes"),
    "T08 one byte too many": (VALID + b"\0", "1 extra bytes"),
    "T10 hole": (two_tensors(([4], 0, 4), ([4], 8, 12), bytes(12)), "a hole of 4 bytes"),
    "T10 hole at the start": (one_tensor("U8", [4], 4, 8, bytes(8)), "hole"),
    "T10 overlap": (two_tensors(([8], 0, 8), ([8], 4, 12), bytes(12)), "overlap"),
    "T10 shared range": (two_tensors(([8], 0, 8), ([8], 0, 8), bytes(8)), "overlap"),
    "T10 end before begin": (one_tensor("U8", [4], 4, 0, bytes(4)), "before"),
    "T11 size wraps to nothing": (one_tensor("F32", [2**32, 2**32], 0, 0, b""), "64 bits"),
    "T12 zero hides what follows": (one_tensor("F32", [0, 2**64 - 1, 2**64 - 1], 0, 0, b""), "dimension"),
    "T12 zero hides a product": (one_tensor("F32", [0, 2**40, 2**40], 0, 0, b""), "64 bits"),
    "T15 three half bytes": (one_tensor("F4", [3], 0, 2, bytes(2)), "whole bytes"),
    "T15 one F6": (one_tensor("F6_E2M3", [1], 0, 1, bytes(1)), "whole bytes"),
    "T17 metadata is a number": (with_header('{"__metadata__":{"a":1}}', b""), "__metadata__"),
    "T17 metadata is nested": (with_header('{"__metadata__":{"a":{"b":"c"}}}', b""), "__metadata__"),
    "T17 metadata is a list": (with_header('{"__metadata__":["a"]}', b""), "__metadata__"),
    "not UTF-8": (frame(b'{"\xff\xfe":' + entry("U8", [1], 0, 1).encode() + b"}", b"\0"), "JSON"),
    "byte order mark": (frame(b"\xef\xbb\xbf{}", b""), "byte order mark"),
    "NUL padding": (frame(VALID[8:-SIZE].rstrip() + b"\0" * 8, VALUES), "NUL"),
    "no object": (with_header("[]", b""), "array"),
    "two objects": (with_header("{}{}", b""), "JSON"),
    "comment": (with_header('{/* nothing */}', b""), "JSON"),
    "trailing comma": (with_header('{"a":' + entry("U8", [1], 0, 1) + ",}", b"\0"), "JSON"),
    "spaces only": (frame(b" " * 64, b""), "no JSON object"),
    "nested too deep": (with_header('{"a":' * 200 + "1" + "}" * 200, b""), "8 levels"),
    "name twice": (
        with_header('{"a":' + entry("U8", [1], 0, 1) + ',"\\u0061":' + entry("U8", [1], 0, 1) + "}", b"\0"), '"a"'),
    "metadata key twice": (with_header('{"__metadata__":{"a":"1","\\u0061":"2"}}', b""), "twice"),
    "metadata twice": (with_header('{"__metadata__":{},"__metadata__":{}}', b""), "twice"),
    "no dtype": (with_header('{"a":{"shape":[1],"data_offsets":[0,1]}}', b"\0"), "dtype"),
    "no shape": (with_header('{"a":{"dtype":"U8","data_offsets":[0,1]}}', b"\0"), "shape"),
    "no offsets": (with_header('{"a":{"dtype":"U8","shape":[1]}}', b"\0"), "data_offsets"),
    "dtype twice": (
        with_header('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\0"), "dtype twice"),
    "entry as a list": (with_header('{"a":["U8",[1],[0,1]]}', b"\0"), "array"),
    "unknown dtype": (one_tensor("C128", [1], 0, 16, bytes(16)), "C128"),
    "dtype in lower case": (one_tensor("f32", [1], 0, 4, bytes(4)), "f32"),
    "negative dimension": (with_header('{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}', b"\0"), "negative"),
    "fractional dimension": (with_header('{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', b"\0"), "1.0"),
    "dimension of 2^64": (
        with_header('{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}}', b"\0"), "shape"),
    "rank 33": (one_tensor("U8", [1] * 33, 0, 1, b"\0"), "32 dimensions"),
    "one offset": (with_header('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}', b"\0"), "data_offsets"),
    "three offsets": (with_header('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}', b"\0"), "data_offsets"),
    "size is not the shape's": (one_tensor("F32", [64, 255], 0, SIZE, VALUES), "need"),
}
OTHER_CONTAINERS = {
    "zip.safetensors": (b"PK\x03\x04" + bytes(60), "zip"),
    "pickle.safetensors": (b"\x80\x04\x95" + bytes(61), "pickle"),
    "model.ckpt": (b"PK\x03\x04" + bytes(60), "zip"),
    "model.pt": (b"\x80\x02" + bytes(62), "pickle"),
    "model.gguf": (b"GGUF" + bytes(60), "GGUF"),
}


class BrokenFileTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "source.safetensors"
        self.target = self.folder / "out.safetensors"

    def refuse_file(self, code, content, words, source=None):
        source = source or self.source
        source.write_bytes(content)
        started = time.monotonic()
        error = self.refuse(code, "convert", source, "-o", self.target)
        self.assertLess(time.monotonic() - started, 10)
        self.assertIn(words, error)
        self.assertIn(source.name, error)
        self.assert_files(source.name)
        self.assertEqual(source.read_bytes(), content)
        source.unlink()

    def test_the_file_that_the_cases_are_made_of_is_valid(self):
        self.source.write_bytes(VALID)
        self.convert(self.source, self.target)

    def test_invalid_files(self):
        for name, (content, words) in INVALID.items():
            with self.subTest(case=name):
                self.refuse_file(3, content, words)

    def test_other_containers(self):
        for name, (content, words) in OTHER_CONTAINERS.items():
            with self.subTest(case=name):
                self.refuse_file(4, content, words, self.folder / name)

    def test_missing_and_irregular_input(self):
        self.assertIn("No such file", self.refuse(5, "convert", self.source, "-o", self.target))
        os.mkfifo(self.source)  # must not wait for somebody who writes to it
        self.assertIn("not a regular file", self.refuse(3, "convert", self.source, "-o", self.target))
        self.assert_files(self.source.name)

    def test_an_absurd_length_costs_neither_time_nor_memory(self):  # T03
        if SANITIZED:
            self.skipTest("a sanitizer's own memory is larger")
        self.source.write_bytes(struct.pack("<Q", 100_000_001) + VALID[8:])
        runs = [measure("convert", self.source) for _ in range(5)]
        self.assertEqual({code for code, _, _ in runs}, {3})
        self.assertLess(min(seconds for _, seconds, _ in runs), 0.05)
        self.assertLess(max(peak for _, _, peak in runs), 32 << 20)

    def test_more_tensors_than_any_model_has(self):  # T06
        many = (1 << 20) + 1
        text = "{" + ",".join(
            '"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % number for number in range(many)) + "}"
        self.source.write_bytes(with_header(text, b""))
        error = self.refuse(3, "convert", self.source, "-o", self.target)
        self.assertIn("1048576 tensors", error)
        if not SANITIZED:
            code, seconds, peak = measure("convert", self.source, "-o", self.target)
            self.assertEqual(code, 3)
            self.assertLess(seconds, 3)
            self.assertLess(peak, 1600 << 20)
        self.assert_files(self.source.name)


class UnusualFileTest(ConversionTest):
    """Files that look odd and are valid."""

    def converted(self, content, *arguments):
        source, target = self.folder / "source.safetensors", self.folder / "out.safetensors"
        source.write_bytes(content)
        done = octavo("convert", source, "-o", target, "--model", "none", "--force", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return checkpoint_file.read(target), done

    def assert_converted(self, content):
        straight, _ = self.converted(VALID)
        self.assertEqual(self.converted(content)[0].tensors, straight.tensors)

    def test_unaligned_data(self):  # T13
        names = '{"a":' + entry("U8", [1], 0, 1) + ',"w.weight":' + entry("F32", [64, 256], 1, 1 + SIZE) + "}"
        for spaces in range(8):
            stored, _ = self.converted(frame((names + " " * spaces).encode(), b"\x07" + VALUES))
            self.assertEqual(stored.tensors.pop("a"), Tensor("U8", (1,), b"\x07"))
            self.assertEqual(stored.tensors, self.converted(VALID)[0].tensors)

    def test_spaces_around_the_header(self):
        text = VALID[8:-SIZE].decode().strip()
        for header in (" \t\r\n" + text, text + " \t\r\n"):
            self.assert_converted(frame(header, VALUES))

    def test_data_in_another_order_than_the_header(self):
        text = '{"w.weight":' + entry("F32", [64, 256], 4, 4 + SIZE) + ',"a":' + entry("U8", [4], 0, 4) + "}"
        stored, _ = self.converted(with_header(text, b"abcd" + VALUES))
        self.assertEqual(stored.tensors["a"].data, b"abcd")

    def test_an_unknown_field_is_named_and_dropped(self):
        text = VALID[8:-SIZE].decode().strip().replace('"dtype"', '"extra":{"a":[1]},"dtype"', 1)
        stored, done = self.converted(frame(padded(text), VALUES))
        self.assertNotIn("extra", stored.header)
        self.assertRegex(done.stderr, "source.safetensors: .*extra")
        plan = octavo("plan", self.folder / "source.safetensors", "--model", "none", "--json")
        self.assertIn("extra", plan.stderr)
        self.assertEqual(["extra" in line for line in json.loads(plan.stdout)["warnings"]], [True])

    def test_names_that_attack_the_terminal_or_the_file_system(self):  # T16
        # A plugin sees a name as a C string, so a layer with a NUL in its name may be kept; it must not lose its name.
        names = ["\x1b[31mred\x1b[0m", "a\0b", "\u202eright to left", "../../escape", "/etc/escape", "a\nb", "b" * 4096]
        tensors = {"w.weight": FLOATS, **{name: encode(np.arange(3), "F32") for name in names}}
        tensors.update({f"{name}.weight": FLOATS for name in names[:-1]})
        stored, done = self.converted(checkpoint_file.serialize(tensors))
        for name in names:
            self.assertEqual(stored.tensors[name], tensors[name])
            if name != names[-1]:
                self.assertTrue(f"{name}.weight" in stored.tensors, f"{name!a}.weight has lost its name")
                if "\0" not in name:
                    self.assertEqual(stored.tensors[f"{name}.weight"].dtype, "I8")
        self.assert_files("source.safetensors", "out.safetensors")
        # The summary names layers; so does the plan, which lists every tensor.
        plan = octavo("plan", self.folder / "source.safetensors", "--model", "none")
        for text in (done.stdout, done.stderr, plan.stdout, plan.stderr):
            self.assertNotRegex(text, "[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")

    def test_a_name_of_a_megabyte(self):  # T16
        source = self.folder / "source.safetensors"
        source.write_bytes(checkpoint_file.serialize({"w.weight": FLOATS, "b" * (1 << 20): FLOATS}))
        error = self.refuse(4, "convert", source, "-o", self.folder / "out.safetensors", "--model", "none")
        self.assertIn("4096", error)
        self.assertLess(len(error), 2000)
        self.assert_files("source.safetensors")

    def test_metadata_of_10_megabytes(self):  # T17
        metadata = {"a": "x" * 10_000_000, "b": "é" * 1000}
        stored, _ = self.converted(checkpoint_file.serialize({"w.weight": FLOATS}, metadata))
        self.assertEqual({key: stored.metadata[key] for key in metadata}, metadata)

    def test_nested_metadata(self):
        """Every command answers, and none by a signal: depth costs no stack."""
        deep = "[" * 1_000_000 + "]" * 1_000_000
        codes = {
            "_quantization_metadata": {"plan": 0, "convert": 0, "verify": 7, "edit": 3},
            "octavo": {"plan": 0, "convert": 0, "verify": 0, "edit": 0},
        }
        texts = {"_quantization_metadata": '{"layers":{"w":%s}}' % deep, "octavo": '{"settings":%s}' % deep}
        source, target = self.folder / "source.safetensors", self.folder / "out.safetensors"
        more = {
            "plan": ("--model", "none"), "convert": ("--model", "none", "-o", target), "verify": (),
            "edit": ("--set-metadata", "a=b", "-o", target)}
        for key, wanted in codes.items():
            checkpoint_file.write(source, {"w.weight": FLOATS}, {key: texts[key]})
            for command, code in wanted.items():
                with self.subTest(key=key, command=command):
                    done = octavo(command, source, *more[command])
                    self.assertEqual(done.returncode, code, done.stderr[-2000:])
                    target.unlink(missing_ok=True)

    def test_metadata_null(self):  # T17
        text = '{"__metadata__":null,"w.weight":' + entry("F32", [64, 256], 0, SIZE) + "}"
        stored, done = self.converted(with_header(text, VALUES))
        self.assertEqual(list(stored.metadata), ["octavo"])
        self.assertIn("__metadata__ is null", done.stderr)

    def test_a_file_that_is_quantized_already(self):
        once = self.folder / "once.safetensors"
        source = self.folder / "source.safetensors"
        tensors = {"w.weight": FLOATS, "float.weight": encode(gaussian(2, (64, 64)), "F16")}
        checkpoint_file.write(source, tensors)
        self.convert(source, once, "--format", "int8_tensorwise", "--model", "none")
        # Every layer is INT8 by now: nothing is left to do, and codes are never taken for weights.
        self.refuse(4, "convert", once, "-o", self.folder / "twice.safetensors", "--model", "none")
        self.assert_files("once.safetensors", "source.safetensors")
        # One layer is not: the other one passes through with its scale and marker.
        mixed = checkpoint_file.read(once).tensors
        for name in ("float.weight", "float.weight_scale", "float.comfy_quant"):
            del mixed[name]
        mixed["float.weight"] = tensors["float.weight"]
        checkpoint_file.write(source, mixed)
        self.convert(source, self.folder / "twice.safetensors", "--format", "int8_tensorwise", "--model", "none")
        self.assertEqual(
            checkpoint_file.read(self.folder / "twice.safetensors").tensors, checkpoint_file.read(once).tensors)


if __name__ == "__main__":
    unittest.main()
