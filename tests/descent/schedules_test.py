"""Learning rates of real runs, followed step by step by an independent computation of convert_to_quant's rules."""

import math
import unittest

from learned import Layer, LearnedTest
from weight_sets import gaussian

IMPROVE = [(0, 1.25), (50, 1.375), (75, 1.5), (100, 1.75), (125, 2.0), (150, 2.25), (200, 2.5), (250, 2.75), (300, 3.0)]
DECAY = [(0, 0.95, 9e-8), (26, 0.97, 8e-8), (51, 0.985, 7e-8), (76, 0.9875, 6e-8), (101, 0.98875, 5e-8),
         (151, 0.99, 4e-8), (201, 0.99125, 3e-8), (251, 0.9925, 2e-8), (301, 0.995, 5e-9)]
DEFAULTS = {
    "lr": 8.077300000003e-3, "lr_schedule": "adaptive", "lr_gamma": 0.99, "lr_patience": 9, "lr_factor": 0.92,
    "lr_min": 1e-10, "lr_cooldown": 6, "lr_threshold": 0.0, "lr_threshold_mode": "rel", "lr_shape_influence": 1.0,
    "lr_adaptive_mode": "simple-reset",
}


def rates(losses, shape, **chosen):
    """The rate of every iteration, from the loss that each reached."""
    of = {**DEFAULTS, **chosen}
    lr, best, worse, plateau, cooldown = of["lr"], 1.0, 0, 0, 0
    aspect = max(shape) / min(shape)
    factor = of["lr_factor"]
    factor += (factor ** math.sqrt(aspect) - factor) * of["lr_shape_influence"]
    used = []
    for loss in losses:
        used.append(lr)
        if of["lr_threshold"] > 0 and of["lr_threshold_mode"] == "rel":
            improved = loss < best * (1 - of["lr_threshold"])
        elif of["lr_threshold"] > 0:
            improved = best - loss > of["lr_threshold"]
        else:
            improved = loss < best
        ended = worse
        if improved:
            best, worse, plateau = loss, 0, 0
        else:
            worse, plateau = worse + 1, plateau + 1
        if of["lr_schedule"] == "exponential":
            lr = max(lr * of["lr_gamma"], of["lr_min"])
        elif of["lr_schedule"] == "plateau":
            if cooldown > 0:
                cooldown -= 1
            elif plateau >= of["lr_patience"]:
                if lr > of["lr_min"]:
                    lr, cooldown = max(lr * factor, of["lr_min"]), of["lr_cooldown"]
                plateau = 0
        elif improved:
            count = ended if of["lr_adaptive_mode"] == "no-reset" else 0
            lr = min(lr * [times for at, times in IMPROVE if at <= count][-1], 100)
        else:
            _, times, floor = [tier for tier in DECAY if tier[0] <= worse][-1]
            lr = max(lr * times, floor, of["lr_min"])
    return used


