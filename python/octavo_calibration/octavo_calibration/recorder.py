"""Hooks on the linear layers of a model, and the file that is made of what they saw."""

import contextlib
import json

import torch
from safetensors.torch import save_file

from .reservoir import Reservoir


def is_linear(module):
    """nn.Linear and what behaves like it: a 2-D weight [out_features, in_features] (ComfyUI's and PEFT's layers)."""
    weight = getattr(module, "weight", None)
    has_features = hasattr(module, "in_features") and hasattr(module, "out_features")
    return isinstance(module, torch.nn.Linear) or (
        has_features and isinstance(weight, torch.Tensor) and weight.dim() == 2 and not list(module.children()))


class Recorder:
    """Samples the inputs of the linear layers of `model` while it is used as a context manager.

    rows: kept of each layer's inputs, a uniform sample of all tokens of all calls.
    seed: of the sample; the same calls give the same rows.
    prefix: what the checkpoint's names have before the model's ("model.diffusion_model.").
    choose: a function from (name, module) to bool; None: every linear layer.
    rename: a function from the model's name of a layer to the checkpoint's; None: prefix + name.

    share: layers that are given the same tensor (query, key and value; gate and up) share one sample, which is kept
    and written once.
    """

    def __init__(self, model, rows=2048, seed=0, prefix="", choose=None, rename=None, share=True, dtype=torch.bfloat16):
        if dtype not in (torch.bfloat16, torch.float32):
            raise ValueError(f"[octavo_calibration] dtype is {dtype}; expected torch.bfloat16 or torch.float32")
        self._rows, self._seed, self._share, self._dtype = rows, seed, share, dtype
        self._name = rename or (lambda name: prefix + name)
        self._layers = [
            (name, module) for name, module in model.named_modules()
            if is_linear(module) and (choose is None or choose(name, module))
        ]
        if not self._layers:
            raise ValueError("[octavo_calibration] the model has no linear layer to record")
        self._hooks = []
        self._groups = {}  # name of the layer that leads a group -> Reservoir
        self._leaders = {}  # name of a layer -> that of its group's leader
        self._last = None  # the tensor that was seen last, its version, and the layer it went to

    def __enter__(self):
        for name, module in self._layers:
            self._hooks.append(module.register_forward_pre_hook(self._hook(name), with_kwargs=True))
        return self

    def __exit__(self, *_):
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._last = None

    def _hook(self, name):
        def see(_module, arguments, named):
            x = arguments[0] if arguments else named.get("input")
            if isinstance(x, torch.Tensor) and x.is_floating_point() and x.dim() > 0:
                self._see(name, x)

        return see

    def _see(self, name, x):
        """A tensor goes to several layers in a row. The first of them leads; a layer follows it only if it has always
        done so, which is known when it is seen for the first time and checked at every call."""
        same = self._share and self._last is not None and self._last[0] is x and self._last[1] == x._version
        leader = self._last[2] if same else name
        if not same:
            self._last = (x, x._version, name)
        known = self._leaders.setdefault(name, leader)
        if known != leader:
            raise RuntimeError(
                f"[octavo_calibration] layer {name} was given the inputs of {known} and now those of {leader}; "
                f"share=False records every layer by itself")
        if leader == name:
            if name not in self._groups:
                self._groups[name] = Reservoir(self._rows, self._seed, self._name(name), self._dtype)
            self._groups[name].add(x)

    def tensors(self):
        """name -> tensor, and layer -> layer whose inputs it shares, as they are written."""
        made = {}
        for name, group in self._groups.items():
            layer = self._name(name)
            made[f"{layer}.inputs"] = group.sample.contiguous()
            made[f"{layer}.input_mean"] = group.mean
            made[f"{layer}.channel_max"] = group.channel_max
        shared = {
            self._name(name): self._name(leader) for name, leader in self._leaders.items() if leader != name
        }
        return made, shared

    def save(self, path):
        """Writes the file. Returns {layer: rows seen}. Raises ValueError if no layer was used."""
        made, shared = self.tensors()
        if not made:
            raise ValueError("[octavo_calibration] no linear layer was used while recording")
        metadata = {"format": "pt", "octavo.source": "recorded inputs"}
        if shared:
            metadata["octavo.inputs"] = json.dumps(dict(sorted(shared.items())))
        save_file(made, str(path), metadata=metadata)
        return {self._name(name): self._groups[leader].count for name, leader in self._leaders.items()}


@contextlib.contextmanager
def record(model, path, **options):
    """Records while the block runs, and writes `path` when it ends without an exception. Options as for Recorder."""
    with Recorder(model, **options) as recorder:
        yield recorder
    recorder.save(path)
