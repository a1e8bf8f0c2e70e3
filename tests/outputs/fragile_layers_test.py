"""--keep-worst, --min-sqnr, --target-size: the layers that stay in high precision, by what the run would store."""

import json
import unittest

import numpy as np

import checkpoint_file
from checkpoint_file import encode
from program import ConversionTest, octavo


def layers():
    """Six layers with heavier and heavier tails, so that their SQNR falls; the larger ones lose less."""
    random = np.random.default_rng(7)
    tensors = {}
    for i, freedom in enumerate((3, 200, 6, 4, 12, 2.5)):
        rows = 64 + 32 * i
        tensors[f"layers.{i}.weight"] = encode(random.standard_t(freedom, (rows, 256)) * 0.02, "BF16")
    tensors["norm.weight"] = encode(np.ones(256), "F32")
    return tensors


class FragileLayersTest(ConversionTest):
    def setUp(self):
        super().setUp()
        self.tensors = layers()
        self.source = checkpoint_file.write(self.folder / "model.safetensors", self.tensors)
        self.target = self.folder / "out.safetensors"
        self.options = ("--model", "none", "--format", "int8_tensorwise")
        self.plain = self.run_program()
        self.by_quality = sorted(self.plain["layers"], key=lambda layer: layer["sqnr_db"])
        self.plain_size = self.target.stat().st_size

    def run_program(self, *arguments):
        return self.convert(self.source, self.target, "--force", *self.options, *arguments)

    def kept(self, *arguments):
        """Names of the layers that stay, each as it was; the rest is quantized as without the option."""
        before = checkpoint_file.read(self.target).tensors if self.target.exists() else {}
        document = self.run_program(*arguments)
        stored = checkpoint_file.read(self.target).tensors
        kept = []
        for tensor in document["tensors"]:
            if tensor["rule"] != "measured":
                continue
            self.assertEqual(tensor["decision"], "keep")
            self.assertEqual(stored[tensor["name"]], self.tensors[tensor["name"]])
            self.assertNotIn(tensor["name"].replace(".weight", ".comfy_quant"), stored)
            kept.append(tensor["name"].removesuffix(".weight"))
        for layer in document["layers"]:
            if layer["name"] + ".weight" in before:
                self.assertEqual(stored[layer["name"] + ".weight"].dtype, "I8")
        self.assertEqual(len(kept) + len(document["layers"]), 6)
        self.assertTrue(document["size_exact"])
        return sorted(kept)

    def worst(self, count):
        return sorted(layer["name"] for layer in self.by_quality[:count])

    def test_compare_says_what_is_below_in_its_document_too(self):
        limit = self.by_quality[0]["sqnr_db"] + 0.01
        for least, code, said in ((0, 0, []), (limit, 7, [f"1 of 6 layers is below {limit} dB"])):
            done = octavo("compare", self.source, self.target, "--json", "--min-sqnr", repr(least))
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(json.loads(done.stdout)["warnings"], said)
        other = checkpoint_file.write(self.folder / "other.safetensors", {"x.weight": encode(np.ones((4, 4)), "BF16")})
        total = json.loads(octavo("compare", self.source, other, "--json").stdout)["total"]
        self.assertEqual((total["layers"], total["sqnr_db"], total["exact"]), (0, None, False))

    def test_the_worst_stay(self):
        self.assertEqual(self.kept("--keep-worst", "1"), self.worst(1))
        self.assertEqual(self.kept("--keep_worst=3"), self.worst(3))
        self.assertEqual(self.kept("--keep-worst", "34%"), self.worst(2))
        self.assertEqual(self.kept("--keep-worst", "1%"), self.worst(1))

    def test_what_is_below_a_limit_stays(self):
        limit = (self.by_quality[1]["sqnr_db"] + self.by_quality[2]["sqnr_db"]) / 2
        self.assertEqual(self.kept("--min-sqnr", limit), self.worst(2))
        self.assertEqual(self.kept("--min-sqnr", 1), [])

    def test_reasons_are_given(self):
        document = self.run_program("--keep-worst", "1", "--min-sqnr", 1)
        reasons = [tensor["reason"] for tensor in document["tensors"] if tensor["rule"] == "measured"]
        self.assertEqual(reasons, [f"{self.by_quality[0]['sqnr_db']:.2f} dB, among the worst, --keep-worst 1"])
        self.assertTrue(any("stay in high precision" in note for note in document["notes"]), document["notes"])

    def least_size(self, *arguments):
        """Of the file with every layer quantized; its provenance names the options."""
        done = octavo("plan", self.source, "--json", *self.options, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["file_bytes"]

    def test_a_target_size(self):
        more = {layer["name"]: layer["bytes_in"] - layer["bytes_out"] for layer in self.by_quality}
        least = self.least_size("--target-size", f"{self.plain_size + 1000}")
        for target in (least, least + more[self.by_quality[0]["name"]], least + 40_000, least + 90_000):
            expected, size = [], least
            for layer in self.by_quality:  # the worst first, and whatever still fits
                if size + more[layer["name"]] <= target:
                    size += more[layer["name"]]
                    expected.append(layer["name"])
            self.assertEqual(self.kept("--target-size", f"{target}"), sorted(expected), target)
            self.assertLessEqual(self.target.stat().st_size, target)

    def test_they_add_up(self):
        self.assertEqual(self.kept("--keep-worst", "1", "--min-sqnr", self.by_quality[2]["sqnr_db"] + 1e-6), self.worst(3))

    def test_the_same_bytes_for_any_lanes_and_the_provenance_names_it(self):
        files = []
        for lanes in (1, 3):
            self.run_program("--keep-worst", "2", "--lanes", lanes, "--tile-size", "16K")
            files.append(self.target.read_bytes())
        self.assertEqual(*files)
        settings = json.loads(checkpoint_file.read(self.target).metadata["octavo"])["settings"]
        self.assertEqual(settings["fragile"], {"keep_worst": "2"})
        self.run_program()
        self.assertNotIn("fragile", json.loads(checkpoint_file.read(self.target).metadata["octavo"])["settings"])

    def test_a_plan_says_that_the_data_decide(self):
        for arguments in (("--keep-worst", "1"), ("--min-sqnr", "30"), ("--target-size", "1G")):
            done = octavo("plan", self.source, "--json", *self.options, *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            document = json.loads(done.stdout)
            self.assertFalse(document["size_exact"])
            self.assertTrue(0 <= document["file_bytes"] - self.plain_size < 100, "all layers are quantized")

    def test_with_other_decisions_by_data(self):
        weight = checkpoint_file.decode(self.tensors["layers.1.weight"]).copy()
        weight[3, 4] = np.inf
        self.tensors["layers.1.weight"] = encode(weight, "BF16")
        checkpoint_file.write(self.source, self.tensors)
        document = self.run_program("--nonfinite", "keep", "--keep-worst", "1")
        reasons = {tensor["name"]: tensor["reason"] for tensor in document["tensors"] if tensor["rule"] == "measured"}
        self.assertIn("not finite", reasons["layers.1.weight"])
        self.assertIn("--keep-worst", reasons[self.by_quality[0]["name"] + ".weight"])
        self.assertEqual(len(reasons), 2)

    def test_real_inputs_judge_the_outputs(self):
        """Outliers in the inputs make the layer the worst that its weights make the best."""
        random = np.random.default_rng(5)
        inputs = {f"layers.{i}.inputs": encode(random.standard_normal((24, 256)), "F32") for i in range(6)}
        best = self.by_quality[-1]["name"]
        x = random.standard_normal((24, 256))
        x[:, 7] *= 60
        inputs[f"{best}.inputs"] = encode(x, "F32")
        file = checkpoint_file.write(self.folder / "inputs.safetensors", inputs)
        done = octavo("compare", self.source, self.target, "--inputs", file, "--json")
        outputs = {layer["name"]: layer["outputs"]["w8a8"] for layer in json.loads(done.stdout)["layers"] if "outputs" in layer}
        worst = sorted(outputs, key=lambda name: -outputs[name])
        self.assertEqual(worst[0], best)
        for count in (1, 2):
            self.assertEqual(self.kept("--keep-worst", count, "--calibration-data", file), sorted(worst[:count]))
        limit = -20 * np.log10((outputs[worst[0]] + outputs[worst[1]]) / 2)
        document = self.run_program("--min-sqnr", limit, "--calibration-data", file)
        reasons = {tensor["name"]: tensor["reason"] for tensor in document["tensors"] if tensor["rule"] == "measured"}
        self.assertEqual(list(reasons), [f"{best}.weight"])
        self.assertIn(f"{-20 * np.log10(outputs[best]):.2f} dB", reasons[f"{best}.weight"])
        self.assertTrue(any("judged by their outputs" in note for note in document["notes"]), document["notes"])
        self.assert_files("model.safetensors", "out.safetensors", "inputs.safetensors")

    def test_refusals(self):
        self.target.unlink()
        for arguments, code in ((("--keep-worst", "0"), 2), (("--keep-worst", "100%"), 2), (("--keep-worst", "few"), 2),
                                (("--min-sqnr", "good"), 2), (("--target-size", "small"), 2),
                                (("--target-size", str(self.plain_size - 1)), 4),
                                (("--target-size", str(self.plain_size + 1000), "--keep-worst", "1"), 4)):
            self.refuse(code, "convert", self.source, "-o", self.target, *self.options, *arguments)
        self.refuse(4, "plan", self.source, *self.options, "--target-size", str(self.plain_size - 1))
        self.assert_files("model.safetensors")

    def test_everything_would_stay(self):
        self.target.unlink()
        said = self.refuse(4, "convert", self.source, "-o", self.target, *self.options, "--min-sqnr", "200")
        self.assertIn("hint: what was measured keeps every layer", said)
        self.assert_files("model.safetensors")


if __name__ == "__main__":
    unittest.main()
