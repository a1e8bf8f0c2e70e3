"""Every flag of convert_to_quant: what it does, or the line that says why it does nothing. LoRA and edit flags have tests
of their own."""

import json
import os
import pathlib
import re
import subprocess
import unittest

import checkpoint_file
from checkpoint_file import encode
from program import TIMEOUT, ConversionTest, environment, octavo, program
from stored_layer import stored_layer
from weight_sets import gaussian

FILTERS = [
    "t5xxl", "mistral", "visual", "flux2", "distillation_large", "distillation_small", "nerf_large", "nerf_small",
    "radiance", "wan", "hunyuan", "qwen", "zimage", "zimage_refiner", "lora",
    "gemma4", "qwen35", "anima", "lens", "krea2", "ideogram4", "boogu", "ltxv2",
]

# flag with its value -> the parameter of the optimizer `adaptive` that it sets.
LEARNED = {
    "--num_iter=7": "num_iter=7", "--lr=0.5": "lr=0.5", "--lr_schedule=plateau": "lr_schedule=plateau",
    "--lr_gamma=0.5": "lr_gamma=0.5", "--lr_patience=3": "lr_patience=3", "--lr_factor=0.5": "lr_factor=0.5",
    "--lr_min=0.001": "lr_min=0.001", "--lr_cooldown=2": "lr_cooldown=2", "--lr_threshold=0.25": "lr_threshold=0.25",
    "--lr-threshold-mode=abs": "lr_threshold_mode=abs", "--lr-shape-influence=0.5": "lr_shape_influence=0.5",
    "--lr_adaptive_mode=no-reset": "lr_adaptive_mode=no-reset", "--early-stop-loss=0.5": "early_stop_loss=0.5",
    "--early-stop-lr=0.5": "early_stop_lr=0.5", "--early-stop-stall=5": "early_stop_stall=5", "--top_p=0.5": "top_p=0.5",
    "--min_k=8": "min_k=8", "--max_k=9": "max_k=9", "--full_matrix": "full_matrix=true", "-esloss=0.5": "early_stop_loss=0.5",
    "--objective=output": "objective=output", "-eslr=0.5": "early_stop_lr=0.5", "-esstall=5": "early_stop_stall=5",
}
# optimizer, flag -> parameter
FEEDBACK = {
    ("gptq", "--gptq-actorder"): "actorder=true",
    ("gptq", "--damping=0.25"): "damping=0.25",
    ("quip", "--damping=search"): "damping=search",
    ("gptq", "--block_size=64"): "block_size=64",
    ("gptq", "--group_size=64"): "block_size=64",
    ("quip", "--no-quip-actorder"): "actorder=false",
    ("quip", "--quip-actorder=False"): "actorder=false",
    ("gptq", "--scale-search=5"): "scale_search=5",
    ("quip", "--scale_search=7"): "scale_search=7",
    ("quip", "--block_size=64"): "block_size=64",
}
# Flags that can have no effect here, and a word of the reason.
WITHOUT_EFFECT = {
    "--no-quip-hadamard": "only Hadamard ones", "--quip-hadamard": "only Hadamard ones", "--quip-checkpointed": "tiles",
    "--quip-checkpoint-threshold=16": "tiles", "--quip-checkpoint-segments=8": "tiles",
    "--gptq-fast": "exact", "--no-gptq-fast": "exact", "--gptq-turbo": "exact", "--smoothquant": "calibration file",
    "--smoothquant-alpha=0.75": "--smoothquant is not given", "--calib_samples=64": "synthetic",
    "--calibration-lora=x.safetensors": "calibrate-from-lora", "--static-activations": "calibration file", "--calib_cpu": "memory",
    "--calib-rows=7": "calibration file", "--streaming-mode=aggressive": "tiles", "--stream-hadamard-threshold=5": "tiles",
    "--stream-hessian-threshold=5": "tiles", "--stream-ldlq-threshold=5": "tiles", "--stream-ortho-threshold=5": "tiles",
    "--streaming": "deprecated", "--streaming-aggressive": "deprecated", "--no-memory-limits": "--max-ram",
    "--bf16-compute=on": "single precision", "--bf16-threshold=0": "single precision",
    "--bf16-hadamard-threshold=1": "single precision", "--bf16-hessian-threshold=1": "single precision",
    "--no-normalize-scales": "nothing to turn off", "--verbose-pinned": "-vv", "--generic_text": "activation scales",
    # and flags of optimizers that are not the one in use
    "--num_iter=7": "adaptive, adamw, radam", "--top_p=0.5": "adaptive", "--gptq-actorder": "gptq", "--quip-seed=1": "quip",
    "--quip-requant-scheme=block": "quip", "--no-quip-requant-tensor-per-row": "quip", "--fullmatch": "--layer-config",
}
# Everything that convert_to_quant and its successor document, with a value where one is needed. `none` is a file that
# is not there: reading it is another matter than the flag.
DOCUMENTED = """
--comfy_quant --int8 --fp16 --scaling_mode=tensor --block_size=128 --group_size=128 --full_precision_matrix_mult -fpmm
--input_scale --save-quant-metadata --no-normalize-scales --manual_seed=1 --verbose=NORMAL --verbose-pinned
--exclude-layers=embed --custom-layers=embed --custom-type=int8 --custom-block-size=64 --custom-scaling-mode=tensor
--custom-simple --custom-heur --fallback=int8 --fallback-block-size=64 --fallback-simple --heur --layer-config=none
--fullmatch --dry-run --dry-run=analyze --optimizer=original --simple --num_iter=10 --lr=0.01 --lr_schedule=adaptive
--lr_gamma=0.9 --lr_patience=1 --lr_factor=0.9 --lr_min=0 --lr_cooldown=1 --lr_threshold=0 --lr-threshold-mode=rel
--lr-shape-influence=1 --lr_adaptive_mode=no-reset --early-stop-loss=0 --early-stop-lr=0 --early-stop-stall=1
-esloss=0 -eslr=0 -esstall=1 --top_p=0.2 --min_k=1 --max_k=2 --full_matrix --gptq-actorder --gptq-fast --no-gptq-fast
--gptq-turbo --quip-actorder --no-quip-actorder --quip-hadamard --no-quip-hadamard --quip-seed=1
--quip-store-transformed --quip-requant-scheme=tensor --quip-requant-tensor-per-row --no-quip-requant-tensor-per-row
--quip-checkpointed --quip-checkpoint-threshold=8192 --quip-checkpoint-segments=4 --smoothquant --smoothquant-alpha=0.5
--calib_samples=16 --calib_cpu --calibration-data=none --calibration-lora=none --static-activations
--input-scales=none --report-quality --quality-threshold=20 --merge-loras=none --merge-lora=none --merge-lora-scale=1
--merge-lora-dampen --no-merge-lora-dampen --merge-lora-dampen=False --edit-quant --remove-keys=a --add-keys='a':1
--quant-filter=a --low-memory -lm --streaming-mode=auto --streaming --streaming-aggressive
--stream-hadamard-threshold=1 --stream-hessian-threshold=1 --stream-ldlq-threshold=1 --stream-ortho-threshold=1
--no-memory-limits --bf16-compute=auto --bf16-threshold=0 --bf16-hadamard-threshold=0 --bf16-hessian-threshold=0
--device=cpu
""".split()
WEIGHT = encode(gaussian(1, (128, 256)), "BF16")
KEPT = encode(gaussian(2, (64, 256)), "BF16")


class FlagsTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.source = checkpoint_file.write(
            self.folder / "model.safetensors", {"a.weight": WEIGHT, "embed_tokens.weight": KEPT}, {"key": "value"})
        self.target = self.folder / "out.safetensors"

    def run_program(self, *arguments):
        done = octavo("convert", self.source, "-o", self.target, "--force", *arguments)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stderr}")
        return checkpoint_file.read(self.target), done

    def stored(self, *arguments):
        return self.run_program(*arguments)[0].tensors

    def settings(self, *arguments):
        return json.loads(self.run_program(*arguments)[0].metadata["octavo"])["settings"]

    def assert_stored(self, tensors, spec, base="a", weight=WEIGHT, **how):
        for key, tensor in stored_layer(base, weight, spec, **how).items():
            self.assertEqual(tensors[key], tensor, key)

    def with_stand_ins(self, *arguments):
        return self.settings("--plugin-path", os.environ["OCTAVO_TEST_STAND_INS"], *arguments)


def spellings(flag):
    """With - and with _, and the value after = and after a space."""
    name, equals, value = flag.partition("=")
    names = {name}
    if name.startswith("--"):
        names |= {"--" + name[2:].replace("-", "_"), "--" + name[2:].replace("_", "-")}
    for one in names:
        yield [one + equals + value]
        if equals and value not in ("False", "analyze"):
            yield [one, value]


