"""The four networks: token ids in, logits out. They need only `keras`; `seq_models.tasks` adds the text."""

from seq_models.networks.encoder_decoder import EncoderDecoder
from seq_models.networks.language_model import LanguageModel
from seq_models.networks.network import Network, NetworkOptions
from seq_models.networks.sequence_classifier import MultiLabelClassifier, SequenceClassifier
from seq_models.networks.sequence_labeler import SequenceLabeler

__all__ = [
    "EncoderDecoder",
    "LanguageModel",
    "MultiLabelClassifier",
    "Network",
    "NetworkOptions",
    "SequenceClassifier",
    "SequenceLabeler",
]
