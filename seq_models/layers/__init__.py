"""Layers: cells, the recurrence over time, attention, the attention decoder, pooling. They need only `keras`."""

from seq_models.layers.attention import AdditiveAttention, BilinearAttention, DotAttention
from seq_models.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from seq_models.layers.characters import CharacterEncoder
from seq_models.layers.decoder import AttentionDecoder
from seq_models.layers.gradient_flow import GradientFlow, gradient_flow
from seq_models.layers.pooling import LastPooling, MaxPooling, MeanPooling
from seq_models.layers.recurrent import GRU, LSTM, Bidirectional, SimpleRNN
from seq_models.layers.torch_weights import from_torch, to_torch

__all__ = [
    "AdditiveAttention",
    "AttentionDecoder",
    "Bidirectional",
    "BilinearAttention",
    "CharacterEncoder",
    "DotAttention",
    "GRU",
    "GRUCell",
    "GradientFlow",
    "LSTM",
    "LSTMCell",
    "LastPooling",
    "MaxPooling",
    "MeanPooling",
    "SimpleRNN",
    "SimpleRNNCell",
    "from_torch",
    "gradient_flow",
    "to_torch",
]
