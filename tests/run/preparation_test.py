"""What reaches an optimizer, how often it is asked, what the host does with its answers; the same bytes whatever the lanes."""

import unittest

import numpy as np

import checkpoint_file
from program import octavo, sha256
from run_case import PLUGINS, RunTest, errors_in_basis, inputs, metrics, stored, weight
from stored_layer import quantized

SPECS = ["int8_convrot", "int8_tensorwise", "int8_tensorwise:scale=tensor", "int8_blockwise"]


class PreparationTest(RunTest):
    def setUp(self):
        super().setUp()
        self.shapes = {"a.q": (256, 128), "a.k": (128, 128), "b.up": (384, 128), "c": (128, 256), "d": (256, 256)}
        self.source, self.weights = self.model(
            {name: weight(seed, *shape) for seed, (name, shape) in enumerate(self.shapes.items())})
        self.inputs, values = self.calibration(
            {"a.q.inputs": inputs(1, 300, 128), "b.up.inputs": inputs(2, 200, 128), "d.inputs": inputs(3, 400, 256)},
            {"a.k": "a.q", "c": "d"}, dtype="BF16")
        owner = {"a.q": "a.q", "a.k": "a.q", "b.up": "b.up", "c": "d", "d": "d"}
        self.samples = {name: values[owner[name] + ".inputs"] for name in self.shapes}
        self.target = self.folder / "out.safetensors"

    def compare(self, spec):
        """name -> (codes, nearest's codes, rows' metrics, nearest's)."""
        found = {}
        for name, shape in self.shapes.items():
            codes, scales, grid = stored(self.target, name, spec, shape)
            nearest, nearest_scales = quantized(self.weights[name], grid)
            own = metrics(errors_in_basis(codes, scales, self.weights[name], grid), self.samples[name], grid)
            other = metrics(errors_in_basis(nearest, nearest_scales, self.weights[name], grid), self.samples[name], grid)
            found[name] = codes, nearest, own, other
        return found

    def test_inputs_reach_the_optimizer_and_it_gains(self):
        for spec in SPECS:
            document, counts = self.run_greedy(self.source, self.target, "--calibration-data", self.inputs, "--format", spec)
            self.assertEqual(counts["shared"][0], 3, "one state for each group of layers that share inputs")
            self.assertEqual(counts["prepared"][0], 5)
            self.assertEqual((counts["shared"][2], counts["prepared"][2]), (0, 0), "all were released")
            for name, (_, _, own, other) in self.compare(spec).items():
                self.assertLess(own.sum(), 0.8 * other.sum(), (spec, name))
                self.assertTrue((own <= other * (1 + 1e-9)).all(), (spec, name))
                rows, mean = self.layers(document)[name]["note"].split("; ")[-1].split(" rows, mean ")
                self.assertEqual(int(rows), len(self.samples[name]))
                self.assertAlmostEqual(float(mean), self.samples[name][:, 0].mean(), places=5)

    def test_without_inputs_it_is_asked_without(self):
        document, counts = self.run_greedy(self.source, self.target)
        self.assertEqual(counts["shared"][0], 0)
        for name, layer in self.layers(document).items():
            self.assertEqual(layer["rows_sent_back"], self.shapes[name][0], "with H = I nothing beats nearest")

    def test_rows_that_are_worse_go_back(self):
        for spec in SPECS:
            document, _ = self.run_greedy(
                self.source, self.target, "--calibration-data", self.inputs, "--format", spec, parameters="spoil=3")
            for name, (codes, nearest, own, other) in self.compare(spec).items():
                spoiled = np.arange(len(codes)) % 3 == 0
                np.testing.assert_array_equal(codes[spoiled], nearest[spoiled], (spec, name))
                self.assertTrue((codes[~spoiled] != nearest[~spoiled]).any(axis=1).all(), (spec, name))
                layer = self.layers(document)[name]
                self.assertEqual(layer["rows_sent_back"], spoiled.sum())
                errors = errors_in_basis(codes, *stored(self.target, name, spec, codes.shape)[1:2], self.weights[name],
                                         stored(self.target, name, spec, codes.shape)[2])
                sqnr = 10 * np.log10((self.weights[name] ** 2).sum() / (errors**2).sum())
                self.assertAlmostEqual(layer["sqnr_db"], sqnr, delta=1e-3, msg=f"{spec} {name}")

    def test_a_metric_that_is_no_number_loses(self):
        plain = self.folder / "plain.safetensors"
        self.convert(self.source, plain, "--model", "none", "--calibration-data", self.inputs, "--no-bias-correction")
        document, _ = self.run_greedy(self.source, self.target, "--calibration-data", self.inputs, parameters="metric=nan")
        for name in self.shapes:
            self.assertEqual(
                checkpoint_file.read(plain).tensors[name + ".weight"], checkpoint_file.read(self.target).tensors[name + ".weight"])
            self.assertEqual(self.layers(document)[name]["rows_sent_back"], self.shapes[name][0])

    def test_without_a_metric_nothing_is_judged(self):
        document, _ = self.run_greedy(
            self.source, self.target, "--calibration-data", self.inputs, parameters="metric=none,spoil=1")
        self.assertNotIn("rows_sent_back", self.layers(document)["a.q"])
        self.assertTrue((self.compare("int8_convrot")["a.q"][2] > self.compare("int8_convrot")["a.q"][3]).all())

    def test_a_layer_left_to_nearest_is_named_with_the_reason(self):
        document, _ = self.run_greedy(self.source, self.target, "--calibration-data", self.inputs, parameters="nearest=a.")
        for name, (codes, nearest, _, _) in self.compare("int8_convrot").items():
            layer = self.layers(document)[name]
            self.assertEqual(layer.get("stored_as_nearest", False), name.startswith("a."))
            if name.startswith("a."):
                self.assertEqual(layer["reason"], "its name holds a.")
                np.testing.assert_array_equal(codes, nearest)
        done = octavo("convert", self.source, "-o", self.target, "-f", "--model", "none", "--plugin-path", PLUGINS, "--optimizer",
                      "greedy:nearest=a.", "--calibration-data", self.inputs)
        self.assertIn("2 of 5 layers stored as nearest (a.", done.stdout)

    def test_lanes_do_not_change_the_bytes(self):
        for parameters in ("", "comes=whole", "spoil=5", "lease=100000,wait=3"):
            sums = set()
            for lanes in (1, 2, 7):
                for more in ((), ("--max-ram", "64K")):
                    self.run_greedy(self.source, self.target, "--calibration-data", self.inputs, "--lanes", lanes, "--format",
                                    "int8_tensorwise:scale=tensor", *more, "--tile-size", "16K", parameters=parameters)
                    sums.add(sha256(self.target))
            self.assertEqual(len(sums), 1, parameters)

    def test_layers_are_prepared_side_by_side_and_not_all_at_once(self):
        layers = {f"l{i:02}": weight(i, 64, 64) for i in range(24)}
        source, _ = self.model(layers, name="many.safetensors")
        _, counts = self.run_greedy(source, self.target, "--lanes", 4, parameters="wait=20")
        self.assertEqual(counts["prepared"][0], 24)
        self.assertGreaterEqual(counts["preparing"][1], 3)
        self.assertLessEqual(counts["prepared"][1], 5)
        _, counts = self.run_greedy(source, self.target, "--lanes", 1, parameters="wait=1")
        self.assertEqual(counts["prepared"][1], 1)
        _, counts = self.run_greedy(source, self.target, "--lanes", 4, "--max-ram", "1000000", parameters="wait=5,lease=900000")
        self.assertEqual(counts["prepared"][1], 1, "one lease fits at a time")

    def test_smaller_tiles_where_memory_runs_out(self):
        whole = self.folder / "whole.safetensors"
        self.run_greedy(self.source, whole, "--calibration-data", self.inputs)
        document, _ = self.run_greedy(self.source, self.target, "--calibration-data", self.inputs, parameters="most_rows=64")
        for name, shape in self.shapes.items():
            one, other = (checkpoint_file.read(path).tensors[name + ".weight"] for path in (whole, self.target))
            self.assertEqual(one, other)
            self.assertIn("smaller tiles", self.layers(document)[name]["note"])
        done = octavo("convert", self.source, "-o", self.target, "-f", "--model", "none", "--plugin-path", PLUGINS, "--optimizer",
                      "greedy:most_rows=4")
        self.assertEqual(done.returncode, 6, done.stderr)


if __name__ == "__main__":
    unittest.main()
