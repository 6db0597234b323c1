"""The four tasks and what varies one: a network, its text, its loss and its scores. Strings in, strings out."""

from seq_models.tasks.encoder_decoder import EncoderDecoder
from seq_models.tasks.language_model import LanguageModel
from seq_models.tasks.multi_label_classifier import MultiLabelClassifier
from seq_models.tasks.sequence_classifier import SequenceClassifier
from seq_models.tasks.sequence_labeler import SequenceLabeler

TASKS = {task.task_name: task for task in (LanguageModel, SequenceLabeler, SequenceClassifier, EncoderDecoder)}
VARIANTS = {task.task_name: task for task in (MultiLabelClassifier,)}  # whose examples no built-in corpus has

__all__ = [
    "EncoderDecoder",
    "LanguageModel",
    "MultiLabelClassifier",
    "SequenceClassifier",
    "SequenceLabeler",
    "TASKS",
    "VARIANTS",
]
