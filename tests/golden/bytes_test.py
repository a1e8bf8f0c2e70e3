"""Every byte of a converted file against an independent computation: keys, dtypes, shapes, order, codes, scales,
markers, metadata and what is passed through, for every class A format, source dtype and awkward shape."""

import functools
import json
import re
import types
import unittest

import numpy as np
import safetensors

import checkpoint_file
from checkpoint_file import Tensor, f8_values
from program import ConversionTest, octavo, sha256
from stored_layer import (
    e4m3_codes, grid_of, hadamard, quantized, rotated, rotated_in_double, single_precision, stored_layer,
)
from weight_sets import companions, dit_like, gaussian, odd_layers

FORMATS = [
    "int8_convrot", "int8_convrot:group=256", "int8_convrot:group=64", "int8_convrot:group=16", "int8_tensorwise",
    "int8_tensorwise:scale=tensor", "int8_blockwise", "int8_axiswise", "float8_e4m3fn", "fp16",
]
METADATA = {"modelspec.title": "tëst \"model\" \\ \n", "config": json.dumps({"layers": 3}), "a": ""}
# What safetensors calls them; it knows no FNUZ dtypes.
PACKAGE_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "I16": "int16",
    "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "F32": "float32", "C64": "complex64",
    "F64": "float64", "I64": "int64",
}


LAYERS = odd_layers(20240601)
OTHERS = companions(7)


@functools.lru_cache(maxsize=None)
def stored_layers(spec, **flags):
    stored = {base: stored_layer(base, weight, spec, **flags) for base, weight in LAYERS.items()}
    return types.MappingProxyType(stored)


def expected_tensors(spec, layers=LAYERS, **flags):
    """What a file with these of the layers, and the other tensors, has to hold."""
    expected = dict(OTHERS)
    for base in layers:
        expected.update(stored_layers(spec, **flags)[base])
    return expected


def package_bytes(tensors, metadata):
    described = {
        name: {"dtype": PACKAGE_DTYPES[tensor.dtype], "shape": list(tensor.shape), "data": tensor.data}
        for name, tensor in tensors.items()
    }
    return safetensors.serialize(described, metadata)


class BytesTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.source = self.write("source.safetensors", LAYERS, OTHERS, METADATA)

    def write(self, name, layers, others, metadata):
        tensors = {base + ".weight": weight for base, weight in layers.items()}
        return checkpoint_file.write(self.folder / name, {**tensors, **others}, metadata)

    def converted(self, spec, *arguments, source=None):
        target = self.folder / (re.sub(r"\W", "_", spec) + ".out.safetensors")
        document = self.convert(
            source or self.source, target, "--format", spec, "--model", "none", "--force", *arguments)
        return document, checkpoint_file.read(target), target

    def assert_same_tensors(self, stored, expected):
        self.assertEqual(sorted(stored), sorted(expected))
        for name, tensor in expected.items():
            with self.subTest(tensor=name):
                self.assertEqual((stored[name].dtype, stored[name].shape), (tensor.dtype, tensor.shape))
                if stored[name].data != tensor.data:
                    self.fail(difference(stored[name], tensor))

    def test_every_format(self):
        for spec in FORMATS:
            with self.subTest(format=spec):
                _, stored, target = self.converted(spec)
                expected = expected_tensors(spec)
                self.assert_same_tensors(stored.tensors, expected)
                # Order, padding, spacing and metadata: the whole file again, our metadata taken as it is.
                metadata = dict(sorted({**METADATA, "octavo": stored.metadata["octavo"]}.items()))
                self.assertEqual(target.read_bytes(), checkpoint_file.serialize(expected, metadata))

    def test_markers_are_those_of_the_contract(self):
        exact = {
            ("int8_convrot", 256): '{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 256}',
            ("int8_convrot", 320): '{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 64}',
            ("int8_convrot", 96): '{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 16}',
            ("int8_convrot", 255): '{"format": "int8_tensorwise"}',
            ("int8_convrot:group=256", 320): '{"format": "int8_tensorwise"}',
            ("int8_tensorwise", 256): '{"format": "int8_tensorwise"}',
            ("int8_tensorwise:scale=tensor", 256): '{"format": "int8_tensorwise"}',
            ("int8_blockwise", 384): '{"format": "int8_blockwise", "group_size": 128}',
            ("int8_blockwise", 320): '{"format": "int8_tensorwise"}',
            ("int8_axiswise", 256): '{"format": "int8_axiswise"}',
            ("float8_e4m3fn", 256): '{"format": "float8_e4m3fn"}',
        }
        weights = {cols: gaussian(cols, (256, cols)) for cols in (96, 255, 256, 320, 384)}
        layers = {f"k{cols}": checkpoint_file.encode(weight, "BF16") for cols, weight in weights.items()}
        source = self.write("markers.safetensors", layers, {}, None)
        for (spec, cols), text in exact.items():
            with self.subTest(format=spec, cols=cols):
                _, stored, _ = self.converted(spec, source=source)
                self.assertEqual(stored.tensors[f"k{cols}.comfy_quant"], Tensor("U8", (len(text),), text.encode()))

    def test_flags_that_change_the_file(self):
        _, stored, _ = self.converted("int8_convrot", "--full_precision_matrix_mult")
        self.assert_same_tensors(
            stored.tensors, expected_tensors("int8_convrot", full_precision=True))
        _, stored, _ = self.converted("int8_blockwise", "--full_precision_matrix_mult")
        self.assertEqual(
            stored.tensors["f32.layer_256x384.comfy_quant"].data,
            b'{"format": "int8_blockwise", "group_size": 128, "full_precision_matrix_mult": true}')
        for spec in ("int8_tensorwise", "int8_tensorwise:scale=tensor", "int8_blockwise", "int8_axiswise"):
            with self.subTest(legacy=spec):
                _, stored, _ = self.converted(spec, "--no-comfy_quant")
                self.assert_same_tensors(
                    stored.tensors, expected_tensors(spec, legacy=True))

    def test_input_scale(self):
        _, stored, _ = self.converted("int8_tensorwise", "--input_scale")
        expected = expected_tensors("int8_tensorwise")
        for base in LAYERS:
            expected[base + ".input_scale"] = Tensor("F32", (), np.float32(1).tobytes())
        self.assert_same_tensors(stored.tensors, expected)

    def test_rotated_layers_have_no_legacy_keys(self):
        # Without a marker nothing says that a layer is rotated: it has to be refused, and nothing written.
        error = self.refuse(
            4, "convert", self.source, "-o", self.folder / "out.safetensors", "--model", "none", "--format",
            "int8_convrot", "--no-comfy_quant")
        self.assertIn("rotated", error)
        self.assert_files("source.safetensors")

    def test_quantization_metadata_repeats_the_markers(self):
        _, stored, _ = self.converted("int8_convrot", "--save-quant-metadata")
        described = json.loads(stored.metadata["_quantization_metadata"])
        self.assertEqual(described["format_version"], "1.0")
        markers = {
            name[: -len(".comfy_quant")]: json.loads(tensor.data)
            for name, tensor in stored.tensors.items() if name.endswith(".comfy_quant")
        }
        self.assertEqual(described["layers"], markers)
        _, stored, _ = self.converted("int8_convrot")
        self.assertNotIn("_quantization_metadata", stored.metadata)

    def test_provenance_says_what_decided_the_bytes_and_nothing_else(self):
        document, stored, _ = self.converted("int8_convrot", "--lanes", "2")
        for key, value in METADATA.items():
            self.assertEqual(stored.metadata[key], value)
        made = json.loads(stored.metadata["octavo"])
        self.assertEqual(sorted(made), ["settings", "source", "version"])
        self.assertEqual(made["source"]["bytes"], self.source.stat().st_size)
        self.assertRegex(made["source"]["header_xxh3_128"], r"\A[0-9a-f]{32}\Z")
        self.assertNotIn(str(self.folder), stored.metadata["octavo"])
        for word in ("lanes", "tile", "device", "host", "time", "path"):
            self.assertNotIn(word, stored.metadata["octavo"].replace("fp16_overflow", ""))
        self.assertEqual(document["schema"], "octavo.convert/1")

    def test_the_reference_reader_accepts_the_files(self):
        layers = {base: weight for base, weight in LAYERS.items() if not weight.dtype.endswith("FNUZ")}
        source = self.write("known.safetensors", layers, OTHERS, None)
        for spec in FORMATS:
            with self.subTest(format=spec):
                _, stored, target = self.converted(spec, source=source)
                expected = expected_tensors(spec, layers)
                # One metadata key has one order, so that the package writes these bytes exactly.
                self.assertEqual(sorted(stored.metadata), ["octavo"])
                self.assertEqual(target.read_bytes(), package_bytes(expected, stored.metadata))
                read = dict(safetensors.deserialize(target.read_bytes()))
                self.assertEqual({name: bytes(entry["data"]) for name, entry in read.items()},
                                 {name: tensor.data for name, tensor in expected.items()})

    def plan(self, spec, *arguments):
        done = octavo("plan", self.source, "--format", spec, "--model", "none", "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_plan_foretells_the_file(self):
        for spec in FORMATS:
            with self.subTest(format=spec):
                document, stored, target = self.converted(spec)
                plan = self.plan(spec)
                self.assertEqual(plan["schema"], "octavo.plan/1")
                # FP16 keeps a tensor that does not fit, which only its values tell.
                self.assertEqual(plan["size_exact"], spec != "fp16")
                self.assertEqual(document["bytes_out"], sum(len(tensor.data) for tensor in stored.tensors.values()))
                if plan["size_exact"]:
                    self.assertEqual(plan["bytes_out"], document["bytes_out"])
                decisions = {tensor["name"]: tensor["decision"] for tensor in plan["tensors"]}
                for base in LAYERS:
                    self.assertEqual(decisions[base + ".weight"], "quantize")
                for name in OTHERS:
                    self.assertEqual(decisions[name], "keep")

    def test_sizes_that_the_data_decide_are_not_called_exact(self):
        for spec, arguments, exact in (("int8_convrot", ("--nonfinite", "keep"), False),
                                       ("int8_convrot", ("--nonfinite", "zero"), True),
                                       ("int8_convrot", ("--min-sqnr", "30"), False),
                                       ("int8_convrot", ("--fp16-overflow", "keep"), True),
                                       ("fp16", ("--fp16-overflow", "keep"), False),
                                       ("fp16", ("--fp16-overflow", "clamp"), True)):
            with self.subTest(format=spec, arguments=arguments):
                self.assertIs(self.plan(spec, *arguments)["size_exact"], exact)

    def test_the_name_of_the_output(self):
        for spec, suffix in (("int8_convrot", "int8_convrot"), ("int8_tensorwise:scale=tensor", "int8_tensorwise")):
            done = octavo("convert", self.source, "--format", spec, "--model", "none")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue((self.folder / f"source_{suffix}.safetensors").is_file(), suffix)

    def test_the_original_names_of_the_formats(self):
        for mode, spec in (("tensor", "int8_tensorwise:scale=tensor"), ("row", "int8_tensorwise"),
                           ("block", "int8_blockwise"), ("axis", "int8_axiswise")):
            for spelling in ("--scaling_mode", "--scaling-mode"):
                with self.subTest(mode=mode, spelling=spelling):
                    named = self.folder / "named.safetensors"
                    self.convert(self.source, named, spelling, mode, "--model", "none", "--force")
                    _, _, target = self.converted(spec)
                    self.assertEqual(sha256(named), sha256(target))


def difference(stored, expected):
    dtype = checkpoint_file.PLAIN.get(expected.dtype, np.uint8)
    got, want = np.frombuffer(stored.data, dtype), np.frombuffer(expected.data, dtype)
    where = np.flatnonzero(got != want)
    return f"{where.size} of {want.size} differ, first at {where[:5]}: {got[where[:5]]}, expected {want[where[:5]]}"


class RotationTest(unittest.TestCase):
    """The computation that the files are compared with, against the definition in double precision."""

    def test_the_matrix_is_its_own_inverse(self):
        for group in (16, 64, 256):
            matrix = hadamard(group)
            np.testing.assert_allclose(matrix @ matrix, np.eye(group), atol=1e-14)
            np.testing.assert_array_equal(matrix, matrix.T)
            np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-14)

    def test_the_sign_of_every_entry(self):
        # The product over pairs of base-4 digits: -1 where they add up to 3.
        for row in range(0, 256, 7):
            for col in range(256):
                sign, r, c = 1, row, col
                for _ in range(4):
                    sign = -sign if r % 4 + c % 4 == 3 else sign
                    r, c = r // 4, c // 4
                self.assertEqual(hadamard_256[row, col] * 16, sign)

    def test_stages_multiply_with_the_matrix(self):
        for group, cols in ((256, 1024), (64, 320), (16, 96)):
            weight = gaussian(group, (128, cols))
            exact = rotated_in_double(weight, group)
            np.testing.assert_allclose(rotated(weight, group), exact, rtol=0, atol=4e-7 * np.abs(exact).max())

    def test_codes_are_those_of_double_precision_but_for_ties(self):
        # Tolerances of the W8A8 consumers: codes off by one, and the relative difference of the scales.
        for dtype, codes_off, scales_off in (("BF16", 1e-5, 2e-7), ("F16", 1e-5, 2e-7), ("F32", 3e-5, 2e-6)):
            weight = single_precision(checkpoint_file.encode(dit_like(3, (1024, 3072)), dtype))
            grid = grid_of("int8_convrot", *weight.shape)
            codes, scales = quantized(weight, grid)
            exact = rotated_in_double(weight, grid.group)
            exact_scales = np.abs(exact).max(axis=1, keepdims=True) / 127
            exact_codes = np.clip(np.rint(exact / exact_scales), -127, 127)
            off = np.abs(codes - exact_codes)
            self.assertLessEqual(off.max(), 1)
            self.assertLess(off.mean(), codes_off, dtype)
            self.assertLess(np.abs(scales / exact_scales - 1).max(), scales_off, dtype)


class SmallFloatTest(unittest.TestCase):
    """The computation of E4M3 codes, against the table of all its values."""

    def test_every_value_is_its_own_code(self):
        values = f8_values("F8_E4M3")
        finite = np.isfinite(values)
        np.testing.assert_array_equal(e4m3_codes(values[finite].astype(np.float32)), np.flatnonzero(finite))

    def test_halves_go_to_the_even_code_and_others_to_the_nearer_one(self):
        steps = f8_values("F8_E4M3")[:127].astype(np.float32)
        lower, middle = np.arange(126), (steps[:-1] + steps[1:]) / 2
        np.testing.assert_array_equal(e4m3_codes(middle), lower + lower % 2)
        np.testing.assert_array_equal(e4m3_codes(np.nextafter(middle, np.float32(0))), lower)
        np.testing.assert_array_equal(e4m3_codes(-np.nextafter(middle, np.float32(449))), 128 + lower + 1)
        self.assertEqual(list(e4m3_codes(np.float32([448, 464, 1e30, -1e30]))), [0x7E, 0x7E, 0x7E, 0xFE])


hadamard_256 = hadamard(256)

if __name__ == "__main__":
    unittest.main()
