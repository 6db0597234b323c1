"""Additive smoothing."""

import numpy as np

from seq_models.baselines.counts import Ngrams
from seq_models.baselines.smoothing import Estimates, in_tables

DELTA = 0.1


class Additive:
    """δ is added to every count [1, section 2.1]; δ = 1 is Laplace's rule.

        P(w | h) = (c(h w) + δ) / (c(h) + δ W)        c(h) = Σ_w c(h w)

    h has n-1 words, less at the start of a text only, where `<s>` is the first of them. After a context that was never
    seen all words are equally probable: nothing is asked of a shorter one.

    Args:
        delta: δ > 0.
    References:
        [1] Chen and Goodman 1998, TR-10-98; Lidstone 1920.
    """

    def __init__(self, delta: float | None = None):
        self.delta = DELTA if delta is None else delta

    def estimate(self, tables: list[Ngrams], words: int) -> list[Estimates]:
        """See `Smoothing`."""
        delta, W = self.delta, words
        p, b = [], []
        contexts = 1
        for n, table in enumerate(tables, start=1):
            c = table.counts
            c_h = table.sums(c, contexts)
            # Those in the middle of a text that are too short are there to find longer ones: they say nothing.
            asked = table.at_start if n < len(tables) else np.ones(len(table), bool)
            asked_h = np.bincount(table.contexts, asked, minlength=contexts) > 0
            p.append(np.where(asked, (c + delta) / (c_h + delta * W)[table.contexts], 1 / W))
            b.append(np.where(asked_h, delta * W / (c_h + delta * W), 1))
            contexts = len(table)
        return in_tables(p, b)
