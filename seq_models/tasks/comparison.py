"""Two models on the same examples: how much better one is, and how sure that is, by paired bootstrap."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import bootstrap

from seq_models.errors import InputError
from seq_models.messages import say
from seq_models.tasks.judging import Judged, judge
from seq_models.tasks.translation_scores import bleu_of, bleu_statistics
from seq_models.text.codec import chunked
from seq_models.text.counting import check_examples
from seq_models.text.entities import entities_by_row, has_entities
from seq_models.text.example_types import LabeledTokens, Sentence, SeveralLabels, TextPair
from seq_models.text.given import Given

PLACES = 2_000_000  # numbers of examples drawn at once: 16 MB
FEWEST, MOST = 100, 1_000_000  # samples
FEW = 20  # examples, of which fewer are no picture of all there are
READING = ("tokenizer", "vocabulary", "lowercase", "normalization")  # of a codec: what makes tokens of a text


class Comparison(NamedTuple):
    """What a comparison finds.

    Attributes:
        measure: The name of the score.
        one, other: The scores of the two models.
        difference: one - other.
        low, high: Its 95 % interval.
        p: How often samples of examples contradict the sign of the difference, twice: two-sided.
        examples: Their number.
    """

    measure: str
    one: float
    other: float
    difference: float
    low: float
    high: float
    p: float
    examples: int

    @property
    def lower_is_better(self) -> bool:
        """Whether the better model has the lower score."""
        return self.measure == Perplexity.name


class Accuracy:
    """The share of right labels, of weighted examples by weight."""

    name = "accuracy"

    def of(self, model: Any, examples: Iterable[Any]) -> np.ndarray:
        """What each example adds to the sums that the score is made of, (N, K), in an order that no model changes."""
        return np.concatenate(list(map(self.numbers, chunked(judge(model, examples)))))

    def numbers(self, some: Sequence[Judged]) -> np.ndarray:
        """`of` some examples."""
        counts = [[sum(map(str.__eq__, each.expected, each.predicted)), len(each.expected)] for each in some]
        return np.array(counts, float) * _weights(some)

    def score(self, sums: np.ndarray) -> np.ndarray:
        """Of sums (..., K) the scores (...), 0 where nothing counts."""
        return sums[..., 0] / np.maximum(sums[..., 1], np.finfo(float).tiny)


class EntityF1(Accuracy):
    """F1 of entities: 2 · both / (there + predicted), of weighted examples by weight."""

    name = "entity_f1"

    def numbers(self, some: Sequence[Judged]) -> np.ndarray:
        return entities_by_row([each.expected for each in some], [each.predicted for each in some]) * _weights(some)

    def score(self, sums: np.ndarray) -> np.ndarray:
        return 2 * sums[..., 2] / np.maximum(sums[..., 0] + sums[..., 1], np.finfo(float).tiny)


class MicroF1(Accuracy):
    """F1 of the labels of texts that have any number, 2 · both / (there + predicted), by the weights of texts."""

    name = "micro_f1"

    def numbers(self, some: Sequence[Judged]) -> np.ndarray:
        counts = [
            [2 * sum(map(str.__eq__, each.expected, each.predicted)), sum(map(bool, (*each.expected, *each.predicted)))]
            for each in some
        ]
        return np.array(counts, float) * _weights(some)


class Perplexity(Accuracy):
    """exp of the mean loss of a token, ends of texts included; each text is read by itself."""

    name = "perplexity"

    def numbers(self, some: Sequence[Judged]) -> np.ndarray:
        tokens = np.array([each.length + 1 for each in some], float)
        return np.stack([tokens * [each.loss for each in some], tokens], axis=1) * _weights(some)

    def score(self, sums: np.ndarray) -> np.ndarray:
        return np.exp(super().score(sums))


class Bleu:
    """BLEU of a corpus as sacrebleu computes it, of answers that are searched for as each model does; see
    `translation_scores`."""

    name = "bleu"

    def of(self, model: Any, examples: Iterable[Any]) -> np.ndarray:
        """See `Accuracy`."""
        sources, targets = zip(*(pair[:2] for pair in Given(examples, model.preprocessor.example_type)), strict=True)
        return bleu_statistics([answer["translation"] for answer in model.predict_text(list(sources))], targets)

    def score(self, sums: np.ndarray) -> np.ndarray:
        """See `Accuracy`."""
        return np.apply_along_axis(bleu_of, -1, sums)


def compare(one: Any, other: Any, examples: Iterable[Any], resamples: int = 1000, seed: int = 1) -> Comparison:
    """Compares two models of one kind: accuracy of labels, F1 of entities, perplexity of texts, BLEU of translations.

    Many samples of as many examples, drawn with replacement, the same for both models, say how the difference of their
    scores is distributed [1, 2].

    Args:
        one, other: The models.
        examples: An iterable of examples that can be read more than once.
        resamples: How many samples are drawn, 100 to 1,000,000: p is 2 / (resamples + 1) at least.
        seed: Of the samples, an integer of 0 or more.
    Raises:
        InputError: If the models answer to different examples or, of language models, do not make the same tokens of a
            text; if there are fewer than two examples; or if an argument is not of the kind above.
    References:
        [1] Efron and Tibshirani 1993, An Introduction to the Bootstrap. [2] Koehn 2004, Statistical Significance Tests
        for Machine Translation Evaluation.
    """
    for name, number, least, most in (("resamples", resamples, FEWEST, MOST), ("seed", seed, 0, 2**32 - 1)):
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise InputError(f"{name} must be an integer from {least} to {most:,}. Received: {name}={number!r}")
    measure = _measure(one, other)
    for model in (one, other):
        check_examples(model.preprocessor, examples)
    numbers = [measure.of(model, examples) for model in (one, other)]
    if len(numbers[0]) < 2:
        raise InputError(f"examples must be at least two. Received: {len(numbers[0])}")
    if len(numbers[0]) < FEW:
        say(f"{len(numbers[0])} examples are few: with fewer than {FEW} the interval is too narrow and p too small.")

    def difference(places, axis):
        first, second = (measure.score(each[places].sum(axis=axis - 1)) for each in numbers)  # before the last, K
        return first - second

    size = len(numbers[0])
    drawn = {"n_resamples": resamples, "batch": max(1, PLACES // numbers[0].size), "rng": np.random.default_rng(seed)}
    found = bootstrap((np.arange(size),), difference, vectorized=True, method="percentile", **drawn)
    first, second = (float(measure.score(each.sum(axis=0))) for each in numbers)
    against = min(int(np.sum(found.bootstrap_distribution * sign <= 0)) for sign in (1, -1))
    p = min(1.0, 2 * (against + 1) / (resamples + 1))
    low, high = map(float, found.confidence_interval)
    return Comparison(measure.name, first, second, first - second, low, high, p, size)


def _measure(one, other):
    """What two models are compared by."""
    kinds = [type(model.preprocessor.example_type) for model in (one, other)]
    if kinds[0] is not kinds[1]:
        received = f"{one.task_name} and {other.task_name}"
        raise InputError(f"The models must be of one task. Received: {received}")
    if kinds[0] is TextPair:
        return Bleu()
    if kinds[0] is Sentence:
        reading = [{name: model.preprocessor.codec.get_config()[name] for name in READING} for model in (one, other)]
        differing = [name for name in READING if reading[0][name] != reading[1][name]]
        if differing:
            raise InputError(
                "Language models must make the same tokens of a text, or their perplexities are not of one scale. "
                f"Received: another {' and '.join(differing)}"
            )
        return Perplexity()
    if kinds[0] is SeveralLabels:
        return MicroF1()
    both = all(has_entities(model.preprocessor.labels.names) for model in (one, other))
    return EntityF1() if kinds[0] is LabeledTokens and both else Accuracy()


def _weights(some):
    """(N, 1)"""
    return np.array([[each.weight] for each in some])