class EveryFlagTest(FlagsTest):
    def test_parses_in_all_spellings(self):
        """Files that do not exist, rules that lack their partner and plugins that are not built are other refusals."""
        documented = [f"--{name}" for name in FILTERS] + DOCUMENTED
        for flag in documented:
            for arguments in spellings(flag):
                done = octavo("convert", self.source, "-o", self.target, "--dry-run", *arguments)
                for words in ("there is no option", "is the beginning of several", "is not one of", "is a switch", "missing"):
                    self.assertNotIn(words, done.stderr, arguments)
                self.assertIn(done.returncode, (0, 2, 4, 5), (arguments, done.stderr))
        self.assert_files("model.safetensors")

    def test_the_table_of_the_documentation_names_each(self):
        text = (pathlib.Path(__file__).parents[2] / "docs" / "using.md").read_text()
        table = text[text.index("## The flags of convert_to_quant"):]
        for flag in [f"--{name}" for name in FILTERS] + DOCUMENTED:
            name = flag.partition("=")[0]
            words = [name, name.replace("--no-", "--")]
            self.assertTrue(any(f"`{word}`" in table or f"`{word} " in table for word in words), name)


class FormatFlagsTest(FlagsTest):
    def test_input_and_output(self):
        done = octavo("convert", "-i", self.source, "--output", self.target)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_stored(checkpoint_file.read(self.target).tensors, "int8_convrot")
        self.assertEqual(octavo("convert", f"--input={self.source}").returncode, 0)
        self.assertTrue((self.folder / "model_int8_convrot.safetensors").exists())

    def test_key_schemes(self):
        self.assertIn("a.comfy_quant", self.stored("--comfy_quant"))
        self.assert_stored(self.stored("--no-comfy-quant", "--scaling_mode", "row"), "int8_tensorwise", legacy=True)

    def test_int8_and_fp16(self):
        self.assert_stored(self.stored("--int8"), "int8_convrot")
        self.assert_stored(self.stored("--fp16"), "fp16")
        self.assertEqual(self.with_stand_ins("--fp16", "--optimizer", "gptq")["optimizer"], {"id": "nearest"})

    def test_scaling_mode(self):
        for mode, spec in (("tensor", "int8_tensorwise:scale=tensor"), ("row", "int8_tensorwise"),
                           ("block", "int8_blockwise"), ("axis", "int8_axiswise")):
            self.assert_stored(self.stored("--scaling_mode", mode), spec)
            self.assert_stored(self.stored(f"--scaling-mode={mode}"), spec)
        self.assert_stored(self.stored("--scaling", "axis"), "int8_axiswise")
        self.assert_stored(self.stored("--scaling_mode", "axis", "--format", "int8_tensorwise"), "int8_tensorwise")

    def test_block_size(self):
        for flag in ("--block_size", "--block-size", "--group_size"):
            tensors = self.stored("--scaling_mode", "block", flag, "64")
            self.assertEqual(tensors["a.weight_scale"].shape, (2, 4))
            self.assertEqual(json.loads(tensors["a.comfy_quant"].data)["group_size"], 64)
        tensors = self.stored("--format", "int8_blockwise:block_size=32", "--block_size=64")
        self.assertEqual(tensors["a.weight_scale"].shape, (4, 8))

    def test_full_precision_matrix_mult(self):
        for flag in ("--full_precision_matrix_mult", "--full-precision-matrix-mult", "-fpmm"):
            self.assert_stored(self.stored(flag), "int8_convrot", full_precision=True)

    def test_input_scale(self):
        scale = self.stored("--input_scale")["a.input_scale"]
        self.assertEqual((scale.dtype, scale.shape, scale.data), ("F32", (), b"\0\0\x80\x3f"))
        legacy = self.stored("--input-scale", "--no-comfy-quant", "--scaling_mode", "tensor")
        self.assertEqual(legacy["a.scale_input"].data, b"\0\0\x80\x3f")

    def test_save_quant_metadata(self):
        metadata = self.run_program("--save-quant-metadata", "--model", "mistral")[0].metadata
        layers = json.loads(metadata["_quantization_metadata"])["layers"]
        self.assertEqual(layers, {"a": {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 256}})
        self.assertNotIn("_quantization_metadata", self.run_program()[0].metadata)

    def test_manual_seed(self):
        self.assertEqual(self.settings()["seed"], 0)
        self.assertEqual(self.settings("--manual_seed", "5")["seed"], 5)
        for arguments in (("--manual_seed", "-1"), ("--manual-seed=-1",)):
            checkpoint, done = self.run_program(*arguments)
            seed = json.loads(checkpoint.metadata["octavo"])["settings"]["seed"]
            self.assertIn(f"the seed of this run is {seed}", done.stderr)
            self.assertLess(seed, 2**32)

    def test_verbose(self):
        quiet = octavo("plan", self.source, "--streaming", "--verbose", "MINIMAL")
        self.assertIn("--streaming has no effect", quiet.stderr)
        for level in ("DEBUG", "VERBOSE", "NORMAL"):
            self.assertEqual(octavo("plan", self.source, "--verbose", level).returncode, 0)
        self.refuse(2, "plan", self.source, "--verbose=LOUD")

    def test_verbose_names_every_layer(self):
        layers = r"(?m)^(a|embed_tokens): int8_convrot by nearest, \d+\.\d\d dB$"
        self.assertEqual(sorted(re.findall(layers, self.run_program("-v", "--model", "none")[1].stderr)), ["a", "embed_tokens"])
        self.assertEqual(re.findall(layers, self.run_program("--model", "none")[1].stderr), [])

    def test_smaller_groups_are_counted_and_named(self):
        shapes = {"a.weight": (64, 384), "b.weight": (64, 384), "c.weight": (64, 16), "d.weight": (64, 256)}
        tensors = {name: encode(gaussian(3, shape), "BF16") for name, shape in shapes.items()}
        checkpoint_file.write(self.source, tensors)
        document = self.convert(self.source, self.target, "--model", "none")
        self.assertEqual(document["notes"][:2], [
            "1 layer (c): 256 does not divide 16 columns: rotated in groups of 16",
            "2 layers (a, ...): 256 does not divide 384 columns: rotated in groups of 64"])
        self.assertEqual(["note" in layer for layer in document["layers"]], [True, True, True, False])

    def test_low_memory(self):
        for flag in ("--low-memory", "-lm"):
            document = self.convert(self.source, self.target, "--force", flag)
            self.assertEqual((document["device"], document["lanes"]), ("cpu", 1))


