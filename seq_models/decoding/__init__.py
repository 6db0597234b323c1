"""Decoding over the state protocol of the networks that write, see `seq_models.decoding.generation`."""

from seq_models.decoding.generation import forbid, generate, greedy, read_prompts
from seq_models.decoding.sampling import sampler

__all__ = ["forbid", "generate", "greedy", "read_prompts", "sampler"]
