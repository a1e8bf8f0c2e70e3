"""--html: one file that needs nothing else, with every number of the JSON document."""

import html.parser
import json
import re
import unittest

from page_case import ODD_NAME, PageTest
from program import octavo


class Elements(html.parser.HTMLParser):
    """Tags in their order, their attributes, and the texts of table cells; complains about unbalanced tags."""

    VOID = {"meta", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.cells, self.titles = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


class QualityPageTest(PageTest):
    def elements(self, text):
        parser = Elements()
        parser.feed(text)
        parser.close()
        self.assertEqual(parser.open, [])
        return parser

    def test_needs_nothing_else(self):
        text = self.write_page("--inputs", self.inputs)
        for words in ("http://", "https://", "src=", "href=", "@import", "url(", "<script"):
            self.assertNotIn(words, text)
        self.assertIn("prefers-color-scheme:dark", text)
        self.assertIn('name="viewport"', text)

    def test_charts_and_table(self):
        text = self.write_page("--inputs", self.inputs)
        page = self.elements(text)
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
        self.assertEqual(len(captions), 4)
        for words in ("each layer", "each block", "Layers by SQNR", "worst layers"):
            self.assertTrue(any(words in caption for caption in captions), captions)
        rows = sum(tag == "tr" for tag, _ in page.tags)
        self.assertEqual(rows, 50)
        bars = sum(tag == "rect" and attributes["class"] in ("bar", "low", "point") for tag, attributes in page.tags)
        self.assertGreaterEqual(bars, 49 + 13)
        for tag, attributes in page.tags:  # nothing leaves its chart
            if tag == "rect":
                left, width = (float(attributes[key].rstrip("%")) for key in ("x", "width"))
                self.assertGreaterEqual(left, 0)
                self.assertLessEqual(left + width, 100.01)
                self.assertGreater(float(attributes["height"]), 0)

    def test_the_numbers_are_those_of_the_document(self):
        done = octavo("compare", self.source, self.target, "--json", "--inputs", self.inputs)
        document = json.loads(done.stdout)
        cells = self.elements(self.write_page("--inputs", self.inputs)).cells
        head, body = cells[:9], [cells[i:i + 9] for i in range(9, len(cells), 9)]
        self.assertEqual(head[:4], ["layer", "SQNR", "W8A8", "W8A16"])
        self.assertEqual([row[0] for row in body], document["worst_first"])
        layers = {layer["name"]: layer for layer in document["layers"]}
        for row in body:
            layer = layers[row[0]]
            self.assertEqual(row[1], f"{layer['sqnr_db']:.2f} dB")
            if "outputs" in layer:
                self.assertEqual(row[2], f"{100 * layer['outputs']['w8a8']:#.3g} %")

    def test_a_conversion_says_what_compare_says(self):
        """Errors of outputs are those of the written file: the page, the document and the text of `convert`."""
        for arguments in ((), ("--shards", "2")):
            if arguments:
                self.target = self.folder / "shards"
            made = self.write_page_of_a_conversion(*arguments)
            done = octavo("compare", self.source, self.target, "--json", "--inputs", self.inputs)
            compared = json.loads(done.stdout)
            expected = {layer["name"]: layer.get("outputs") for layer in compared["layers"]}
            self.assertEqual({layer["name"]: layer.get("outputs") for layer in made["layers"]}, expected)
            self.assertEqual(made["worst_first"], compared["worst_first"])
            self.assertEqual(made["outputs_left_out"], compared["outputs_left_out"])
            self.assertIsNone(expected[ODD_NAME])
        text = self.page.read_text()
        cells = self.elements(text).cells
        self.assertEqual(cells[:6], ["layer", "SQNR", "W8A8", "W8A16", "of activations", "against nearest"])
        self.assertEqual(cells[9], made["worst_first"][0])
        self.assertIn("weights (W8A16)", text)
        said = octavo("convert", self.source, "-o", self.folder / "text.safetensors", "--model", "none", "--report-quality",
                      "--calibration-data", self.inputs).stdout
        self.assertIn("worst outputs", said)

    def test_a_conversion_without_rows_judges_no_outputs(self):
        statistics = self.folder / "statistics.json"
        statistics.write_text('{"transformer_blocks.0.attn.qkv": 0.01}')
        self.inputs = statistics
        made = self.write_page_of_a_conversion()
        self.assertNotIn("outputs_left_out", made)
        self.assertNotIn("W8A8", self.page.read_text())

    def test_without_inputs_and_with_other_options(self):
        text = self.write_page()
        self.assertNotIn("W8A8", text)
        self.assertEqual(len(re.findall("<figcaption>", text)), 3)
        done = octavo("convert", self.source, "-o", self.folder / "again.safetensors", "--model", "none", "--report-quality",
                      "--html", self.folder / "run.html")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.elements((self.folder / "run.html").read_text()).cells[:5],
                         ["layer", "SQNR", "largest error", "shape", "format"])

    def test_names_are_escaped(self):
        text = self.write_page()
        self.assertNotIn("<script>", text)
        self.assertIn(ODD_NAME, self.elements(text).cells)

    def test_the_same_bytes_again_and_no_replacement_unasked(self):
        first = self.write_page("--inputs", self.inputs, "--lanes", "1")
        self.refuse(2, "compare", self.source, self.target, "--html", self.page)
        self.assertEqual(self.page.read_text(), first)
        self.assertEqual(self.write_page("--inputs", self.inputs, "--lanes", "2", "--force"), first)
        self.refuse(5, "compare", self.source, self.target, "--html", self.folder / "none" / "page.html")


if __name__ == "__main__":
    unittest.main()
