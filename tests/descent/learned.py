"""Conversions with learned rounding, and what NumPy says about them in double precision."""

import re

import numpy as np

import checkpoint_file
import program
from stored_layer import grid_of, in_basis, quantized, rotated_in_double, spread

OPTIMIZERS = ("adaptive", "adamw", "radam")
ITERATION = re.compile(
    r"^(?P<layer>\S+): iteration (?P<number>\d+): objective (?P<objective>\S+), accepted steps (?P<steps>\d+), "
    r"learning rate (?P<rate>\S+)$", re.MULTILINE,
)
NOTE = re.compile(
    r"\|P\| (?P<projected>\S+) \(nearest (?P<nearest_projected>\S+), x(?P<ratio>\S+)\), "
    r"\|E\| (?P<error>\S+) \(nearest (?P<nearest_error>\S+), (?P<db>\S+) dB\), (?P<directions>\d+) directions"
)


class Learned:
    """The layers of one conversion: codes and scales as stored, what the report says, and the log of iterations."""

    def __init__(self, weights, path, document, log):
        self.weights = weights
        self.stored = checkpoint_file.read(path).tensors
        self.reported = {layer["name"]: layer for layer in document["layers"]}
        self.notes = {name: layer.get("note") or layer.get("reason", "") for name, layer in self.reported.items()}
        self.log = log

    def codes(self, name):
        return checkpoint_file.decode(self.stored[name + ".weight"]).astype(np.int32)

    def scales(self, name):
        return checkpoint_file.decode(self.stored[name + ".weight_scale"])

    def note(self, name):
        found = NOTE.search(self.notes[name])
        assert found, self.notes[name]
        return {key: float(value) for key, value in found.groupdict().items()}

    def iterations(self, name):
        return [found.groupdict() for found in ITERATION.finditer(self.log) if found["layer"] == name]

    def objective_of_note(self, name, error_weight):
        """The objective as a share of nearest's, from the norms in the note."""
        note = self.note(name)
        reached = note["projected"] ** 2 + error_weight * note["error"] ** 2
        return reached / (note["nearest_projected"] ** 2 + error_weight * note["nearest_error"] ** 2)

    def objectives(self, name):
        return [float(iteration["objective"]) for iteration in self.iterations(name)]


class LearnedTest(program.ConversionTest):
    def learn(self, weights, optimizer, *arguments, spec="int8_convrot", env=None, **parameters):
        """weights: name -> array, or Tensor of any dtype."""
        tensors = {
            name + ".weight": weight if isinstance(weight, checkpoint_file.Tensor)
            else checkpoint_file.encode(weight, "F32")
            for name, weight in weights.items()
        }
        source = checkpoint_file.write(self.folder / "in.safetensors", tensors)
        target = self.folder / "out.safetensors"
        chosen = [f"--set={optimizer}.{name}={value}" for name, value in parameters.items()]
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        document = self.convert(
            source, target, "--force", "--model=none", f"--format={spec}", f"--optimizer={optimizer}", "-vv",
            f"--log-file={log}", *chosen, *arguments, env=env,
        )
        plain = {name: checkpoint_file.decode(tensors[name + ".weight"]).astype(np.float32) for name in weights}
        text = "\n".join(without_prefix(line) for line in log.read_text().splitlines())
        return Learned(plain, target, document, text)


def without_prefix(line):
    """A line of the log without its time and level."""
    return line.split(" ", 2)[-1]


class Layer:
    """A weight in the basis of a grid, in double precision, and its exact singular subspaces."""

    def __init__(self, weight, spec, rank=None):
        self.grid = grid_of(spec, *weight.shape)
        group = self.grid.group
        self.values = rotated_in_double(weight, group) if group else weight.astype(np.float64)
        self.nearest, self.scales = quantized(weight, self.grid)
        if rank:
            left, _, right = np.linalg.svd(self.values, full_matrices=False)
            self.left, self.right = left[:, :rank], right[:rank].T

    def errors(self, codes):
        return codes * spread(self.scales, self.grid).astype(np.float64) - self.values

    def projected(self, codes):
        """|P|"""
        return np.linalg.norm(self.left.T @ self.errors(codes) @ self.right)

    def error(self, codes):
        """|E|"""
        return np.linalg.norm(self.errors(codes))

    def objective(self, codes, error_weight):
        return self.projected(codes) ** 2 + error_weight * self.error(codes) ** 2
