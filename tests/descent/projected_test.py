"""Learned rounding on the projected objective, against NumPy in double precision."""

import functools
import json
import math
import unittest

import numpy as np

import checkpoint_file
import program
from learned import OPTIMIZERS, Layer, LearnedTest
from stored_layer import quantized
from weight_sets import QUALITY_SETS, dit_like, gaussian, laplace

ERROR_WEIGHT = 0.3  # the default of error_weight


@functools.lru_cache
def quality_layer(name, shape, rank):
    """A weight and what NumPy says of it."""
    weight = QUALITY_SETS[name](11, shape)
    return weight, Layer(weight, "int8_convrot", rank)


def decibels(ratio):
    return 20 * math.log10(ratio)


class Quality(LearnedTest):
    shape = (512, 768)
    rank = 102  # a fifth of 512

    def test_default(self):
        """|P| <= 0.3 x nearest's at <= +0.25 dB, and never above nearest in the objective; as the note says."""
        self.judge({}, QUALITY_SETS, OPTIMIZERS)

    def test_full_svd(self):
        self.judge({"full_matrix": "true"}, ("gaussian", "dit_like"), ("adaptive",))

    def judge(self, parameters, sets, optimizers):
        known = {name: quality_layer(name, self.shape, self.rank) for name in sets}
        weights = {name: weight for name, (weight, _) in known.items()}
        layers = {name: layer for name, (_, layer) in known.items()}
        for optimizer in optimizers:
            learned = self.learn(weights, optimizer, **parameters)
            for name, layer in layers.items():
                with self.subTest(optimizer=optimizer, weights=name):
                    codes, note = learned.codes(name), learned.note(name)
                    np.testing.assert_array_equal(learned.scales(name), layer.scales)
                    self.assertLessEqual(np.abs(codes).max(), 127)
                    ratio = layer.projected(codes) / layer.projected(layer.nearest)
                    worse = decibels(layer.error(codes) / layer.error(layer.nearest))
                    self.assertLessEqual(ratio, 0.3)
                    self.assertLessEqual(worse, 0.25)
                    self.assertLess(layer.objective(codes, ERROR_WEIGHT), layer.objective(layer.nearest, ERROR_WEIGHT))
                    self.assertEqual(note["directions"], self.rank)
                    for key, value in {
                        "projected": layer.projected(codes), "nearest_projected": layer.projected(layer.nearest),
                        "error": layer.error(codes), "nearest_error": layer.error(layer.nearest),
                    }.items():
                        self.assertAlmostEqual(note[key] / value, 1, delta=2e-3, msg=key)

    def test_filtered_subspaces(self):
        """Of layers that are too large for exact subspaces, flat spectra among them: |P| in the exact ones."""
        shape, rank = (768, 1024), 153
        known = {name: quality_layer(name, shape, rank) for name in ("gaussian", "dit_like")}
        for optimizer in OPTIMIZERS:
            learned = self.learn({name: weight for name, (weight, _) in known.items()}, optimizer)
            for name, (_, layer) in known.items():
                with self.subTest(optimizer=optimizer, weights=name):
                    note, codes = learned.note(name), learned.codes(name)
                    self.assertEqual(note["directions"], rank + 10)
                    self.assertLessEqual(layer.projected(codes) / layer.projected(layer.nearest), 0.3)
                    worse = decibels(layer.error(codes) / layer.error(layer.nearest))
                    self.assertAlmostEqual(note["db"], worse, delta=2e-3)
                    self.assertLessEqual(worse, 0.25)

    def test_range_finder_finds_a_spectrum_that_falls(self):
        """Where there is a leading subspace, it is the exact one's P that shrinks."""
        random = np.random.default_rng(5)
        left = np.linalg.qr(random.standard_normal((256, 256)))[0]
        right = np.linalg.qr(random.standard_normal((384, 384)))[0][:256]
        weight = ((left * 0.97 ** np.arange(256)) @ right * 0.1).astype(np.float32)
        layer = Layer(weight, "int8_convrot", 64)
        codes = self.learn({"a": weight}, "adaptive", exact_up_to=0).codes("a")
        self.assertLessEqual(layer.projected(codes) / layer.projected(layer.nearest), 0.35)

    def test_every_accepted_batch_lowers_the_objective(self):
        weights = {"a": gaussian(3, (192, 256)), "b": dit_like(4, (130, 320))}
        for optimizer in OPTIMIZERS:
            learned = self.learn(weights, optimizer, num_iter=60)
            for name in weights:
                iterations = learned.iterations(name)
                self.assertEqual(len(iterations), 60)
                before = 1.0
                for iteration in iterations:
                    objective = float(iteration["objective"])
                    if int(iteration["steps"]) > 0:
                        self.assertLess(objective, before)
                    else:
                        self.assertEqual(objective, before)
                    before = objective
                self.assertAlmostEqual(before, learned.objective_of_note(name, ERROR_WEIGHT), delta=2e-3)

    def test_more_iterations_are_never_worse(self):
        weight = laplace(8, (128, 256))
        layer = Layer(weight, "int8_convrot", 64)
        reached = []
        for iterations in (1, 5, 25, 125):
            codes = self.learn({"a": weight}, "radam", num_iter=iterations).codes("a")
            reached.append(layer.objective(codes, ERROR_WEIGHT) / layer.objective(layer.nearest, ERROR_WEIGHT))
        self.assertEqual(reached, sorted(reached, reverse=True))
        self.assertLess(reached[0], 1)


