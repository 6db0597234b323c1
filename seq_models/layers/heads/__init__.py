"""Heads: from the last hidden states h of a network to logits, and from h and the targets to losses and predictions.

Everything that asks how wrong or how sure a model is (training, validation, scores, answers, exports) asks its head:

    head(hidden)                    logits
    head.compare(hidden, targets)   losses and predictions, a number each for every target
    head.predict(hidden)            predictions alone
    head.probabilities(hidden)      P(y = k | h)
    head.log_probability(hidden, targets)   log P(y | h), whatever the loss is
    head.abstains(confidence)       whether it gives no answer of such a probability

A head sees hidden states and not logits, so that it may go through them in pieces. Shapes: hidden (..., H), targets and
what is said of each (...). A head over whole sentences (`LegalHead`, `CRFHead`) takes a pair in place of hidden states:
these, and the mask of the tokens that have a target. Targets and predictions of `SigmoidHead` are those of all labels
(..., K).
"""

from seq_models.layers.heads.adaptive import AdaptiveSoftmaxHead
from seq_models.layers.heads.chain import CRFHead, LegalHead
from seq_models.layers.heads.cross_entropy import cross_entropy
from seq_models.layers.heads.sampled import SampledSoftmaxHead, TiedSampledSoftmaxHead
from seq_models.layers.heads.sigmoid import SigmoidHead
from seq_models.layers.heads.softmax import SoftmaxHead, TiedSoftmaxHead

__all__ = [
    "AdaptiveSoftmaxHead",
    "CRFHead",
    "LegalHead",
    "SampledSoftmaxHead",
    "SigmoidHead",
    "SoftmaxHead",
    "TiedSampledSoftmaxHead",
    "TiedSoftmaxHead",
    "cross_entropy",
]
