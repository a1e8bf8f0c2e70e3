"""gptq and quip on a GPU: as good as on the CPU, the same bytes for any number of lanes, no crash for Hessians that are
singular, zero or too wide, and a word about what a GPU leaves out."""

import json
import unittest

import numpy as np

from checkpoint_file import decode, encode, read, write
from gpu import require_gpu
from program import ConversionTest, environment, octavo, sha256
from stored_layer import rotated_in_double

LAYER = "blocks.0.fc"


def correlated(seed, count, cols):
    """Inputs whose neighbouring channels go together."""
    random = np.random.default_rng(seed)
    samples = random.standard_normal((count, cols)).astype(np.float32)
    for col in range(1, cols):
        samples[:, col] = 0.9 * samples[:, col - 1] + 0.45 * samples[:, col]
    return samples


def weight(seed, rows, cols):
    random = np.random.default_rng(seed)
    return (0.02 * random.standard_t(4, (rows, cols))).astype(np.float32)


class FeedbackOnGpu(ConversionTest):
    def store(self, device, source, inputs, optimizer, format_, *arguments):
        """The layer of the report, codes and scales in f64, and the digest of the file."""
        target = self.folder / f"{device}.safetensors"
        document = self.convert(source, target, "--model", "none", "--force", "--optimizer", optimizer, "--format",
                                format_, "--calibration-data", inputs, *arguments,
                                env=environment(OCTAVO_DEVICE=device))
        tensors = read(target).tensors
        codes, scales = (decode(tensors[f"{LAYER}.{name}"]).astype(np.float64) for name in ("weight", "weight_scale"))
        if scales.ndim == 2 and scales.shape[1] > 1:
            scales = scales.repeat(128, axis=0).repeat(128, axis=1)
        return document["layers"][0], codes, scales, sha256(target)

    def files(self, values, samples):
        return (write(self.folder / "in.safetensors", {f"{LAYER}.weight": encode(values, "BF16")}),
                write(self.folder / "inputs.safetensors", {f"{LAYER}.inputs": encode(samples, "BF16")}))

    def compare(self, rows, cols, count, optimizer, format_, group=0):
        """J in f64 of what the GPU stores over what the CPU stores, and over nearest."""
        source, inputs = self.files(weight(1, rows, cols), correlated(2, count, cols))
        values = decode(read(source).tensors[f"{LAYER}.weight"]).astype(np.float64)
        samples = decode(read(inputs).tensors[f"{LAYER}.inputs"]).astype(np.float64)
        if group:
            values, samples = rotated_in_double(values, group), rotated_in_double(samples, group)
        errors = {}
        for device in ("cuda", "cpu"):
            layer, codes, scales, _ = self.store(device, source, inputs, optimizer, format_)
            self.assertIn("held-out error", layer["note"])
            errors[device] = np.square(samples @ (values - codes * scales).T).sum()
        _, codes, scales, _ = self.store("cpu", source, inputs, "nearest", format_)
        nearest = np.square(samples @ (values - codes * scales).T).sum()
        return errors["cuda"] / errors["cpu"], errors["cuda"] / nearest

    def test_as_good_as_on_the_cpu(self):
        for rows, cols, count, optimizer, format_, group in (
                (300, 768, 2048, "quip", "int8_convrot", 256), (300, 768, 700, "gptq", "int8_tensorwise", 0),
                (77, 344, 1500, "gptq", "int8_tensorwise:scale=tensor", 0), (256, 640, 1500, "gptq", "int8_blockwise", 0),
                (200, 1024, 900, "quip:damping=search", "int8_convrot", 256),
                (256, 512, 900, "gptq:block_size=48", "int8_tensorwise", 0)):
            with self.subTest(optimizer=optimizer, format=format_, cols=cols):
                over_cpu, over_nearest = self.compare(rows, cols, count, optimizer, format_, group)
                print(f"{optimizer}, {format_}, [{rows}, {cols}]: J {10 * np.log10(over_cpu):+.3f} dB beside the CPU's, "
                      f"{10 * np.log10(over_nearest):+.2f} dB beside nearest's")
                self.assertLess(abs(10 * np.log10(over_cpu)), 0.1)
                self.assertLess(over_nearest, 0.6)

    def test_a_layer_so_wide_that_its_factor_is_made_in_panels(self):
        over_cpu, over_nearest = self.compare(96, 5376, 1200, "quip", "int8_convrot", 256)
        print(f"5376 columns: J {10 * np.log10(over_cpu):+.3f} dB beside the CPU's, "
              f"{10 * np.log10(over_nearest):+.2f} dB beside nearest's")
        self.assertLess(abs(10 * np.log10(over_cpu)), 0.1)
        self.assertLess(over_nearest, 0.8)

    def test_any_number_of_lanes_gives_the_same_bytes(self):
        tensors = {f"blocks.{i}.fc.weight": encode(weight(i, 300, 512), "BF16") for i in range(8)}
        samples = {f"blocks.{i}.fc.inputs": encode(correlated(i, 600, 512), "BF16") for i in range(8)}
        source = write(self.folder / "in.safetensors", tensors)
        inputs = write(self.folder / "inputs.safetensors", samples)
        for format_ in ("int8_convrot", "int8_tensorwise:scale=tensor", "int8_blockwise"):
            digests = {self.store("cuda", source, inputs, "quip", format_, "--lanes", lanes, "--tile-size", "64KiB")[3]
                       for lanes in (1, 2, 12)}
            self.assertEqual(len(digests), 1, format_)

    def test_inputs_that_have_no_good_factor(self):
        values = weight(1, 200, 512)
        values[3], values[:, 9], values[5] = 0, 0.25, 1
        zeros = np.zeros((64, 512), np.float32)
        rank_one = np.outer(np.arange(64) % 7 - 3, np.arange(512) % 5 + 1).astype(np.float32)
        dead = correlated(2, 600, 512)
        dead[:, 40:60] = 0
        for name, samples, optimizer in (("zeros", zeros, "quip"), ("one direction", rank_one, "quip"),
                                         ("next to no damping", rank_one, "gptq:damping=0.000000001"),
                                         ("search", rank_one, "quip:damping=search"), ("dead channels", dead, "quip"),
                                         ("few", correlated(3, 20, 512), "quip")):
            with self.subTest(name):
                source, inputs = self.files(values, samples)
                layer, codes, scales, _ = self.store("cuda", source, inputs, optimizer, "int8_tensorwise")
                print(f"{name}: {layer.get('reason') or layer['note']}")
                self.assertTrue(np.isfinite(scales).all())
                self.assertLessEqual(np.abs(codes).max(), 127)
                _, nearest, nearest_scales, _ = self.store("cpu", source, inputs, "nearest", "int8_tensorwise")
                exact = decode(read(source).tensors[f"{LAYER}.weight"]).astype(np.float64)
                wide = samples.astype(np.float64)
                errors = [np.square(wide @ (exact - c * s).T).sum() for c, s in ((codes, scales), (nearest, nearest_scales))]
                self.assertLessEqual(errors[0], errors[1] * 1.001)

    def test_inputs_that_are_not_finite(self):
        samples = correlated(2, 64, 512)
        samples[5, 7] = np.nan
        source, inputs = self.files(weight(1, 200, 512), samples)
        message = self.refuse(3, "convert", source, "-o", self.folder / "out.safetensors", "--model", "none",
                              "--optimizer", "quip", "--calibration-data", inputs, env=environment(OCTAVO_DEVICE="cuda"))
        self.assertIn("row 5, column 7 is not finite", message)

    def test_what_a_gpu_leaves_out_is_said(self):
        source, inputs = self.files(weight(1, 200, 512), correlated(2, 600, 512))
        for optimizer, said in (("gptq:actorder=true", "no order of columns on this device"),
                                ("gptq:passes=1", "no greedy passes on this device")):
            layer = self.store("cuda", source, inputs, optimizer, "int8_tensorwise")[0]
            self.assertIn(said, layer["note"])
            self.assertNotIn(said, self.store("cpu", source, inputs, optimizer, "int8_tensorwise")[0]["note"])

    def test_a_basis_that_couples_rows_goes_to_the_cpu(self):
        source, inputs = self.files(weight(1, 200, 512), correlated(2, 600, 512))
        done = octavo("convert", source, "-o", self.folder / "out.safetensors", "--model", "none", "--optimizer", "quip",
                      "--format", "quip_transformed", "--calibration-data", inputs, "--json",
                      env=environment(OCTAVO_DEVICE="auto"))
        self.assertEqual(done.returncode, 0, done.stderr)
        notes = [note for note in json.loads(done.stdout)["notes"] if note.startswith("cpu does all of it: cuda cannot")]
        self.assertEqual(len(notes), 1, done.stdout)
        message = self.refuse(6, "convert", source, "-o", self.folder / "other.safetensors", "--model", "none",
                              "--format", "quip_transformed", env=environment(OCTAVO_DEVICE="cuda"))
        self.assertIn("cuda cannot store blocks.0.fc as quip_transformed", message)


if __name__ == "__main__":
    require_gpu()
    unittest.main()
