"""What the kinds of smoothing have in common: tables of the form that n-gram models have been written in since Katz.

    P(w | h) = P(h w)               if h w is in the table
             = B(h) P(w | h')       if not; h' is h without its first word, and B(h) = 1 where h is in no table

Interpolated models have this form, too [1, section 2.8]. P(w | no word at all) = 1 / W for each of the W words of the
vocabulary that a text may hold.

References:
    [1] Chen and Goodman 1998, An Empirical Study of Smoothing Techniques for Language Modeling, TR-10-98.
"""

from typing import NamedTuple, Protocol

import numpy as np

from seq_models.baselines.counts import Ngrams

Discounts = tuple[float, ...]


class Estimates(NamedTuple):
    """Of the n-grams of one length.

    Attributes:
        p: P(h w) of each, floats (M,).
        b: B(h w), each taken as a context of what follows, floats (M,).
    """

    p: np.ndarray
    b: np.ndarray


class Smoothing(Protocol):
    """A kind of smoothing."""

    def estimate(self, tables: list[Ngrams], words: int) -> list[Estimates]:
        """The estimates of n-grams of each length.

        Args:
            tables: The n-grams of each length, as `count_ngrams` gives them.
            words: W, how many words of the vocabulary a text may hold.
        """


def in_tables(p: list[np.ndarray], b: list[np.ndarray]) -> list[Estimates]:
    """P of each length from 1 on, and B of each length from 0 on -> the estimates; B of the longest ones is 1."""
    return [Estimates(*both) for both in zip(p, [*b[1:], np.ones_like(p[-1])], strict=True)]


def counts_of_counts(counts: np.ndarray) -> list[int]:
    """[n_0, n_1, n_2, n_3, n_4]: how many n-grams have each count."""
    return np.bincount(np.minimum(counts, 5), minlength=6)[:5].tolist()


def safe_ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their ratio; 1 where the denominator is 0: B(h) where nothing follows h."""
    return np.divide(numerator, denominator, out=np.ones(len(denominator)), where=denominator > 0)
