"""--smoothquant-alpha search: the alpha that is best on rows that were kept out, or none."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import decode, encode
from smoothing_case import NORM1, QKV, SmoothingTest, factors, output_error, rounded_inputs
from surrogate_layers import Inputs, weight

ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


class SearchTest(SmoothingTest):
    def prepare(self, kind):
        self.values = weight(3, 192, 256).astype(np.float64)
        checkpoint_file.write(self.source, {QKV + ".weight": encode(self.values, "F32"), NORM1 + ".weight": encode(np.ones(256), "F32")})
        self.values = decode(checkpoint_file.read(self.source).tensors[QKV + ".weight"]).astype(np.float64)
        self.rows = Inputs(kind, 256).draw(11, 512).astype(np.float64)
        self.write_inputs({QKV + ".inputs": self.rows})
        self.rows = self.recorded[QKV + ".inputs"]

    def error(self, s):
        """Of W8A8 on the rows that are kept out: every fourth."""
        held_out = self.rows[3::4]
        smoothed = self.values * s
        scale = np.abs(smoothed).max(axis=1, keepdims=True) / 127
        stored = np.rint(smoothed / scale) * scale
        return output_error(held_out @ self.values.T, rounded_inputs(held_out / s) @ stored.T)

    def best(self):
        """Alpha with the least error, 0 for none, with the maxima of the other rows; and the runner-up's excess."""
        trained = np.delete(self.rows, np.s_[3::4], axis=0)
        errors = {0: self.error(np.ones(256))}
        for alpha in ALPHAS:
            errors[alpha] = self.error(factors(np.abs(trained).max(axis=0), np.abs(self.values).max(axis=0), alpha))
        order = sorted(errors, key=errors.get)
        return order[0], errors[order[1]] / errors[order[0]] - 1

    def searched(self, *arguments):
        document = self.smooth("--format", "int8_tensorwise", "--smoothquant-alpha", "search", *arguments)
        return document, document["smoothing"][0]["alpha"]

    def test_the_best_is_taken(self):
        for kind in ("outliers", "channels", "massive"):
            self.prepare(kind)
            expected, margin = self.best()
            self.assertGreater(margin, 1e-4, "the case decides")
            document, alpha = self.searched()
            self.assertEqual(alpha, expected, kind)
            s = factors(np.abs(self.rows).max(axis=0), np.abs(self.values).max(axis=0), alpha)
            ratio = 1 / decode(self.stored()[NORM1 + ".weight"]).astype(np.float64)
            np.testing.assert_allclose(ratio, s, rtol=1e-6)

    def test_none_where_none_is_better(self):
        self.prepare("iid")
        self.values = np.random.default_rng(7).standard_normal((192, 256))
        self.values[:, :3] *= 30  # moving anything into these columns costs more than it brings
        checkpoint_file.write(self.source, {QKV + ".weight": encode(self.values, "F32"), NORM1 + ".weight": encode(np.ones(256), "F32")})
        self.values = decode(checkpoint_file.read(self.source).tensors[QKV + ".weight"]).astype(np.float64)
        expected, _ = self.best()
        _, alpha = self.searched()
        self.assertEqual(alpha, expected)
        if expected == 0:
            np.testing.assert_array_equal(decode(self.stored()[NORM1 + ".weight"]), np.ones(256))

    def test_maxima_alone_give_nothing_to_judge_by(self):
        self.prepare("outliers")
        self.write_inputs({QKV + ".channel_max": np.abs(self.rows).max(axis=0)})
        document, alpha = self.searched()
        self.assertEqual(alpha, 0.5)
        self.assertTrue(any("no rows" in note for note in document["notes"]))


if __name__ == "__main__":
    unittest.main()
