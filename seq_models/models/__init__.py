"""The four networks: token ids in, logits out. They need only `keras`; `seq_models.tasks` adds the text."""

from seq_models.models.encoder_decoder import EncoderDecoder
from seq_models.models.language_model import LanguageModel
from seq_models.models.sequence_classifier import SequenceClassifier
from seq_models.models.sequence_labeler import SequenceLabeler

__all__ = ["EncoderDecoder", "LanguageModel", "SequenceClassifier", "SequenceLabeler"]
