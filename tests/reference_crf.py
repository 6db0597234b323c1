"""A linear-chain CRF by enumeration of all ways to tag a row, in float64 NumPy.

Nothing of this project and nothing of Keras is imported here. A row has logits (T, L) and a mask (T,); each run of real
tokens is a sentence. Transitions (L + 1, L + 1) have start as their last row and end as their last column.
"""

import itertools

import numpy as np


def sentences(mask):
    """The places of each run of real tokens."""
    places = np.flatnonzero(mask)
    return [run.tolist() for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]


def score(logits, transitions, mask, y):
    """Of the tags y of the real tokens of a row, one after the other."""
    total, y = 0.0, dict(zip(np.flatnonzero(mask).tolist(), y, strict=True))
    for places in sentences(mask):
        tags = [y[place] for place in places]
        total += transitions[-1, tags[0]] + transitions[tags[-1], -1]
        total += sum(logits[place, tag] for place, tag in zip(places, tags, strict=True))
        total += sum(transitions[pair] for pair in itertools.pairwise(tags))
    return total


def ways(logits, transitions, mask):
    """All ways to tag a row, the most probable one first: a list of tags, tuples, and of their log P."""
    all_ways = list(itertools.product(range(logits.shape[1]), repeat=int(np.sum(mask))))
    scores = np.array([score(logits, transitions, mask, y) for y in all_ways])
    log_p = scores - np.logaddexp.reduce(scores)
    order = np.argsort(-log_p, kind="stable")
    return [all_ways[k] for k in order], log_p[order]


def marginals(logits, transitions, mask):
    """P(y_t = k | x), (T, L), 0 on padding."""
    found = np.zeros(logits.shape)
    for y, log_p in zip(*ways(logits, transitions, mask), strict=True):
        found[np.flatnonzero(mask), y] += np.exp(log_p)
    return found


def log_likelihood(logits, transitions, mask, y):
    """log P(y_t | y_1 … y_{t-1}, x) of each real token."""
    all_ways, log_p = ways(logits, transitions, mask)
    begins = [
        np.logaddexp.reduce([p for way, p in zip(all_ways, log_p, strict=True) if way[:t] == tuple(y[:t])])
        for t in range(len(y) + 1)
    ]
    return np.diff(begins)


def log_partition(logits, transitions):
    """log Σ_y exp score(y | x) of a row without padding, by the textbook's recursion forward in time."""
    alpha = transitions[-1, :-1] + logits[0]
    for emission in logits[1:]:
        alpha = emission + np.logaddexp.reduce(alpha[:, None] + transitions[:-1, :-1], axis=0)
    return np.logaddexp.reduce(alpha + transitions[:-1, -1])
