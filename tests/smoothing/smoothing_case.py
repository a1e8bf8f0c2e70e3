"""Blocks of two architectures whose filters name places to fold into, and what folding has to make of them."""

import json

import numpy as np

import checkpoint_file
from checkpoint_file import Tensor, decode, encode
from program import ConversionTest, octavo
from stored_layer import quantized, grid_of

COLS = 256
QKV = "layers.0.attention.qkv"
OUT = "layers.0.attention.out"
GATE, UP, DOWN = (f"layers.0.feed_forward.{name}" for name in ("w1", "w3", "w2"))
NORM1, NORM2 = "layers.0.attention_norm1", "layers.0.ffn_norm1"


def factors(input_max, weight_max, alpha=0.5):
    """Equation 4 of the paper, in float64."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.maximum(input_max.astype(np.float64) ** alpha / weight_max.astype(np.float64) ** (1 - alpha), 1e-5)
    values[~np.isfinite(values)] = 1
    values[input_max == 0] = 1
    return values


def normalised(values):
    return values / np.sqrt(np.square(values).mean(axis=1, keepdims=True))


def silu(values):
    return values / (1 + np.exp(-values))


class Block:
    """The tensors of a block as Z-Image names them, in float64, and its two halves as functions."""

    def __init__(self, tensors):
        self.values = {key: decode(tensor).astype(np.float64) for key, tensor in tensors.items() if key.endswith((".weight", ".bias"))}

    def __getitem__(self, layer):
        return self.values[layer + ".weight"]

    def attention_inputs(self, x):
        return normalised(x) * self[NORM1]

    def feed_forward_inputs(self, x):
        return normalised(x) * self[NORM2]

    def hidden(self, x):
        inputs = self.feed_forward_inputs(x)
        return silu(inputs @ self[GATE].T) * (inputs @ self[UP].T)

    def queries(self, x):
        return self.attention_inputs(x) @ self[QKV].T

    def feed_forward(self, x):
        return self.hidden(x) @ self[DOWN].T


class SmoothingTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "model.safetensors"
        self.target = self.folder / "out.safetensors"
        self.inputs = self.folder / "inputs.safetensors"

    def write_block(self, dtype="F32", biases=None):
        random = np.random.default_rng(1)
        shapes = {QKV: (96, COLS), OUT: (64, COLS), GATE: (128, COLS), UP: (128, COLS), DOWN: (64, 128)}
        tensors = {f"{layer}.weight": encode(random.standard_normal(shape).astype(np.float32) * 0.05, dtype) for layer, shape in shapes.items()}
        for norm in (NORM1, NORM2):
            gain = np.exp(0.3 * random.standard_normal(COLS)).astype(np.float32)
            gain[random.choice(COLS, 6, replace=False)] *= 20  # these make the outliers
            tensors[norm + ".weight"] = encode(gain, dtype)
        for layer, bias in (biases or {}).items():
            tensors[layer + ".bias"] = encode(bias, dtype)
        checkpoint_file.write(self.source, tensors)
        self.block = Block(tensors)
        self.x = random.standard_normal((400, COLS))
        recorded = {QKV: self.block.attention_inputs(self.x), GATE: self.block.feed_forward_inputs(self.x), DOWN: self.block.hidden(self.x)}
        self.write_inputs({f"{layer}.inputs": rows for layer, rows in recorded.items()}, {UP: GATE})
        return tensors

    def write_inputs(self, entries, shared=None, dtype="F32"):
        """Also self.recorded: name of an entry -> float64 values as stored."""
        tensors = {key: encode(np.asarray(value, np.float32), dtype if key.endswith(".inputs") else "F32") for key, value in entries.items()}
        checkpoint_file.write(self.inputs, tensors, {"octavo.inputs": json.dumps(shared)} if shared else None)
        self.recorded = {key: decode(tensor).astype(np.float64) for key, tensor in tensors.items()}

    def smooth(self, *arguments, model="zimage"):
        return self.convert(self.source, self.target, "--force", "--model", model, "--calibration-data", self.inputs, "--smoothquant", *arguments)

    def plan(self, *arguments, model="zimage"):
        done = octavo("plan", self.source, "--json", "--model", model, "--calibration-data", self.inputs, "--smoothquant", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def stored(self):
        return checkpoint_file.read(self.target).tensors

    def gain_ratio(self, norm):
        """The factors that the file really has: what the norm was divided by."""
        return self.block[norm] / decode(self.stored()[norm + ".weight"]).astype(np.float64)

    def dequantized(self, layer):
        tensors = self.stored()
        codes = np.frombuffer(tensors[layer + ".weight"].data, np.int8).reshape(tensors[layer + ".weight"].shape)
        return codes.astype(np.float64) * decode(tensors[layer + ".weight_scale"]).astype(np.float64)

    def assert_rounded(self, layer, values):
        """The layer holds nearest of these values, but for codes at a tie of what f32 makes of them."""
        codes, scales = quantized(values.astype(np.float32), grid_of("int8_tensorwise", *values.shape))
        tensors = self.stored()
        written = np.frombuffer(tensors[layer + ".weight"].data, np.int8).reshape(values.shape)
        difference = np.abs(written.astype(int) - codes)
        self.assertLessEqual(difference.max(), 1)
        self.assertLessEqual((difference != 0).mean(), 1e-3)
        np.testing.assert_allclose(decode(tensors[layer + ".weight_scale"]), scales, rtol=1e-5)


def output_error(expected, made):
    return float(np.linalg.norm(expected - made) / np.linalg.norm(expected))


def rounded_inputs(x):
    """As W8A8 rounds them: eight bits and a scale for each row."""
    scale = np.abs(x).max(axis=1, keepdims=True) / 127
    return np.rint(x / scale) * scale
