"""Files that octavo writes, opened with comfy-kitchen, the library that ComfyUI computes with; octavo's integers beside
that library's; octavo's W8A8 product beside its int8_linear."""

import json
import os
import subprocess
import unittest

import comfy_kitchen
import numpy as np
import torch
from comfy_kitchen.tensor import TensorWiseINT8Layout
from safetensors.torch import load_file, save_file

import checkpoint_file
from checkpoint_file import Tensor, encode
from loaded_file import LoadedFile, problems_of, relative
from program import ConversionTest, octavo
from stored_layer import hadamard
from weight_sets import dit_like, gaussian, student_t4

LOADABLE = ("int8_convrot", "int8_convrot:group=64", "int8_tensorwise", "int8_tensorwise:scale=tensor")
SHAPES = [(64, 256), (33, 512), (96, 320), (1, 256), (1, 512), (128, 8), (70, 48), (65, 100)]


def model():
    """Every source dtype and shape, with and without bias; zero rows; tensors that no loader computes with."""
    tensors = {}
    for dtype in ("F32", "BF16", "F16"):
        for rows, cols in SHAPES:
            base = f"{dtype}.layer_{rows}x{cols}"
            tensors[base + ".weight"] = encode(student_t4(rows + cols, (rows, cols)), dtype)
            if rows % 2 == 0:
                tensors[base + ".bias"] = encode(gaussian(rows, (rows,)), dtype)
        values = gaussian(4, (96, 512))
        values[[0, 40, 95]] = 0
        tensors[f"{dtype}.zero_rows.weight"] = encode(values, dtype)
        tensors[f"{dtype}.zero.weight"] = encode(np.zeros((64, 256)), dtype)
        tensors[f"{dtype}.zero.bias"] = encode(gaussian(5, (64,)), dtype)
    tensors["embed.weight"] = encode(gaussian(6, (1000, 256)), "BF16")
    tensors["experts.weight"] = encode(gaussian(7, (4, 64, 256)), "BF16")
    tensors["__index_timestep_zero__"] = Tensor("F32", (0,), b"")
    tensors["tokenizer_json"] = Tensor("U8", (1000,), bytes(range(250)) * 4)
    return tensors


class ComfyKitchenTest(ConversionTest):
    def setUp(self):
        super().setUp()
        eager = comfy_kitchen.use_backend("eager")
        eager.__enter__()
        self.addCleanup(eager.__exit__, None, None, None)
        self.source = self.folder / "source.safetensors"
        self.target = self.folder / "out.safetensors"

    def converted(self, spec, tensors=None, metadata=None):
        checkpoint_file.write(self.source, tensors or model(), metadata)
        self.convert(self.source, self.target, "--format", spec, "--model", "none", "--force")
        return LoadedFile(self.target)


