"""A checkpoint of few layers and what `octavo plan` decides about it."""

import json
import math

import checkpoint_file
from checkpoint_file import Tensor
from program import ConversionTest, octavo


class RulesTest(ConversionTest):
    def write(self, shapes, name="source.safetensors"):
        """name -> shape; the values are zeros, which rules do not look at."""
        tensors = {key: Tensor("BF16", shape, bytes(2 * math.prod(shape))) for key, shape in shapes.items()}
        return checkpoint_file.write(self.folder / name, tensors)

    def write_config(self, config, name="layers.json"):
        path = self.folder / name
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    def plan(self, source, *arguments):
        """The document and what was said on stderr; the run must succeed."""
        done = octavo("plan", source, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), done.stderr

    def tensors(self, source, *arguments):
        return {tensor["name"]: tensor for tensor in self.plan(source, *arguments)[0]["tensors"]}

    def stored(self, source, *arguments):
        """name -> format of what is quantized, and for the rest the decision."""
        return {
            name: tensor["format"] or tensor["decision"] for name, tensor in self.tensors(source, *arguments).items()
        }
