"""Options of n-gram models, and of the text that they read."""

from collections.abc import Callable
from dataclasses import dataclass

from seq_models.baselines.additive import DELTA, Additive
from seq_models.baselines.backoff import Backoff
from seq_models.baselines.kneser_ney import KneserNey
from seq_models.baselines.smoothing import Smoothing
from seq_models.options import Options, option
from seq_models.text.options import VocabularyOptions
from seq_models.text.preprocessors import LanguageModelPreprocessor

SMOOTHINGS: dict[str, Callable[..., Smoothing]] = {
    "kneser_ney": KneserNey,
    "backoff": Backoff,
    "additive": Additive,
}


@dataclass(frozen=True)
class NgramOptions(Options):
    """The options of an n-gram model.

    Raises:
        ValueError: See `Options`; or if `delta` is given for a smoothing that has none.
    """

    order: int = option(5, "n: a word is expected from the n - 1 words before it", at_least=1, below=6)
    smoothing: str = option("kneser_ney", "where n-grams that were not seen have their share from", choices=SMOOTHINGS)
    delta: float | None = option(None, f"what additive adds to every count; {DELTA} if left out", above=0)
    max_memory: float | None = option(
        None,
        "gigabytes that counting may take; what the machine has free if left out",
        operational=True,
        above=0,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.delta is not None and self.smoothing != "additive":
            raise ValueError(
                f"delta must be left out, or else smoothing must be additive. Received: delta={self.delta!r}"
            )

    def make_smoothing(self) -> Smoothing:
        """The smoothing that is asked for."""
        return SMOOTHINGS[self.smoothing](*([] if self.delta is None else [self.delta]))


class NgramPreprocessor(LanguageModelPreprocessor):
    """Texts as `LanguageModelPreprocessor` reads them, but whole ones, and no `<unk>` where a word was read once.

    `min_count=2` counts words that come once as `<unk>`, among contexts and among what is expected.
    """

    options_class = VocabularyOptions