class Schedules(LearnedTest):
    shape = (80, 256)

    def follow(self, optimizer="adaptive", **parameters):
        """The iterations of a run whose rates are those of the rules."""
        parameters.setdefault("num_iter", 60)
        learned = self.learn({"a": gaussian(31, self.shape)}, optimizer, **parameters)
        iterations, objectives = learned.iterations("a"), learned.objectives("a")
        known = {name: value for name, value in parameters.items() if name in DEFAULTS}
        for iteration, expected in zip(iterations, rates(objectives, self.shape, **known), strict=True):
            self.assertAlmostEqual(float(iteration["rate"]) / expected, 1, delta=1e-5, msg=iteration)
        return iterations

    def test_adaptive(self):
        for optimizer in ("adaptive", "adamw", "radam"):
            self.follow(optimizer)

    def test_adaptive_stalls_and_resets(self):
        # Only every large improvement counts, so that stalls are long.
        stalled = self.follow(num_iter=150, lr_threshold=0.02)
        self.assertLess(float(stalled[-1]["rate"]), 8e-3)
        self.follow(num_iter=150, lr_threshold=0.002, lr_threshold_mode="abs", lr_adaptive_mode="no-reset")

    def test_exponential(self):
        iterations = self.follow(lr_schedule="exponential", lr=0.05, lr_gamma=0.8, lr_min=1e-3)
        self.assertEqual(float(iterations[-1]["rate"]), 1e-3)

    def test_plateau(self):
        plain = self.follow(lr_schedule="plateau", lr_threshold=0.05, lr_patience=3, lr_cooldown=2, lr_factor=0.5)
        unshaped = self.follow(lr_schedule="plateau", lr_threshold=0.05, lr_patience=3, lr_cooldown=2, lr_factor=0.5,
                               lr_shape_influence=0)
        self.assertLess(float(plain[-1]["rate"]), float(unshaped[-1]["rate"]))
        patient = self.follow(lr_schedule="plateau", lr_threshold=0.05, lr_patience=20, lr_cooldown=2, lr_factor=0.5)
        self.assertGreater(float(patient[-1]["rate"]), float(plain[-1]["rate"]))
        self.follow(lr_schedule="plateau", lr_threshold=0.05, lr_patience=3, lr_cooldown=12, lr_factor=0.5, lr_min=1e-3)

    def test_it_stops_early(self):
        stopped = self.follow(num_iter=200, early_stop_loss=0.9)
        self.assertLessEqual(float(stopped[-1]["objective"]), 0.9)
        self.assertGreater(float(stopped[-2]["objective"]), 0.9)
        stopped = self.follow(num_iter=200, lr_schedule="exponential", lr=1e-2, lr_gamma=0.5, early_stop_lr=1e-3)
        self.assertEqual(len(stopped), 4)  # 1e-2 x 0.5^4 is the first rate below
        stopped = self.follow(num_iter=200, lr_threshold=0.5, early_stop_stall=7)
        self.assertEqual(len(stopped), 8)

    def test_flags_of_convert_to_quant_reach_the_parameters(self):
        source = {"a": gaussian(31, self.shape)}
        by_flag = self.learn(source, "adaptive", "--lr_schedule=plateau", "--lr-patience=2", "--lr_factor=0.5",
                             "--lr-cooldown=1", "--lr_threshold=0.1", "--lr-threshold-mode=abs", "--lr_min=1e-4",
                             "--lr-shape-influence=0.5", "--num_iter=30", "-esstall=500", "--lr=0.02")
        expected = rates(by_flag.objectives("a"), self.shape, lr_schedule="plateau", lr_patience=2, lr_factor=0.5,
                         lr_cooldown=1, lr_threshold=0.1, lr_threshold_mode="abs", lr_min=1e-4, lr_shape_influence=0.5,
                         lr=0.02)
        self.assertEqual(len(expected), 30)
        for iteration, rate in zip(by_flag.iterations("a"), expected, strict=True):
            self.assertAlmostEqual(float(iteration["rate"]) / rate, 1, delta=1e-5)


class Subspaces(LearnedTest):
    def directions(self, shape, **parameters):
        return self.learn({"a": gaussian(33, shape)}, "adaptive", num_iter=1, **parameters).note("a")["directions"]

    def test_sizes(self):
        self.assertEqual(self.directions((400, 512)), 80)  # a fifth
        self.assertEqual(self.directions((400, 512), top_p=0.5), 200)
        self.assertEqual(self.directions((400, 512), top_p=0.5, max_k=100), 100)
        self.assertEqual(self.directions((200, 512)), 64)  # at least
        self.assertEqual(self.directions((200, 512), min_k=20), 40)
        self.assertEqual(self.directions((200, 512), full_matrix="true"), 64)
        self.assertEqual(self.directions((200, 512), exact_up_to=199), 74)  # ten of oversampling

    def test_the_filter_sharpens(self):
        """A filter of higher degree finds more of the exact subspace of a flat spectrum."""
        weight = gaussian(34, (256, 512))
        layer = Layer(weight, "int8_convrot", 64)
        reached = [
            layer.projected(self.learn({"a": weight}, "adaptive", exact_up_to=0, filter_degree=degree).codes("a"))
            for degree in (0, 16)]
        self.assertLess(reached[1], 0.8 * reached[0])


class Rules(LearnedTest):
    """Parameters of the rules change what is stored."""

    def test_parameters_of_the_moments(self):
        weight = {"a": gaussian(35, (96, 256))}
        for optimizer in ("adamw", "radam"):
            plain = self.learn(weight, optimizer, num_iter=10).codes("a")
            for name, value in {"beta1": 0.5, "beta2": 0.5, "weight_decay": 20, "epsilon": 1}.items():
                changed = self.learn(weight, optimizer, num_iter=10, **{name: value}).codes("a")
                self.assertTrue((plain != changed).any(), f"{optimizer}.{name}")

    def test_error_weight_trades_one_error_for_the_other(self):
        notes = [self.learn({"a": gaussian(36, (128, 256))}, "adaptive", error_weight=weight).note("a")
                 for weight in (0.05, 0.3, 2)]
        self.assertLess(notes[0]["ratio"], notes[1]["ratio"])
        self.assertLess(notes[1]["ratio"], notes[2]["ratio"])
        self.assertGreater(notes[0]["db"], notes[1]["db"])
        self.assertGreater(notes[1]["db"], notes[2]["db"])


if __name__ == "__main__":
    unittest.main()
