"""Learned rounding of the output error on layers and inputs like real ones, against NumPy in double precision."""

import unittest

import numpy as np

import checkpoint_file
import program
from learned import OPTIMIZERS, Layer, LearnedTest
from stored_layer import rotated_in_double
from surrogate_layers import Inputs, weight

ROWS, COLS, SAMPLES = 192, 768, 4096
NAME = "blocks.0.fc"


def hessian(samples, damping):
    """X^T X with a mean diagonal of 1, plus damping."""
    moment = samples.T @ samples
    return moment * (moment.shape[0] / np.trace(moment)) + damping * np.eye(moment.shape[0])


def row_errors(errors, moment):
    return ((errors @ moment) * errors).sum(axis=1)


class Output(LearnedTest):
    @classmethod
    def setUpClass(cls):
        cls.weight = weight(3, ROWS, COLS)
        cls.layer = Layer(cls.weight, "int8_convrot")

    def with_inputs(self, samples, optimizer, *arguments, **parameters):
        file = checkpoint_file.write(
            self.folder / "inputs.safetensors", {NAME + ".inputs": checkpoint_file.encode(samples, "F32")})
        return self.learn({NAME: self.weight}, optimizer, f"--calibration-data={file}", f"--calib-rows={len(samples)}",
                          *arguments, **parameters)

    def errors(self, learned, moment):
        return row_errors(self.layer.errors(learned.codes(NAME)), moment)

    def test_gain_from_nearest(self):
        for kind in ("channels", "gelu", "outliers"):
            samples = Inputs(kind, COLS).draw(5, SAMPLES)
            fresh = rotated_in_double(Inputs(kind, COLS).draw(6, 1024), 256)
            moment = hessian(rotated_in_double(samples, 256), 0.01)  # at least four samples a column
            nearest = row_errors(self.layer.errors(self.layer.nearest), moment)
            for optimizer in OPTIMIZERS:
                with self.subTest(kind=kind, optimizer=optimizer):
                    learned = self.with_inputs(samples, optimizer)
                    own = self.errors(learned, moment)
                    self.assertTrue((own <= nearest * (1 + 1e-6)).all())
                    gain = 10 * np.log10(nearest.sum() / own.sum())
                    held_out = 10 * np.log10(
                        np.square(fresh @ self.layer.errors(self.layer.nearest).T).sum()
                        / np.square(fresh @ self.layer.errors(learned.codes(NAME)).T).sum())
                    print(f"{optimizer}, {kind}: {gain:.2f} dB, {held_out:.2f} dB on fresh inputs; {learned.notes[NAME]}")
                    self.assertGreaterEqual(gain, 3.5)
                    self.assertGreater(held_out, 0)
                    self.assertIn("held-out error", learned.notes[NAME])

    def test_from_quips_codes_no_row_rises(self):
        samples = Inputs("channels", COLS).draw(5, SAMPLES)
        moment = hessian(rotated_in_double(samples, 256), 0.01)
        quip = self.errors(self.with_inputs(samples, "quip"), moment)
        for optimizer in OPTIMIZERS:
            own = self.errors(self.with_inputs(samples, optimizer, start="quip"), moment)
            self.assertTrue((own <= quip * (1 + 1e-6)).all(), optimizer)
            self.assertLess(own.sum(), quip.sum())

    def test_inputs_without_structure_are_stored_as_nearest(self):
        samples = Inputs("iid", COLS).draw(5, 1024)
        for optimizer in OPTIMIZERS:
            learned = self.with_inputs(samples, optimizer)
            np.testing.assert_array_equal(learned.codes(NAME), self.layer.nearest)
            self.assertIn("held-out", learned.notes[NAME])

    def test_projected_objective_with_inputs(self):
        samples = Inputs("outliers", COLS).draw(5, SAMPLES)
        moment = hessian(rotated_in_double(samples, 256), 0)
        nearest = row_errors(self.layer.errors(self.layer.nearest), moment).sum()
        learned = self.with_inputs(samples, "adaptive", "--objective=projected")
        self.assertLessEqual(learned.note(NAME)["ratio"], 0.5)
        self.assertLess(self.errors(learned, moment).sum(), nearest)

    def test_same_bytes_for_any_number_of_lanes(self):
        samples = Inputs("channels", COLS).draw(5, SAMPLES)
        hashes = set()
        for lanes in (1, 2, 7):
            self.with_inputs(samples, "radam", f"--lanes={lanes}", num_iter=30)
            hashes.add(program.sha256(self.folder / "out.safetensors"))
        self.assertEqual(len(hashes), 1)


if __name__ == "__main__":
    unittest.main()
