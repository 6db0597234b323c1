"""How the answers of an encoder-decoder are searched for."""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import tensorflow as tf

from seq_models import decoding
from seq_models.options import Options, option
from seq_models.tasks.text_writer import CONTROL
from seq_models.text.vocabulary import END, START, UNKNOWN

WIDEST = 16  # beams of an export
RANKING = ("length_penalty", "length_alpha", "coverage_penalty")  # options by which whole texts are ranked


@dataclass(frozen=True)
class SearchOptions(Options):
    """How answers are searched for. A run keeps them; they have no part in its training.

    Raises:
        ValueError: See `Options`; or if one beam is to be ranked.
    """

    beam_width: int = option(1, "beginnings of an answer that are followed at each step; 1 is greedy", at_least=1)
    length_penalty: str = option(
        "gnmt",
        "what the log probability of n tokens is divided by: gnmt ((5 + n) / 6)^alpha, or average n^alpha",
        choices=decoding.LENGTH_PENALTIES,
    )
    length_alpha: float = option(0.6, "alpha of the length penalty; 0 for none", at_least=0)
    coverage_penalty: float = option(
        0.0, "beta of the penalty for source words that get little attention [Wu 2016]; 0 for none", at_least=0
    )
    min_length: int = option(0, "tokens of an answer at least, its end included", at_least=0)
    no_repeat_ngram: int = option(
        0, "so many tokens in a row do not come twice in an answer; 0 if they may", at_least=0
    )
    replace_unknown: bool = option(
        False, "unknown words may be written: for each stands the source word with most attention [Luong 2015]"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.beam_width == 1:  # the most probable token is taken at each step, whatever the text is worth
            for item in fields(self):
                value = getattr(self, item.name)
                if item.name in RANKING and value != item.default:
                    raise ValueError(f"{item.name} needs beam_width above 1. Received: {item.name}={value!r}")

    @property
    def penalty(self) -> decoding.Penalty:
        """The length penalty."""
        return decoding.LENGTH_PENALTIES[self.length_penalty](self.length_alpha)

    @property
    def changes(self) -> decoding.Changes | None:
        """What takes tokens away from a search, if anything does."""
        found = [decoding.min_length(tf.constant([self.min_length]), END)] if self.min_length else []
        found += [decoding.no_repeat_ngram(self.no_repeat_ngram)] if self.no_repeat_ngram else []
        return (lambda of: found) if found else None  # noqa: ARG005


class Wanted(NamedTuple):
    """What is asked of a search, for all texts alike.

    Attributes:
        search: How it is done.
        best: How many answers to each text.
        max_length: The largest number of tokens of an answer, the end included.
        forbidden: Ids that no answer has.
    """

    search: SearchOptions
    best: int
    max_length: int
    forbidden: tuple[int, ...] = ()

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is taken at each step, whatever comes of it."""
        options = self.search
        asked = options.coverage_penalty, options.replace_unknown, options.changes, self.forbidden
        return options.beam_width == 1 and not any(asked)


def search(network: Any, source: tf.Tensor, wanted: Wanted, prefix: tf.Tensor | None = None) -> decoding.Hypotheses:
    """The best answers of a network to source ids (B, S); see `decoding.beam_search`.

    A source of no words has no answer but the empty one, unless there is a prefix, ids (B, P), 0 beyond a row's.
    """
    options = wanted.search
    states = network.start(source)
    first, states = network.step(tf.fill([tf.shape(source)[0]], START), states)
    is_end = tf.range(first.shape[-1]) == END
    empty = tf.equal(source[:, 0], END) if prefix is None else tf.equal(source[:, 0], END) & tf.equal(prefix[:, 0], 0)
    first = tf.where(empty[:, None] & ~is_end, tf.constant(decoding.LOW, first.dtype), first)
    if wanted.is_greedy and prefix is None:
        return _greedy(network, first, states, wanted)
    control = [token for token in CONTROL if token != UNKNOWN] if options.replace_unknown else CONTROL
    attention = None
    if options.coverage_penalty or options.replace_unknown:
        attention = decoding.Attention(_attention_to_words, words(states["source"]["mask"]), options.coverage_penalty)
    return decoding.beam_search(
        network.step,
        first,
        states,
        END,
        wanted.max_length,
        options.beam_width,
        wanted.best,
        options.penalty,
        (*control, *wanted.forbidden),
        options.changes,
        prefix,
        attention,
    )


def _greedy(network, first, states, wanted):
    """As a search with one beam, a fifth faster: one beam takes no choosing among beams."""
    tokens, lengths, log_p = decoding.generate(
        network.step, decoding.greedy, first, states, END, wanted.max_length, CONTROL
    )
    scores = log_p / wanted.search.penalty(tf.cast(lengths, log_p.dtype))
    return decoding.Hypotheses(*(each[:, None] for each in (tokens, lengths, log_p, scores)), None)


def words(mask: tf.Tensor) -> tf.Tensor:
    """Of a mask of source steps (B, S) those that are words, which the end is not."""
    return tf.pad(mask[:, 1:], [[0, 0], [0, 1]])


def _attention_to_words(states):
    return tf.where(words(states["source"]["mask"]), states["attention"], 0)
