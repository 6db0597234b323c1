"""The four tasks: a network, its text, its loss and its scores. Strings in, strings out."""

from pathlib import Path

from seq_models.tasks.encoder_decoder import EncoderDecoder
from seq_models.tasks.language_model import LanguageModel
from seq_models.tasks.sequence_classifier import SequenceClassifier
from seq_models.tasks.sequence_labeler import SequenceLabeler
from seq_models.tasks.text_model import TextModel
from seq_models.training.run_directory import RunDirectory

TASKS = {task.task_name: task for task in (LanguageModel, SequenceLabeler, SequenceClassifier, EncoderDecoder)}

__all__ = ["EncoderDecoder", "LanguageModel", "SequenceClassifier", "SequenceLabeler", "TASKS", "load_run"]


def load_run(directory: str | Path) -> TextModel:
    """The best model of a run directory, of whichever task.

    Raises:
        InputError: If there is none, or its vocabulary is not the one in the directory.
    """
    return RunDirectory(directory).load_model()
