"""Layers and inputs that stand for those of real networks, from fixed seeds, and how well a stored layer serves them.

Weights have singular values i^-1/2, log-normal scales of rows and columns and four columns of outliers. Inputs have a
covariance with eigenvalues i^-0.8 in a random basis, plus the property they are named after."""

import numpy as np

BASIS_SEED = 77


def weight(seed, rows, cols):
    random = np.random.default_rng(seed)
    rank = min(rows, cols)
    left, _ = np.linalg.qr(random.standard_normal((rows, rank)).astype(np.float32))
    right, _ = np.linalg.qr(random.standard_normal((cols, rank)).astype(np.float32))
    values = (left * np.arange(1, rank + 1, dtype=np.float32) ** -0.5) @ right.T
    values /= values.std()
    values *= np.exp(0.3 * random.standard_normal((rows, 1))) * np.exp(0.3 * random.standard_normal((1, cols)))
    values[:, random.choice(cols, 4, replace=False)] *= 8
    return (0.02 * values).astype(np.float32)


class Inputs:
    """Draws samples [count, cols] of one kind; samples of different seeds come from one distribution."""

    KINDS = ("channels", "gelu", "outliers", "massive", "iid")

    def __init__(self, kind, cols):
        self.kind = kind
        random = np.random.default_rng(BASIS_SEED)
        basis, _ = np.linalg.qr(random.standard_normal((cols, cols)).astype(np.float32))
        eigenvalues = np.arange(1, cols + 1) ** -0.8
        self.root = (np.sqrt(eigenvalues / eigenvalues.mean())[:, None] * basis.T).astype(np.float32)
        self.channels = np.exp(0.5 * random.standard_normal(cols)).astype(np.float32)
        self.outliers = random.choice(cols, 8, replace=False)
        self.massive = random.choice(cols, 2, replace=False)

    def draw(self, seed, count):
        noise = np.random.default_rng(seed).standard_normal((count, self.root.shape[0])).astype(np.float32)
        if self.kind == "iid":
            return noise
        samples = noise @ self.root
        if self.kind in ("channels", "gelu"):
            samples *= self.channels
        if self.kind == "gelu":
            samples = 0.5 * samples * (1 + np.tanh(np.sqrt(2 / np.pi) * (samples + 0.044715 * samples**3)))
        if self.kind == "outliers":
            samples[:, self.outliers] *= 20
        if self.kind == "massive":
            samples[:, self.massive] += 60
        return samples.astype(np.float32)


def output_error(samples, error):
    """||x e^T||^2, in double precision."""
    return float(np.square(samples.astype(np.float64) @ error.T).sum())


def w8a8_error(samples, weight_in_basis, codes, scales):
    """Relative error of the output with eight bits on both sides, everything in the stored basis."""
    exact = samples.astype(np.float64) @ weight_in_basis.astype(np.float64).T
    token = np.abs(samples).max(axis=1, keepdims=True) / 127
    tokens = np.clip(np.rint(samples / token), -128, 127).astype(np.float64)
    stored = (tokens @ codes.astype(np.float64).T) * token * scales.reshape(1, -1)
    return float(np.linalg.norm(exact - stored) / np.linalg.norm(exact))