class Grids(LearnedTest):
    """All granularities, dtypes and shapes: scales stay nearest's, and the objective falls or nothing changes."""

    def check(self, learned, name, spec, rank):
        layer = Layer(learned.weights[name], spec, rank)
        codes = learned.codes(name)
        np.testing.assert_array_equal(learned.scales(name).reshape(layer.scales.shape), layer.scales)
        self.assertLessEqual(np.abs(codes).max(), 127)
        nearest = layer.objective(layer.nearest, ERROR_WEIGHT)
        self.assertLessEqual(layer.objective(codes, ERROR_WEIGHT), nearest * (1 + 1e-6))
        return layer.projected(codes) / max(layer.projected(layer.nearest), 1e-300)

    def test_granularities(self):
        weights = {"a": dit_like(6, (256, 384))}
        for spec in ("int8_tensorwise:scale=tensor", "int8_tensorwise:scale=row", "int8_blockwise", "int8_axiswise",
                     "int8_convrot:group=64"):
            for optimizer in OPTIMIZERS if spec == "int8_blockwise" else ("adaptive",):
                with self.subTest(spec=spec, optimizer=optimizer):
                    learned = self.learn(weights, optimizer, spec=spec)
                    self.assertLess(self.check(learned, "a", spec, 64), 0.5)
                    self.check_report(learned, "a", spec)

    def check_report(self, learned, name, spec):
        layer, reported = Layer(learned.weights[name], spec), learned.reported[name]
        errors = layer.errors(learned.codes(name))
        sqnr = decibels(np.linalg.norm(layer.values) / np.linalg.norm(errors))
        self.assertAlmostEqual(reported["sqnr_db"], sqnr, delta=1e-3)
        self.assertAlmostEqual(reported["max_abs_error_in_basis"] / np.abs(errors).max(), 1, delta=1e-4)

    def test_shapes(self):
        random = np.random.default_rng(9)
        shapes = [(1, 256), (1, 7), (256, 1), (5, 1), (7, 13), (33, 255), (64, 64), (65, 64), (130, 256), (48, 320)]
        weights = {f"l{rows}x{cols}": random.standard_t(4, (rows, cols)) * 0.03 for rows, cols in shapes}
        for optimizer in OPTIMIZERS:
            learned = self.learn(weights, optimizer)
            for (rows, cols), name in zip(shapes, weights):
                with self.subTest(shape=name, optimizer=optimizer):
                    self.check(learned, name, "int8_convrot", min(rows, cols, 64))
            learned = self.learn(weights, optimizer, exact_up_to=0)  # where k >= min(rows, cols) the range finder is exact, too
            for (rows, cols), name in zip(shapes, weights):
                if min(rows, cols) <= 64:
                    with self.subTest(range_finder=name, optimizer=optimizer):
                        self.check(learned, name, "int8_convrot", min(rows, cols))
            # With all directions on both sides P is E in another basis, and nearest is best.
            np.testing.assert_array_equal(
                learned.codes("l64x64"), Layer(learned.weights["l64x64"], "int8_convrot").nearest)

    def test_rank_deficient_and_empty_weights(self):
        random = np.random.default_rng(10)
        low_rank = random.standard_normal((192, 3)) @ random.standard_normal((3, 256)) * 0.02
        zero_rows = random.standard_normal((192, 256)) * 0.02
        zero_rows[3:150] = 0
        weights = {"low_rank": low_rank, "zero_rows": zero_rows, "zero": np.zeros((64, 256)),
                   "one_value": np.eye(128)[3:4].repeat(64, 0)}
        for optimizer in OPTIMIZERS:
            for parameters in ({}, {"full_matrix": "true"}, {"exact_up_to": 0}) if optimizer == "adaptive" else ({},):
                learned = self.learn(weights, optimizer, **parameters)
                np.testing.assert_array_equal(learned.codes("zero"), 0)
                for name in ("low_rank", "zero_rows"):  # what was followed step by step is what is there at the end
                    self.assertAlmostEqual(
                        learned.objectives(name)[-1], learned.objective_of_note(name, ERROR_WEIGHT), delta=2e-3)
                np.testing.assert_array_equal(learned.codes("zero_rows")[3:150], 0)
                # A subspace of three directions is all that a weight of rank 3 has; the others are arbitrary.
                for name in ("low_rank", "zero_rows"):
                    layer = Layer(learned.weights[name], "int8_convrot", 3)
                    errors = layer.error(learned.codes(name)) / layer.error(layer.nearest)
                    self.assertLess(decibels(errors), 1, name)
                self.assertLess(
                    Layer(learned.weights["low_rank"], "int8_convrot", 3).projected(learned.codes("low_rank")),
                    Layer(learned.weights["low_rank"], "int8_convrot", 3).projected(
                        quantized(learned.weights["low_rank"], layer.grid)[0]))

    def test_size_of_the_weights_does_not_matter(self):
        """Powers of two change the scales and not a code, from where squares underflow to where they overflow."""
        weight = gaussian(13, (128, 256))
        weights = {f"p{power}": weight * np.float32(2.0**power) for power in (-80, -40, 0, 40, 100)}
        for optimizer in OPTIMIZERS:
            learned = self.learn(weights, optimizer, "--manual_seed=4", spec="int8_tensorwise")
            expected = learned.codes("p0")
            self.assertGreater((expected != quantized(weight, Layer(weight, "int8_tensorwise").grid)[0]).sum(), 0)
            for name in weights:
                np.testing.assert_array_equal(learned.codes(name), expected, err_msg=name)

    def test_source_dtypes(self):
        weight = np.clip(np.random.default_rng(14).standard_normal((96, 256)), -3, 3)
        for dtype in ("F64", "F32", "BF16", "F16", "F8_E4M3"):
            learned = self.learn({"a": checkpoint_file.encode(weight, dtype)}, "adaptive")
            self.assertLess(self.check(learned, "a", "int8_convrot", 64), 0.6)

    def test_nonfinite_values_are_the_runs_business(self):
        weight = gaussian(15, (64, 256))
        weight[2, 3] = np.nan
        source = checkpoint_file.write(self.folder / "in.safetensors", {"a.weight": checkpoint_file.encode(weight, "F32")})
        target = self.folder / "out.safetensors"
        said = self.refuse(3, "convert", source, "-o", target, "--optimizer=adaptive", "--model=none")
        self.assertIn("a.weight", said)
        for spec in ("int8_convrot", "int8_tensorwise"):
            zeroed = self.learn({"a": weight}, "adaptive", "--nonfinite=zero", spec=spec)
            note = zeroed.note("a")
            weight_of_zeros = np.nan_to_num(weight, nan=0)
            np.testing.assert_array_equal(
                zeroed.codes("a"), self.learn({"a": weight_of_zeros}, "adaptive", spec=spec).codes("a"))
            self.assertLess(note["ratio"], 1)

    def test_a_grid_that_is_not_of_integers_is_refused(self):
        source = checkpoint_file.write(
            self.folder / "in.safetensors", {"a.weight": checkpoint_file.encode(gaussian(16, (64, 256)), "F32")})
        said = self.refuse(4, "convert", source, "-o", self.folder / "out.safetensors", "--optimizer=adaptive",
                           "--model=none", "--format=float8_e4m3fn")
        self.assertIn("learned rounding is for INT8", said)
        self.assert_files("in.safetensors")


