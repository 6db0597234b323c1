"""Kneser–Ney smoothing as Chen and Goodman modified it."""

import numpy as np

from seq_models.baselines.counts import Ngrams
from seq_models.baselines.smoothing import Discounts, Estimates, counts_of_counts, in_tables, safe_ratio

FALLBACK = (0.5, 1.0, 1.5)


class KneserNey:
    """Interpolated modified Kneser–Ney smoothing [1, section 3, equations (25) and (26)], [2].

        P(w | h) = (c(h w) - D(c(h w))) / c(h) + γ(h) P(w | h')
        γ(h)     = (D_1 N_1(h) + D_2 N_2(h) + D_3+ N_3+(h)) / c(h)
        D_k      = k - (k + 1) Y n_{k+1} / n_k    for k = 1, 2, 3+        Y = n_1 / (n_1 + 2 n_2)

    c(h) = Σ_w c(h w), N_k(h) is the number of words that come k times after h, n_k the number of n-grams of this length
    with the count k. For the longest n-grams c counts how often they come; for shorter ones the different words before
    them, c(h w) = N_1+(• h w): a word that follows one word only is not likely after others. No word comes before
    `<s>`, so n-grams that begin with it keep their own count, as in SRILM and KenLM ([1] writes `<s>` n-1 times).

    Where one of n_1, n_2, n_3 is 0, or a D_k is not above 0 and at most k, as in very small texts, the three discounts
    of this length are 0.5, 1 and 1.5: those that KenLM has for this case.

    References:
        [1] Chen and Goodman 1998, TR-10-98. [2] Kneser and Ney 1995, Improved Backing-off for M-gram Language Modeling.
    """

    def estimate(self, tables: list[Ngrams], words: int) -> list[Estimates]:
        """See `Smoothing`."""
        p, gamma = [np.array([1 / words])], []
        for table, longer in zip(tables, [*tables[1:], None], strict=True):
            c, h, contexts = self.counts(table, longer), table.contexts, len(p[-1])
            D = np.array([0, *self.discounts(c)])[np.minimum(c, 3)]
            c_h = table.sums(c, contexts)
            gamma.append(safe_ratio(table.sums(D, contexts), c_h))
            p.append((c - D) / np.maximum(c_h, 1)[h] + gamma[-1][h] * p[-1][table.suffixes])
        return in_tables(p[1:], gamma)

    @staticmethod
    def counts(table: Ngrams, longer: Ngrams | None) -> np.ndarray:
        """c(h w), from the n-grams and those that are one word longer, if there are any."""
        if longer is None:
            return table.counts
        return np.where(table.at_start, table.counts, np.bincount(longer.suffixes, minlength=len(table)))

    @staticmethod
    def discounts(counts: np.ndarray) -> Discounts:
        """D_1, D_2 and D_3+ of counts."""
        _, *n = counts_of_counts(counts)  # n_k is n[k - 1]
        if not all(n[:3]):
            return FALLBACK
        Y = n[0] / (n[0] + 2 * n[1])
        D = tuple(k - (k + 1) * Y * n[k] / n[k - 1] for k in (1, 2, 3))
        return D if all(0 < D[k - 1] <= k for k in (1, 2, 3)) else FALLBACK
