"""Layers: units and the engines that run them over time, attention, the attention decoder, pooling."""

from seq_models.layers.attention import AdditiveAttention, BilinearAttention, DotAttention, ScaledDotAttention
from seq_models.layers.characters import CharacterEncoder
from seq_models.layers.coverage import CoverageDecoder
from seq_models.layers.decoder import AttentionDecoder
from seq_models.layers.gradient_flow import GradientFlow, gradient_flow
from seq_models.layers.gru import GRU, GRUCell
from seq_models.layers.heads import (
    AdaptiveSoftmaxHead,
    CRFHead,
    LegalHead,
    SampledSoftmaxHead,
    SigmoidHead,
    SoftmaxHead,
    TiedSampledSoftmaxHead,
    TiedSoftmaxHead,
)
from seq_models.layers.input_feeding import InputFeedingDecoder
from seq_models.layers.lstm import LSTM, LSTMCell
from seq_models.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from seq_models.layers.readouts import GivenReadout, LinearReadout, LuongReadout, MaxoutReadout
from seq_models.layers.recurrent import Bidirectional, GatedRecurrent, Recurrent
from seq_models.layers.recurrent_cell import GatedCell, RecurrentCell
from seq_models.layers.recurrent_decoder import ContextDecoder, RecurrentDecoder
from seq_models.layers.simple_rnn import SimpleRNN, SimpleRNNCell
from seq_models.layers.torch_weights import from_torch, to_torch
from seq_models.layers.units import UNITS
from seq_models.layers.word_features import FeatureEncoder

__all__ = [
    "AdaptiveSoftmaxHead", "AdditiveAttention", "AttentionDecoder", "AttentionPooling", "Bidirectional",
    "BilinearAttention", "CRFHead", "CharacterEncoder", "ContextDecoder", "CoverageDecoder", "DotAttention",
    "FeatureEncoder", "GRU", "GRUCell", "GatedCell", "GatedRecurrent", "GivenReadout", "GradientFlow",
    "InputFeedingDecoder", "LSTM", "LSTMCell", "LastPooling", "LegalHead", "LinearReadout", "LuongReadout",
    "MaxPooling", "MaxoutReadout", "MeanPooling", "Recurrent", "RecurrentCell", "RecurrentDecoder",
    "SampledSoftmaxHead", "ScaledDotAttention", "SigmoidHead", "SimpleRNN", "SimpleRNNCell", "SoftmaxHead",
    "TiedSampledSoftmaxHead", "TiedSoftmaxHead", "UNITS", "from_torch", "gradient_flow", "to_torch",
]  # fmt: skip
