"""Learned rounding on a GPU: all that holds of it on the CPU, and that its files are the same from run to run and for any
number of lanes. (Not the CPU's files: sums come in another order.)"""

import unittest

import projected_test
from gpu import require_gpu


class QualityOnGpu(projected_test.Quality):
    pass


class GridsOnGpu(projected_test.Grids):
    pass


class RunsOnGpu(projected_test.Runs):
    pass


if __name__ == "__main__":
    require_gpu()
    unittest.main()