class Runs(LearnedTest):
    def test_same_bytes_for_any_number_of_lanes(self):
        weights = {"a": dit_like(17, (320, 256)), "b": gaussian(18, (200, 512)), "c": laplace(19, (64, 1024))}
        for optimizer in OPTIMIZERS:
            hashes = set()
            # On a device, layers that are larger than a tile stream through a small slot.
            for lanes, tile_size in ((1, "4MiB"), (2, "64KiB"), (7, "16KiB"))[:: 1 if optimizer == "adaptive" else 2]:
                self.learn(weights, optimizer, f"--lanes={lanes}", f"--tile-size={tile_size}", num_iter=12,
                           exact_up_to=200)
                hashes.add(program.sha256(self.folder / "out.safetensors"))
            self.assertEqual(len(hashes), 1, optimizer)

    def test_the_seed_moves_the_range_finder_and_nothing_else_does(self):
        weight = gaussian(20, (256, 256))
        codes = [self.learn({"a": weight}, "adaptive", f"--manual_seed={seed}", exact_up_to=0).codes("a")
                 for seed in (1, 1, 2)]
        np.testing.assert_array_equal(codes[0], codes[1])
        self.assertFalse(np.array_equal(codes[0], codes[2]))
        exact = [self.learn({"a": weight}, "adaptive", f"--manual_seed={seed}").codes("a")
                 for seed in (1, 2)]
        np.testing.assert_array_equal(exact[0], exact[1])

    def test_output_objective_without_inputs_is_nearest_and_says_so(self):
        weight = gaussian(21, (64, 256))
        for optimizer in OPTIMIZERS:
            learned = self.learn({"a": weight}, optimizer, objective="output")
            np.testing.assert_array_equal(learned.codes("a"), Layer(weight, "int8_convrot").nearest)
            self.assertIn("without inputs", learned.notes["a"])

    def test_original_is_adaptive_and_a_rate_selects_it(self):
        weight = gaussian(22, (96, 256))
        source = checkpoint_file.write(self.folder / "in.safetensors", {"a.weight": checkpoint_file.encode(weight, "F32")})
        files = []
        for i, options in enumerate((["--optimizer=adaptive"], ["--optimizer=original"], ["--lr=8.077300000003e-3"])):
            target = self.folder / f"{i}.safetensors"
            self.convert(source, target, "--model=none", *options)
            files.append(checkpoint_file.read(target).tensors)
        self.assertEqual(files[0], files[1])
        self.assertEqual(files[0], files[2])

    def test_help_lists_every_parameter(self):
        done = program.octavo("plugins", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        listed = {plugin["id"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
        for optimizer in OPTIMIZERS:
            self.assertIn(optimizer, listed)


if __name__ == "__main__":
    unittest.main()
