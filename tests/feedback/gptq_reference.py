"""GPTQ as its paper writes it (Frantar et al., arXiv 2210.17323, algorithm 1 without lazy blocks), in float64.

It inverts the damped Hessian and goes through the columns from the first to the last. octavo goes the other way with a
factor of the Hessian itself and never inverts it, so the two share the definition and no formula."""

import numpy as np


def gptq_errors(weights, samples, scales, order, damping=0.01):
    """W - stored [rows, cols] of integer codes in -127..127 with a fixed scale for each row [rows, 1]; columns are rounded
    in `order`."""
    x = samples.astype(np.float64)[:, order]
    hessian = x.T @ x
    hessian[np.diag_indices_from(hessian)] += damping * np.diag(hessian).mean()
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
    left = weights.astype(np.float64)[:, order].copy()
    stored = np.empty_like(left)
    for k in range(left.shape[1]):
        stored[:, k] = (np.clip(np.rint(left[:, k : k + 1] / scales), -127, 127) * scales)[:, 0]
        error = (left[:, k] - stored[:, k]) / upper[k, k]
        left[:, k:] -= np.outer(error, upper[k, k:])
    errors = np.empty_like(left)
    errors[:, order] = weights[:, order] - stored
    return errors


def row_scales(weights):
    return np.abs(weights).max(axis=1, keepdims=True) / 127
