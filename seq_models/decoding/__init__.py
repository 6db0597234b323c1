"""Decoding over a function `step(tokens, states) -> (logits, states)`."""

from seq_models.decoding.generation import generate, greedy
from seq_models.decoding.sampling import sampler

__all__ = ["generate", "greedy", "sampler"]
