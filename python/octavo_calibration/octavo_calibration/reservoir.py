"""A uniform sample of rows that come one batch after another, and statistics over all of them."""

import hashlib

import torch


class Reservoir:
    """Keeps `rows` rows of those it is shown; each is kept with the same probability, whatever the batches.

    Every row draws a random key from a generator of the sample's own, and the rows with the smallest keys stay
    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006, with equal weights). So the sample
    depends on the seed, the name and the order of the rows, and on nothing else.
    """

    def __init__(self, rows, seed, name, dtype=torch.bfloat16):
        if rows < 1:
            raise ValueError(f"[octavo_calibration] rows is {rows}; expected at least 1")
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        self._rows = rows
        self._dtype = dtype
        self._keys = torch.empty(0, dtype=torch.float64)
        self._sample = None
        self._sum = None
        self._max = None
        self.count = 0  # rows seen

    @torch.no_grad()
    def add(self, batch):
        """batch: [..., cols] on any device. Raises ValueError for a value that is not finite."""
        batch = batch.detach().reshape(-1, batch.shape[-1])
        if batch.shape[0] == 0:
            return
        self._add_statistics(batch)
        keys = torch.rand(batch.shape[0], generator=self._generator, dtype=torch.float64)
        chosen = self._chosen(keys)
        rows = batch[chosen.to(batch.device)].to("cpu", self._dtype)
        if self._sample is None:
            self._sample = torch.empty((0, batch.shape[1]), dtype=self._dtype)
        self._keys = torch.cat([self._keys, keys[chosen]])
        self._sample = torch.cat([self._sample, rows])
        if len(self._keys) > self._rows:
            order = torch.topk(self._keys, self._rows, largest=False).indices.sort().values
            self._keys, self._sample = self._keys[order], self._sample[order]

    def _chosen(self, keys):
        """Of a batch: those that may be among the smallest; only they are copied from the model's device."""
        if len(self._keys) == self._rows:
            return torch.nonzero(keys < self._keys.max()).flatten()
        return torch.arange(len(keys))

    def _add_statistics(self, batch):
        # Sums in f64: f16 and bf16 rows are many and their mean is small. Apple's devices have no f64.
        wide = torch.float32 if batch.device.type == "mps" else torch.float64
        total = batch.sum(dim=0, dtype=wide).to("cpu", torch.float64)
        largest = batch.abs().amax(dim=0).to("cpu", torch.float32)
        if not bool(torch.isfinite(largest).all()):
            raise ValueError("[octavo_calibration] an input is not finite; run the model in bfloat16 or float32")
        self._sum = total if self._sum is None else self._sum + total
        self._max = largest if self._max is None else torch.maximum(self._max, largest)
        self.count += batch.shape[0]

    @property
    def sample(self):
        """[kept, cols] in the order in which the rows came."""
        return self._sample

    @property
    def mean(self):
        """Signed mean of each column over all rows, f32."""
        return (self._sum / self.count).to(torch.float32)

    @property
    def channel_max(self):
        """Largest |x| of each column over all rows, f32."""
        return self._max
