"""The golden tests of the bytes, with the work done on a GPU."""

import os
import sys
import unittest

from gpu import require_gpu

if __name__ == "__main__":
    require_gpu()
    sys.path.insert(0, os.environ["OCTAVO_GOLDEN"])
    unittest.main(module="bytes_test")
