"""The ways in which `predict` asks a model: for its answers, or by a flag for something that not every model has."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from seq_models.errors import InputError, options_from_outside

Answer = Mapping[str, Any]


class Way:
    """For the answers of any model.

    Attributes:
        flag: The name of what asks so; "" where nothing needs to.
        needs: The verb that a model must have.
        models: Whose runs have it, in words.

    Args:
        options: Those of the command line.
    """

    flag = ""
    needs = "predict_text"
    models = "any model"

    def __init__(self, options: Namespace):
        self.options = options

    def answers(self, model: Any, texts: Sequence[Any]) -> list[Answer]:
        """An answer to each text."""
        return model.predict_text(texts)

    def line(self, model: Any, answer: Answer) -> str:
        """An answer as text, of several lines where an empty one ends them."""
        return model.line(answer)


class NBest(Way):
    """For the N best answers to each text."""

    flag, needs, models = "n_best", "n_best", "an encoder-decoder or a labeler"

    def answers(self, model: Any, texts: Sequence[Any]) -> list[Answer]:
        given = {} if self.options.beam_width is None else {"beam_width": self.options.beam_width}
        with options_from_outside():
            return model.n_best(texts, self.options.n_best, **given)

    def line(self, model: Any, answer: Answer) -> str:
        return "".join(f"{score:z.4f}\t{text}\n" for score, text in model.ranked(answer))


class Marginals(Way):
    """For the probability of every label of every token."""

    flag, needs, models = "marginals", "predict_marginals", "a labeler"

    def answers(self, model: Any, texts: Sequence[Any]) -> list[Answer]:
        return model.predict_marginals(texts)

    def line(self, model: Any, answer: Answer) -> str:
        lines = []
        for token, row in zip(answer["tokens"], answer["probabilities"], strict=True):
            ranked = sorted(zip(answer["labels"], row, strict=True), key=lambda pair: -pair[1])
            lines.append("\t".join([token, *(f"{label} {p:.4f}" for label, p in ranked)]) + "\n")
        return "".join(lines)


class Explained(Way):
    """For what each token contributes to the answer."""

    flag, needs, models = "explain", "explain", "a classifier or of multi-label"

    def answers(self, model: Any, texts: Sequence[Any]) -> list[Answer]:
        return [each._asdict() for each in model.explain(texts, self.options.explain)]

    def line(self, model: Any, answer: Answer) -> str:
        tokens = zip(answer["tokens"], answer["contributions"], strict=True)
        return f"{answer['label']}\t{answer['score']:.4f}\t" + " ".join(f"{t}/{value:+z.4f}" for t, value in tokens)


WAYS: tuple[type[Way], ...] = (NBest, Marginals, Explained)


def add_ways(parser: ArgumentParser) -> None:
    """Adds the flag of each way."""
    parser.add_argument(
        "--n-best",
        type=int,
        metavar="N",
        help="the N best translations of each text, or ways to label it: a line with score, or log probability, and "
        "translation, or tagged text, for each and one without any",
    )
    parser.add_argument(
        "--marginals",
        action="store_true",
        default=None,
        help="of a labeler: a line for each token, with the probabilities of all labels, and one without any",
    )
    parser.add_argument(
        "--explain",
        choices=("occlusion", "gradient_times_input"),
        help="of a classifier: the most probable label, its probability, and what each token contributes to it: the "
        "probability less that with <unk> in its place (occlusion), or its embedding times the gradient of the logit",
    )


def way_of(model: Any, options: Namespace) -> Way:
    """The way in which flags ask a model of `options.directory`.

    Raises:
        InputError: If they say two ways, or one that the model has not.
    """
    asked = [way for way in WAYS if getattr(options, way.flag) is not None]
    if len(asked) > 1:
        raise InputError(f"Give one of {' or '.join(_name(way) for way in asked)}. Received: all of them")
    way = asked[0] if asked else Way
    if not hasattr(model, way.needs):
        expected = f"the run of {way.models} for {_name(way)}"
        raise InputError(f"{options.directory} must be {expected}. Received: {model.task_name}")
    return way(options)


def _name(way):
    return f"--{way.flag.replace('_', '-')}"
