"""What feedback gains on a GPU: the CPU's tests of it (tests/feedback/surrogate_test.py) with --device cuda."""

import pathlib
import sys
import unittest

from gpu import require_gpu

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "feedback"))

from surrogate_test import SurrogateTest  # noqa: E402


class SurrogatesOnGpu(SurrogateTest):
    GPTQ_CASES = SurrogateTest.GPTQ_CASES[:1]  # the order of columns is the CPU's

    def test_any_number_of_lanes_gives_the_same_bytes(self):
        """feedback_test.py, for what a GPU does."""


del SurrogateTest

if __name__ == "__main__":
    require_gpu()
    unittest.main()
