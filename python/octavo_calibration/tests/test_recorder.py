"""A tiny model whose layers' inputs are known, against NumPy."""

import json
import pathlib
import tempfile
import unittest

try:
    import numpy as np
    import torch
    from safetensors import safe_open

    from octavo_calibration import Recorder, Reservoir, calibrate, record
except ImportError as missing:
    raise unittest.SkipTest(str(missing)) from missing


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(16)
        self.to_q, self.to_k = torch.nn.Linear(16, 8), torch.nn.Linear(16, 8, bias=False)
        self.out = torch.nn.Linear(8, 16)
        self.unused = torch.nn.Linear(4, 4)

    def forward(self, x):
        x = self.norm(x)
        return self.out(self.to_q(x) * self.to_k(input=x))


def read(path):
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


class RecorderTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.model = Attention().eval()
        self.batches = [torch.randn(2, length, 16) * 3 + 1 for length in (5, 7, 11)]
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "inputs.safetensors"

    def use(self):
        with torch.no_grad():
            for batch in self.batches:
                self.model(batch)

    def test_what_is_written(self):
        counts = calibrate(self.model, self.use, self.path, prefix="net.", dtype=torch.float32)
        self.assertEqual(counts, {"net.to_q": 46, "net.to_k": 46, "net.out": 46})
        tensors, metadata = read(self.path)
        self.assertEqual(sorted(tensors), sorted(
            f"net.{layer}.{kind}" for layer in ("to_q", "out") for kind in ("inputs", "input_mean", "channel_max")))
        self.assertEqual(json.loads(metadata["octavo.inputs"]), {"net.to_k": "net.to_q"})
        with torch.no_grad():
            rows = torch.cat([self.model.norm(batch).reshape(-1, 16) for batch in self.batches]).numpy()
        np.testing.assert_array_equal(tensors["net.to_q.inputs"].numpy(), rows)
        np.testing.assert_allclose(tensors["net.to_q.input_mean"], rows.astype(np.float64).mean(axis=0), atol=1e-7)
        np.testing.assert_array_equal(tensors["net.to_q.channel_max"], np.abs(rows).max(axis=0))

    def test_statistics_are_of_all_rows_and_the_sample_is_not(self):
        with record(self.model, self.path, rows=10):
            self.use()
        tensors, _ = read(self.path)
        self.assertEqual(tensors["to_q.inputs"].shape, (10, 16))
        self.assertEqual(tensors["to_q.inputs"].dtype, torch.bfloat16)
        with torch.no_grad():
            rows = torch.cat([self.model.norm(batch).reshape(-1, 16) for batch in self.batches])
        np.testing.assert_array_equal(tensors["to_q.channel_max"], rows.abs().amax(dim=0))
        among = (tensors["to_q.inputs"][:, None] == rows.to(torch.bfloat16)[None]).all(dim=2).any(dim=1)
        self.assertTrue(bool(among.all()))

    def test_the_same_calls_give_the_same_sample(self):
        contents = []
        for seed in (0, 0, 1):
            calibrate(self.model, self.use, self.path, rows=10, seed=seed)
            tensors, metadata = read(self.path)
            contents.append(({key: tensor.tolist() for key, tensor in tensors.items()}, metadata))
        self.assertEqual(contents[0], contents[1])
        self.assertNotEqual(contents[0], contents[2])

    def test_every_row_is_as_likely_as_any_other(self):
        counts = np.zeros(40)
        for seed in range(400):
            reservoir = Reservoir(10, seed, "layer", torch.float32)
            for begin in range(0, 40, 8):
                reservoir.add(torch.arange(begin, begin + 8, dtype=torch.float32)[:, None])
            counts[reservoir.sample.flatten().int().numpy()] += 1
        self.assertEqual(counts.sum(), 4000)
        self.assertLess(np.abs(counts - 100).max(), 5 * np.sqrt(100 * 0.75))

    def test_a_tensor_that_was_changed_in_place_is_another_one(self):
        class Two(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

            def forward(self, x):
                y = self.a(x)
                x.mul_(2)
                return y + self.b(x)

        model = Two()
        with torch.no_grad():
            calibrate(model, lambda: model(torch.ones(3, 4)), self.path, dtype=torch.float32)
        tensors, metadata = read(self.path)
        self.assertNotIn("octavo.inputs", metadata)
        self.assertEqual(tensors["b.input_mean"].tolist(), [2, 2, 2, 2])

    def test_a_layer_that_shares_now_and_then(self):
        class Mixed(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

            def forward(self, x, apart):
                return self.a(x) + self.b(x + 1 if apart else x)

        model = Mixed()

        def use():
            with torch.no_grad():
                model(torch.ones(3, 4), False)
                model(torch.ones(3, 4), True)

        with self.assertRaisesRegex(RuntimeError, "share=False"):
            calibrate(model, use, self.path)
        calibrate(model, use, self.path, share=False)
        tensors, metadata = read(self.path)
        self.assertNotIn("octavo.inputs", metadata)
        self.assertEqual(tensors["b.input_mean"].tolist(), [1.5] * 4)

    def test_hooks_are_removed(self):
        with self.assertRaises(KeyError):
            with record(self.model, self.path):
                raise KeyError
        self.assertFalse(self.path.exists())
        self.assertEqual([len(module._forward_pre_hooks) for module in self.model.modules() if module._forward_pre_hooks], [])

    def test_what_is_refused(self):
        with self.assertRaisesRegex(ValueError, "no linear layer to record"):
            Recorder(torch.nn.LayerNorm(4))
        with self.assertRaisesRegex(ValueError, "no linear layer was used"):
            calibrate(self.model, lambda: None, self.path)
        with self.assertRaisesRegex(ValueError, "not finite"):
            calibrate(self.model.out, lambda: self.model.out(torch.full((1, 8), torch.inf)), self.path)
        with self.assertRaisesRegex(ValueError, "at least 1"):
            Reservoir(0, 0, "a")
        with self.assertRaisesRegex(ValueError, "bfloat16 or torch.float32"):
            Recorder(self.model, dtype=torch.float16)


if __name__ == "__main__":
    unittest.main()