class LayerFlagsTest(FlagsTest):
    def test_every_filter_is_a_flag(self):
        for name in FILTERS:
            for flag in {f"--{name}", f"--{name.replace('_', '-')}"}:
                done = octavo("plan", self.source, "--json", flag)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["models"], [f"{name}: asked for"])

    def test_filters_add_up(self):
        done = octavo("plan", self.source, "--json", "--zimage", "--zimage_refiner", "--model", "wan")
        self.assertEqual(json.loads(done.stdout)["models"],
                         ["wan: asked for", "zimage: asked for", "zimage_refiner: asked for"])

    def test_exclude_custom_and_fallback(self):
        self.assertEqual(self.stored("--model", "none", "--exclude-layers", "embed")["embed_tokens.weight"], KEPT)
        tensors = self.stored("--mistral", "--custom-layers", "embed", "--custom-type", "fp16")
        self.assert_stored(tensors, "fp16", "embed_tokens", KEPT)
        self.assert_stored(self.stored("--mistral", "--fallback", "fp16"), "fp16", "embed_tokens", KEPT)
        tensors = self.stored("--mistral", "--fallback", "int8", "--scaling_mode", "tensor")
        self.assert_stored(tensors, "int8_tensorwise:scale=tensor", "embed_tokens", KEPT)
        tensors = self.stored("--mistral", "--fp16", "--fallback", "int8")
        self.assert_stored(tensors, "int8_convrot", "embed_tokens", KEPT)
        self.assert_stored(tensors, "fp16")

    def test_custom_sub_options(self):
        custom = ("--mistral", "--custom-layers", "^a", "--custom-type", "int8")
        self.assert_stored(self.stored(*custom, "--custom-scaling-mode", "axis"), "int8_axiswise")
        tensors = self.stored(*custom, "--custom-scaling-mode", "block", "--custom-block-size", "32")
        self.assertEqual(tensors["a.weight_scale"].shape, (4, 8))
        self.assertEqual(self.stored("--model", "none", *custom[1:], "--custom-heur", "--custom-block-size", "96")["a.weight"],
                         WEIGHT)

    def test_fallback_sub_options(self):
        tensors = self.stored("--mistral", "--scaling_mode", "block", "--fallback", "int8", "--fallback-block-size", "32")
        self.assertEqual(tensors["embed_tokens.weight_scale"].shape, (2, 8))
        self.assertEqual(tensors["a.weight_scale"].shape, (1, 2))

    def test_heur(self):
        self.assertEqual(self.stored("--model", "none", "--heur")["embed_tokens.weight"], KEPT)

    def test_simple_per_class(self):
        def optimizers(*arguments):
            done = octavo("plan", self.source, "--json", "--plugin-path", os.environ["OCTAVO_TEST_STAND_INS"], *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            return [tensor["optimizer"] for tensor in json.loads(done.stdout)["tensors"]]
        custom = ("--model", "none", "--optimizer", "adamw", "--custom-layers", "^a", "--custom-type", "int8")
        self.assertEqual(optimizers(*custom), ["adamw", "adamw"])
        self.assertEqual(optimizers(*custom, "--custom-simple"), ["nearest", "adamw"])
        self.assertEqual(optimizers(*custom, "--simple"), ["nearest", "nearest"])
        fallback = ("--mistral", "--optimizer", "gptq", "--fallback", "int8")
        self.assertEqual(optimizers(*fallback), ["gptq", "gptq"])
        self.assertEqual(optimizers(*fallback, "--fallback-simple"), ["gptq", "nearest"])
        self.assertEqual(optimizers(*fallback, "--simple"), ["gptq", "gptq"])
        self.assertEqual(optimizers("--mistral", "--optimizer", "gptq", "--fallback", "fp16"), ["gptq", "nearest"])

    def test_dry_run(self):
        for arguments in (("--dry-run",), ("--dry-run", "analyze"), ("--dry_run=analyze",)):
            done = octavo("convert", self.source, *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("model generic: embed_tokens", done.stdout)
            self.assert_files("model.safetensors")
        self.assertEqual(octavo("convert", self.source, "--dry-run", "create-template").returncode, 0)
        self.assert_files("model.safetensors", "model_layer_config_template.json")


class ProvenanceTest(FlagsTest):
    def test_classes_of_layers_are_told_by_what_their_plugins_are_given(self):
        config = self.folder / "layers.json"
        config.write_text(json.dumps({"^a$": {"format": "int8_tensorwise", "optimizer": "gptq"}}))
        custom = ("--custom-layers", "^a", "--custom-type")
        fallback = ("--mistral", "--fallback")
        tensor = ("--set", "int8_tensorwise.scale=tensor")
        for settings, more in (
            (("--layer-config", config), ("--set", "gptq.damping=3")),
            (("--layer-config", config), tensor),
            ((*custom, "int8_tensorwise"), tensor),
            ((*fallback, "int8_tensorwise"), tensor),
            ((*custom, "int8"), ("--custom-simple",)),
            ((*fallback, "int8"), ("--fallback-simple",)),
            ((), ("--save-quant-metadata",)),
        ):
            self.assertNotEqual(self.with_stand_ins(*settings), self.with_stand_ins(*settings, *more), (settings, more))
            self.assertEqual(self.with_stand_ins(*settings), self.with_stand_ins(*settings, "--lanes", "1"))

    def test_a_class_is_written_as_it_was_opened(self):
        settings = self.with_stand_ins(
            "--custom-layers", "^a", "--custom-type", "int8_tensorwise", "--optimizer", "gptq",
            "--set", "int8_tensorwise.scale=tensor", "--set", "gptq.damping=3")
        self.assertEqual(settings["rules"]["custom"], {
            "format": {"id": "int8_tensorwise", "params": "scale=tensor"},
            "optimizer": {"id": "gptq", "params": "damping=3"}, "full_precision_matrix_mult": False, "pattern": "^a"})


class OptimizerFlagsTest(FlagsTest):
    def test_learned_rounding(self):
        for flag, parameter in LEARNED.items():
            for optimizer in ("original", "adaptive"):
                settings = self.with_stand_ins("--optimizer", optimizer, flag)
                self.assertEqual(settings["optimizer"], {"id": "adaptive", "params": parameter}, flag)

    def test_both_spellings(self):
        settings = self.with_stand_ins("--optimizer=adamw", "--lr-patience", "3", "--early_stop_loss", "0.5")
        self.assertEqual(settings["optimizer"]["params"], "lr_patience=3,early_stop_loss=0.5")

    def test_a_learning_rate_asks_for_learned_rounding(self):
        self.assertEqual(self.with_stand_ins("--lr", "0.5")["optimizer"]["id"], "adaptive")
        self.assertEqual(self.with_stand_ins("--lr", "0.5", "--optimizer", "adamw")["optimizer"]["id"], "adamw")

    def test_what_is_written_after_the_optimizer_wins(self):
        settings = self.with_stand_ins("--optimizer", "adaptive:lr=0.25", "--lr", "0.5")
        self.assertEqual(settings["optimizer"]["params"], "lr=0.25")

    def test_gptq_and_quip(self):
        for (optimizer, flag), parameter in FEEDBACK.items():
            settings = self.with_stand_ins("--optimizer", optimizer, flag)
            self.assertEqual(settings["optimizer"], {"id": optimizer, "params": parameter}, flag)
        self.assertEqual(self.with_stand_ins("--optimizer", "quip", "--quip-actorder")["optimizer"], {"id": "quip"})

    def test_quip_storage(self):
        for arguments, expected in (
            (("--quip-requant-scheme", "tensor"), {"id": "int8_tensorwise"}),
            (("--quip-requant-scheme", "block"), {"id": "int8_blockwise"}),
            (("--no-quip-requant-tensor-per-row",), {"id": "int8_tensorwise", "params": "scale=tensor"}),
            (("--quip-requant-tensor-per-row",), {"id": "int8_convrot"}),
            (("--quip-requant-scheme=block", "--format", "int8_axiswise"), {"id": "int8_axiswise"}),
        ):
            self.assertEqual(self.with_stand_ins("--optimizer", "quip", *arguments)["format"], expected, arguments)

    def test_transformed_storage(self):
        error = self.refuse(2, "convert", self.source, "--quip-store-transformed", "--no-quip-hadamard")
        self.assertIn("Hadamard", error)
        done = octavo("convert", self.source, "-o", self.target, "--quip-store-transformed")
        self.assertTrue(done.returncode == 0 or "quip_transformed" in done.stderr, done.stderr)

    def test_flags_that_contradict_each_other(self):
        for arguments in (("--int8", "--fp16"), ("--fp16", "--format", "int8_convrot"), ("--int8", "--format", "fp16")):
            error = self.refuse(2, "convert", self.source, *arguments)
            self.assertIn(f"{arguments[0]} and {' '.join(arguments[1:])} contradict each other", error)
        for arguments in (("--fp16", "--format", "fp16"), ("--int8", "--format", "int8_axiswise")):
            self.assertEqual(octavo("plan", self.source, *arguments).returncode, 0)

    def test_the_grid_says_what_a_format_is(self):
        """The stand-in "half" is FP16 under another name."""
        stand_ins = ("--plugin-path", os.environ["OCTAVO_TEST_STAND_INS"], "--format", "half")
        error = self.refuse(2, "convert", self.source, "--int8", *stand_ins)
        self.assertIn("--int8 and --format half contradict each other", error)
        done = octavo("plan", self.source, "--json", "--optimizer", "gptq", *stand_ins)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(document["optimizer"], "nearest")
        self.assertTrue(document["output"].endswith("_half.safetensors"), document["output"])

    def test_flags_without_effect_are_in_the_document(self):
        for command in (("plan",), ("convert", "-o", self.target)):
            done = octavo(command[0], self.source, *command[1:], "--json", "--streaming")
            lines = [line for line in json.loads(done.stdout)["warnings"] if line.startswith("--streaming has no effect")]
            self.assertEqual(len(lines), 1, done.stdout)

    def test_flags_without_effect_say_why(self):
        before = self.stored()
        for flag, words in WITHOUT_EFFECT.items():
            checkpoint, done = self.run_program(flag)
            lines = [line for line in done.stderr.splitlines() if "has no effect" in line]
            self.assertEqual(len(lines), 1, (flag, done.stderr))
            self.assertIn(words, lines[0])
            self.assertIn(flag.split("=")[0].replace("_", "-").replace("--no-gptq", "--gptq")
                          .replace("--no-quip", "--quip").replace("--no-bias", "--bias"), lines[0])
            self.assertEqual(checkpoint.tensors, before)

    def test_settings_of_plugins_that_are_not_there_or_not_used(self):
        error = self.refuse(2, "convert", self.source, "-o", self.target, "--set", "quipp.damping=1")
        self.assertIn("there is no plugin 'quipp'", error)
        self.assertIn("quip", error.split("hint")[-1])
        for setting, words in (
            ("gptq.damping=1", "--set gptq.* has no effect: no layer is rounded by gptq"),
            ("int8_blockwise.block_size=64", "--set int8_blockwise.* has no effect: no layer is stored as int8_blockwise"),
        ):
            self.assertIn(words, self.run_program("--set", setting)[1].stderr)
        done = self.run_program("--set", "int8_convrot.group=64")[1]
        self.assertNotIn("has no effect", done.stderr)

    def test_settings_are_checked_also_where_they_have_no_effect(self):
        for setting, words in (
            ("gptq.dampping=1", "did you mean 'damping'"),
            ("int8_blockwise.block_size=many", "an integer"),
            ("wan.blocks=1", "has no parameter 'blocks'"),
            ("cpu.threads=1", "has no parameter 'threads'"),
        ):
            self.assertIn(words, self.refuse(2, "convert", self.source, "-o", self.target, "--set", setting))
        self.assert_files("model.safetensors")

    def test_wrong_values(self):
        for arguments in (("--num_iter", "many"), ("--lr", "x"), ("--lr_schedule", "cosine"), ("--bf16-compute", "maybe"),
                          ("--streaming-mode", "fast"), ("--calib_samples", "0"), ("--manual_seed", "-2"),
                          ("--block_size", "0"), ("--quality-threshold", "good"), ("--optimizer", "original2")):
            self.refuse(2, "convert", self.source, "-o", self.target, "--plugin-path",
                        os.environ["OCTAVO_TEST_STAND_INS"], *arguments)
        self.assert_files("model.safetensors")


class ReportFlagsTest(FlagsTest):
    def test_report_quality(self):
        done = self.run_program("--report-quality", "--model", "none")[1]
        self.assertRegex(done.stdout, r"a +0\.\d{8} +\d+\.\d\d dB")
        self.assertIn("2, 0 exact, 0 below 30 dB", done.stdout)
        self.assertIn("2, 0 exact, 2 below 300 dB",
                      self.run_program("--report-quality", "--quality-threshold", "300", "--model", "none")[1].stdout)
        document = self.convert(self.source, self.target, "--force", "--report-quality", "--quality-threshold=300",
                                "--model=none")
        self.assertEqual(document["quality"]["below"], ["a", "embed_tokens"])
        mean = sum(layer["sqnr_db"] for layer in document["layers"]) / 2
        self.assertAlmostEqual(document["quality"]["mean_sqnr_db"], mean, places=9)


class ProgramNameTest(FlagsTest):
    def test_help_sections(self):
        for flags, word in ((("-hf", "--help-filters"), "--zimage-refiner"), (("-ha", "--help-advanced"), "--early-stop-loss"),
                            (("-he", "--help-experimental"), "--layer-config"), (("-hl",), "--exclude-layers"),
                            (("-hlr",), "--lr-gamma"), (("-hm",), "--streaming-mode")):
            for flag in flags:
                done = octavo("convert", "--no-such-option", flag)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(word, done.stdout)

    def test_under_its_old_name_the_program_is_convert(self):
        for name in ("convert_to_quant", "ctq"):
            link = self.folder / name
            link.symlink_to(program())
            target = self.folder / f"{name}.safetensors"
            done = subprocess.run(
                [link, "-i", self.source, "-o", target, "--comfy_quant", "--scaling_mode", "axis"], env=environment(),
                capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_stored(checkpoint_file.read(target).tensors, "int8_axiswise")


if __name__ == "__main__":
    unittest.main()
