"""What the command line, the export and the development of a model ask of it, whatever it computes with."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from seq_models.tasks.signature import Signature


@runtime_checkable
class TextModel(Protocol):
    """A model with strings in and strings out. The four tasks fulfil it; a model without gradients can too.

    Attributes:
        task_name: What the command line calls its task.
        sample_texts: Texts to try an export with.
        weights: The variables that an export takes with it; each has a `value`.
        preprocessor: The `Preprocessor` of its texts; its `vocabularies()` become the assets of an export.
    """

    task_name: str
    sample_texts: Sequence[str]
    weights: Sequence[Any]
    preprocessor: Any

    def predict_text(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """An answer to each text, a dictionary of plain values."""

    def line(self, answer: Mapping[str, Any]) -> str:
        """An answer as one line of text."""

    def score(self, examples: Iterable[Any]) -> dict[str, float | str]:
        """The scores of the task's field on examples; a string says how a score was computed."""

    def samples(self, examples: Sequence[Any]) -> list[dict[str, str]]:
        """Examples beside the model's answers, to show."""

    def signatures(self) -> dict[str, Signature]:
        """What an export answers to, by name."""

    def vocabularies(self) -> dict[str, list[str]]:
        """The vocabularies and labels by name."""

    def in_float64(self) -> "TextModel":
        """A model with the same weights that calculates with float64."""

    def save_run(self, directory: str | Path) -> None:
        """Saves the model as a run directory."""
