"""The page in headless Chromium: it fits 360 pixels and a desktop, letters stay readable, and it has two looks.

Chromium has no window of 360 pixels, so the page is shown in a frame of that width, which counts as its window."""

import html
import json
import os
import pathlib
import re
import subprocess
import unittest

from page_case import PageTest

PROBE = """
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const root = page.documentElement;
  const sizes = [...page.querySelectorAll("body *")].filter(e => e.textContent.trim() && e.getClientRects().length)
    .map(e => parseFloat(page.defaultView.getComputedStyle(e).fontSize));
  const out = [...page.querySelectorAll("rect, .ticks span, .value, h1, dd")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.left < -1 || box.right > root.clientWidth + 1;
  });
  const color = name => page.defaultView.getComputedStyle(page.body)[name];
  document.title = JSON.stringify({
    width: root.clientWidth, needed: root.scrollWidth, smallest: Math.min(...sizes), outside: out.length,
    bars: [...page.querySelectorAll("rect")].filter(e => e.getBoundingClientRect().width > 0).length,
    background: color("backgroundColor"), text: color("color"),
  });
});
</script>
"""


def luminance(color):
    channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class BrowserTest(PageTest):
    def browser(self, file, *arguments, dark=False):
        scheme = "0" if dark else "1"
        command = [
            os.environ["OCTAVO_CHROMIUM"], "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={self.folder / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}",
            "--virtual-time-budget=3000", *arguments, file.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def framed(self, width):
        frame = self.folder / f"frame{width}.html"
        page = html.escape(self.page.read_text(), quote=True)
        frame.write_text(f'<!doctype html><html style="color-scheme:light dark"><body style="margin:0">{PROBE}'
                         f'<iframe style="border:0" width="{width}" height="2600" srcdoc="{page}"></iframe>')
        return frame

    def test_fits_and_is_readable(self):
        self.write_page("--inputs", self.inputs)
        self.check_looks()

    def test_the_page_of_a_conversion_is_no_other(self):
        self.write_page_of_a_conversion()
        self.assertIn("weights (W8A16)", self.page.read_text())
        self.check_looks()

    def check_looks(self):
        seen = {}
        for width in (360, 1280):
            frame = self.framed(width)
            for dark in (False, True):
                dom = self.browser(frame, "--dump-dom", f"--window-size={max(width, 600)},2600", dark=dark)
                found = json.loads(html.unescape(re.search("<title>(.*?)</title>", dom).group(1)))
                self.assertEqual(found["width"], width)
                self.assertLessEqual(found["needed"], width, "the page is wider than its window")
                self.assertGreaterEqual(found["smallest"], 12)
                self.assertEqual(found["outside"], 0)
                self.assertGreater(found["bars"], 100)
                lighter, darker = sorted((luminance(found["background"]), luminance(found["text"])), reverse=True)
                self.assertGreater((lighter + 0.05) / (darker + 0.05), 7, "contrast")
                seen[width, dark] = found["background"]
                if "OCTAVO_SCREENSHOTS" in os.environ:
                    shot = pathlib.Path(os.environ["OCTAVO_SCREENSHOTS"]) / f"{width}{'-dark' if dark else ''}.png"
                    self.browser(frame, f"--screenshot={shot}", f"--window-size={max(width, 600)},2600", dark=dark)
        self.assertNotEqual(seen[360, False], seen[360, True])


if __name__ == "__main__":
    unittest.main()
