"""The CRF equals the enumeration of all ways to tag a row, and its gradient their finite differences."""

import numpy as np
import pytest
import reference_crf
from keras import ops
from measuring import array, assert_close, evaluate

from seq_models.layers.crf import Chain
from seq_models.layers.heads import CRFHead, LegalHead
from seq_models.layers.heads.pieces import NEVER

T, L = 4, 3
MASK = np.array([[1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1], [1] * 4, [0, 0, 1, 0], [0] * 4], bool)
B = len(MASK)


def scores():
    """Logits (B, T, L) and transitions (L + 1, L + 1)."""
    logits, transitions = 1.5 * np.random.normal(size=(B, T, L)), 1.5 * np.random.normal(size=(L + 1, L + 1))
    transitions[[0, L, 0], [1, 2, L]] = NEVER
    return logits.astype("float32"), transitions.astype("float32")


def on_tokens(mask, y):
    tags = np.zeros(T, int)
    tags[np.flatnonzero(mask)] = y
    return tags


def test_marginals_viterbi_and_n_best_are_those_of_the_enumeration():
    logits, transitions = scores()
    ours = Chain(*map(ops.convert_to_tensor, (logits, transitions, MASK)))
    tags, found = map(array, ours.n_best(4))
    for row, mask in enumerate(MASK):
        all_ways, log_p = reference_crf.ways(logits[row].astype("float64"), transitions.astype("float64"), mask)
        legal = min(4, np.count_nonzero(log_p > NEVER / 2))
        assert_close(ours.marginals()[row], reference_crf.marginals(logits[row], transitions, mask))
        np.testing.assert_array_equal(array(ours.viterbi())[row], on_tokens(mask, all_ways[0]))
        np.testing.assert_array_equal(tags[row, :legal], [on_tokens(mask, y) for y in all_ways[:legal]])
        np.testing.assert_allclose(found[row, :legal], log_p[:legal], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found[row, legal:], -np.inf)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
def test_the_log_likelihood_and_its_gradient_are_those_of_the_enumeration(compiled):
    logits, transitions = scores()
    chosen = [
        reference_crf.ways(row, transitions, mask)[0][int(mask.sum() > 1)]  # the second best way, where there is one
        for row, mask in zip(logits, MASK, strict=True)
    ]
    tags = np.array(list(map(on_tokens, MASK, chosen)))

    def ours(logits, transitions):
        return ops.sum(Chain(logits, transitions, ops.convert_to_tensor(MASK)).log_likelihood(tags))

    def expected(transitions):
        rows = zip(wide, MASK, chosen, strict=True)
        return sum(reference_crf.log_likelihood(row, transitions, mask, y).sum() for row, mask, y in rows)

    measured = evaluate(ours, [logits, transitions], [], compiled)
    wide, transitions = logits.astype("float64"), transitions.astype("float64")
    assert measured["output 0"] == pytest.approx(expected(transitions), abs=1e-4)
    observed = np.eye(L)[tags] * MASK[..., None]
    marginals = [reference_crf.marginals(row, transitions, mask) for row, mask in zip(wide, MASK, strict=True)]
    np.testing.assert_allclose(measured["gradient of input 0"], observed - marginals, atol=1e-5)
    for place in np.ndindex(L + 1, L + 1):
        step = np.zeros_like(transitions)
        step[place] = 1e-5
        slope = (expected(transitions + step) - expected(transitions - step)) / 2e-5
        assert measured["gradient of input 1"][place] == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("head_class", [LegalHead, CRFHead])
def test_a_head_predicts_legal_tags_and_has_a_gradient_for_each_weight(head_class):
    legal = np.ones((L + 1, L + 1), int)
    legal[0, 1] = 0
    head = head_class(L, legal.tolist())
    hidden, mask = 5 * np.random.normal(size=(B, T, 6)).astype("float32"), np.ones((B, T), bool)
    head.build([hidden.shape, mask.shape])
    predicted = array(head.predict((hidden, mask)))
    assert (0, 1) not in set(zip(predicted[:, :-1].ravel(), predicted[:, 1:].ravel(), strict=True))
    measured = evaluate(lambda h: head.compare((h, mask), predicted)[0], [hidden], head.trainable_variables)
    gradients = [value for name, value in measured.items() if name.startswith("gradient")]
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in gradients)
