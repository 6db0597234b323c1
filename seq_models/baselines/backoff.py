"""Katz's backoff."""

import numpy as np

from seq_models.baselines.counts import Ngrams
from seq_models.baselines.smoothing import Estimates, counts_of_counts, in_tables, safe_ratio

FALLBACK = 0.5


class Backoff:
    """Katz's backoff [1], [2, section 2.4], with absolute discounts [2, section 2.6] instead of Good's and Turing's.

        P(w | h) = (c(h w) - D) / c(h)       if c(h w) > 0
                 = α(h) P(w | h')            if not
        α(h)     = (D N(h) / c(h)) / (1 - Σ_{w: c(h w) > 0} P(w | h'))
        D        = n_1 / (n_1 + 2 n_2)

    c(h) = Σ_w c(h w), N(h) is the number of different words after h, n_k the number of n-grams of this length that come
    k times. Where n_1 or n_2 is 0, as in very small texts, D is 0.5. Where all words have come after h, nothing is
    discounted. So all P(w | h) sum to 1, which they do not in "stupid backoff".

    References:
        [1] Katz 1987, Estimation of Probabilities from Sparse Data for the Language Model Component of a Speech
        Recognizer. [2] Chen and Goodman 1998, TR-10-98; D: Ney, Essen and Kneser 1994.
    """

    def estimate(self, tables: list[Ngrams], words: int) -> list[Estimates]:
        """See `Smoothing`."""
        p, alpha = [np.array([1 / words])], []
        for table in tables:
            c, h, contexts = table.counts, table.contexts, len(p[-1])
            seen = c > 0
            c_h, N = table.sums(c, contexts), table.sums(seen, contexts)
            D = np.where(N < words, self.discount(c), 0)
            shorter = p[-1][table.suffixes]  # P(w | h')
            others = np.where(N < words, 1 - table.sums(shorter * seen, contexts), 0)  # Σ_w P(w | h') of the others
            alpha.append(safe_ratio(safe_ratio(D * N, c_h), others))
            p.append(np.where(seen, (c - D[h]) / np.maximum(c_h, 1)[h], alpha[-1][h] * shorter))
        return in_tables(p[1:], alpha)

    @staticmethod
    def discount(counts: np.ndarray) -> float:
        """D of counts."""
        _, n1, n2, *_ = counts_of_counts(counts)
        return n1 / (n1 + 2 * n2) if n1 and n2 else FALLBACK