class LoadTest(ComfyKitchenTest):
    def test_files_load_and_compute(self):
        for spec in LOADABLE:
            with self.subTest(format=spec):
                file = self.converted(spec)
                self.assertEqual(problems_of(self.target, self.source), [])
                self.assertEqual(len(file.layers()), 3 * (len(SHAPES) + 2) + 1)

    def test_what_is_no_layer_is_what_it_was(self):
        file, source = self.converted("int8_convrot"), LoadedFile(self.source)
        for name in ("experts.weight", "__index_timestep_zero__", "tokenizer_json", "F32.layer_64x256.bias"):
            self.assertEqual(file.tensors[name].dtype, source.tensors[name].dtype)
            self.assertTrue(torch.equal(file.tensors[name], source.tensors[name]), name)

    def test_an_embedding_is_looked_up(self):
        indices = torch.tensor([[0, 999], [17, 17]])
        for spec in LOADABLE:
            file = self.converted(spec)
            quantized = file.quantized("embed")
            rows = TensorWiseINT8Layout.dequantize_embedding(quantized._qdata, quantized._params, indices)
            torch.testing.assert_close(rows, quantized.dequantize()[indices], rtol=0, atol=1e-7)
            error = relative(rows, load_file(self.source)["embed.weight"].float()[indices])
            self.assertLess(error, 0.03, spec)

    def test_metadata(self):
        metadata = {"modelspec.title": "tëst", "config": json.dumps({"a": [1, "\n"]})}
        file = self.converted("int8_convrot", metadata=metadata)
        self.assertEqual({key: file.metadata[key] for key in metadata}, metadata)

    def test_a_header_above_a_megabyte(self):
        tensors = {f"blocks.{i}.with_a_name_of_usual_length.bias": encode(np.full(2, i), "F32") for i in range(12000)}
        tensors["a.weight"] = encode(gaussian(1, (64, 256)), "BF16")
        file = self.converted("int8_convrot", tensors)
        self.assertGreater(len(checkpoint_file.read(self.target).header), 1 << 20)
        self.assertEqual(problems_of(self.target, self.source), [])
        self.assertEqual(len(file.tensors), 12003)

    def test_faults_are_found(self):
        """The checks above can fail: each of these files trips a loader, and octavo's own verify says so too."""
        layer = "BF16.layer_64x256"

        def vector_scale(tensors):
            tensors[layer + ".weight_scale"] = tensors[layer + ".weight_scale"].reshape(-1).contiguous()

        def dropped_rotation(tensors):
            text = b'{"format": "int8_tensorwise"}'
            tensors[layer + ".comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)

        def no_marker(tensors):
            del tensors[layer + ".comfy_quant"]

        def padded_marker(tensors):
            marker = tensors[layer + ".comfy_quant"]
            tensors[layer + ".comfy_quant"] = torch.cat([marker, torch.zeros(56, dtype=torch.uint8)])

        def no_scale(tensors):
            del tensors[layer + ".weight_scale"]

        self.converted("int8_convrot")
        good = load_file(self.target)
        bad = self.folder / "bad.safetensors"
        for fault, verifiable in ((vector_scale, True), (dropped_rotation, False), (no_marker, True),
                                  (padded_marker, True), (no_scale, True)):
            with self.subTest(fault=fault.__name__):
                tensors = dict(good)
                fault(tensors)
                save_file(tensors, bad)
                problems = problems_of(bad, self.source)
                self.assertTrue(problems)
                self.assertTrue(all(problem.startswith(layer) for problem in problems), problems)
                # A file alone does not show that its weights were rotated: only the source does.
                if verifiable:
                    self.assertEqual(octavo("verify", bad).returncode, 7)
                compared = json.loads(octavo("compare", self.source, bad, "--json").stdout)
                found = {entry["name"]: entry for entry in compared["layers"]}
                if fault is dropped_rotation:
                    self.assertLess(found[layer]["sqnr_db"], 0)

    def test_formats_without_a_loader_are_refused(self):
        # The documents say that ComfyUI does not load these; here is the proof.
        for spec in ("int8_blockwise", "int8_axiswise"):
            self.converted(spec, {"a.weight": encode(gaussian(1, (128, 256)), "BF16")})
            (problem,) = problems_of(self.target, self.source)
            self.assertIn("KeyError", problem)


class IntegersTest(ComfyKitchenTest):
    SHAPE = (2048, 2048)

    def compare(self, spec, dtype, **quantize):
        weight = encode(dit_like(8, self.SHAPE), dtype)
        file = self.converted(spec, {"a.weight": weight})
        original = LoadedFile(self.source).tensors["a.weight"].float()
        codes, parameters = TensorWiseINT8Layout.quantize(original, **quantize)
        off = (codes.int() - file.tensors["a.weight"].int()).abs()
        scale = file.tensors["a.weight_scale"]
        self.assertEqual(scale.shape, parameters.scale.shape)
        return off, (scale.double() / parameters.scale.double() - 1).abs().max().item()

    def test_plain_layers_are_bit_equal(self):
        for dtype in ("F32", "BF16", "F16"):
            for spec, per_channel in (("int8_tensorwise", True), ("int8_tensorwise:scale=tensor", False)):
                with self.subTest(format=spec, dtype=dtype):
                    off, scales = self.compare(spec, dtype, per_channel=per_channel)
                    self.assertEqual((int(off.max()), scales), (0, 0))

    def test_rotated_layers_are_within_the_rounding_of_a_matrix_product(self):
        # There the rotation is a matrix product, whose order of summation belongs to the library.
        for dtype, codes_off, scales_off in (("BF16", 1e-6, 2e-7), ("F16", 1e-6, 2e-7), ("F32", 3e-5, 2e-6)):
            for spec, group in (("int8_convrot", 256), ("int8_convrot:group=64", 64), ("int8_convrot:group=16", 16)):
                with self.subTest(format=spec, dtype=dtype):
                    off, scales = self.compare(spec, dtype, per_channel=True, convrot=True, convrot_groupsize=group)
                    self.assertLessEqual(int(off.max()), 1)
                    self.assertLessEqual(off.double().mean().item(), codes_off)
                    self.assertLessEqual(scales, scales_off)


class ProductTest(ComfyKitchenTest):
    """octavo's matmul_int8 and int8_linear on the same operands."""

    def setUp(self):
        super().setUp()
        self.generator = torch.Generator().manual_seed(3)
        self.cases = {}

    def add(self, name, x, codes, scales, group=0, bias=None):
        self.cases[name] = (x, codes, scales, group, bias)

    def results(self):
        """name -> (octavo's output, int8_linear's output)."""
        tensors, metadata = {}, {}
        for name, (x, codes, scales, group, bias) in self.cases.items():
            tensors.update({f"{name}.x": x, f"{name}.codes": codes, f"{name}.scales": scales.reshape(-1, 1)})
            if bias is not None:
                tensors[f"{name}.bias"] = bias
            metadata[name] = str(group)
        operands, products = self.folder / "operands.safetensors", self.folder / "products.safetensors"
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, operands, metadata)
        done = subprocess.run(
            [os.environ["OCTAVO_MATMUL_INT8_DUMP"], "cpu", operands, products], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        ours = load_file(products)
        products.unlink()
        for name, (x, codes, scales, group, bias) in self.cases.items():
            theirs = comfy_kitchen.int8_linear(
                x, codes, scales, bias, out_dtype=x.dtype, convrot=group > 0, convrot_groupsize=group or 256)
            yield name, ours[name + ".y"], theirs

    def operands(self, tokens, cols, rows, dtype, size=1.0):
        x = (torch.randn(tokens, cols, generator=self.generator) * size).to(dtype)
        codes = torch.randint(-127, 128, (rows, cols), generator=self.generator, dtype=torch.int8)
        scales = torch.rand(rows, 1, generator=self.generator) * 1e-3 + 1e-5
        bias = torch.randn(rows, generator=self.generator).to(dtype)
        return x, codes, scales, bias

    def test_without_rotation_every_bit_is_equal(self):
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            kind = str(dtype).split(".")[1]
            for tokens, cols, rows in ((64, 512, 128), (17, 2048, 96), (1, 256, 1), (5, 100, 33), (3, 8, 64)):
                x, codes, scales, bias = self.operands(tokens, cols, rows, dtype)
                name = f"{kind}_{tokens}x{cols}x{rows}"
                self.add(name, x, codes, scales, bias=bias)
                self.add(name + "_no_bias", x, codes, scales)
                self.add(name + "_scalar", x, codes, scales[:1].reshape(()), bias=bias)
            x, codes, scales, bias = self.operands(16, 256, 64, dtype)
            x[3] = 0
            self.add(f"{kind}_zero_token", x, codes, scales, bias=bias)
            # Token scales that are subnormal in half precision.
            x, codes, scales, bias = self.operands(64, 256, 64, dtype, size=1e-4)
            self.add(f"{kind}_small", x, codes, scales, bias=bias)
        for name, ours, theirs in self.results():
            with self.subTest(case=name):
                self.assertEqual(ours.dtype, theirs.dtype)
                differing = int((ours != theirs).sum())
                self.assertEqual(differing, 0, f"{differing} of {ours.numel()}, {relative(ours, theirs):.2e}")

    def test_with_rotation_but_for_ties(self):
        # A rotated value may round to its neighbour, and a code of a token with it.
        for dtype, bound in ((torch.float32, 1e-3), (torch.bfloat16, 5e-3), (torch.float16, 2e-3)):
            kind = str(dtype).split(".")[1]
            shapes = ((64, 512, 128, 256), (17, 320, 96, 64), (1, 256, 1, 256), (33, 96, 40, 16))
            for tokens, cols, rows, group in shapes:
                x, codes, scales, bias = self.operands(tokens, cols, rows, dtype)
                self.add(f"{kind}_{tokens}x{cols}x{rows}", x, codes, scales, group, bias)
            for name, ours, theirs in self.results():
                with self.subTest(case=name):
                    self.assertLess(relative(ours, theirs), bound)
            self.cases.clear()

    def test_a_stored_layer_gives_the_predicted_error(self):
        weights = {f"{name}.weight": encode(draw(21, (256, 1024)), "BF16")
                   for name, draw in (("gaussian", gaussian), ("dit_like", dit_like))}
        file = self.converted("int8_convrot", weights)
        source = LoadedFile(self.source)
        for name in ("gaussian", "dit_like"):
            codes, scales = file.tensors[name + ".weight"], file.tensors[name + ".weight_scale"]
            x = torch.randn(512, 1024, generator=self.generator)
            self.add(name, x, codes, scales, 256)
        for name, ours, theirs in self.results():
            x, weight = self.cases[name][0], source.tensors[name + ".weight"].float()
            exact = x.double() @ weight.double().T
            # Weights and tokens are each off by half a step: e^2 = K sum(scale^2) / 12.
            rotated = (x.double().reshape(512, 4, 256) @ torch.from_numpy(hadamard(256))).reshape(512, 1024)
            token_scales = rotated.abs().amax(dim=1) / 127
            e_x = ((token_scales**2).sum() * 1024 / 12).sqrt().item() / x.double().norm().item()
            scales = file.tensors[name + ".weight_scale"].double()
            e_w = ((scales**2).sum() * 1024 / 12).sqrt().item() / weight.double().norm().item()
            predicted = (e_x**2 + e_w**2) ** 0.5
            for label, output in (("octavo", ours), ("comfy-kitchen", theirs)):
                with self.subTest(set=name, by=label):
                    self.assertLess(abs(relative(output, exact) / predicted - 1), 0.1)


if __name__ == "__main__":
    unittest.main()
