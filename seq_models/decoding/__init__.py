"""Reading and writing over the state protocol of the networks that write, see `seq_models.decoding.generation`."""

from seq_models.decoding.beam import (
    LENGTH_PENALTIES,
    Attention,
    Changes,
    Hypotheses,
    Penalty,
    average,
    beam_search,
    gnmt,
)
from seq_models.decoding.generation import forbid, generate
from seq_models.decoding.packing import packed, unpacked
from seq_models.decoding.reading import log_probabilities, read_prompts
from seq_models.decoding.sampling import (
    LOW,
    Change,
    greedy,
    min_length,
    no_repeat_ngram,
    repetition_penalty,
    sampler,
    temperature,
    top_k,
    top_p,
)

__all__ = [
    "LENGTH_PENALTIES",
    "LOW",
    "Attention",
    "Change",
    "Changes",
    "Hypotheses",
    "Penalty",
    "average",
    "beam_search",
    "forbid",
    "generate",
    "gnmt",
    "greedy",
    "log_probabilities",
    "min_length",
    "no_repeat_ngram",
    "packed",
    "read_prompts",
    "repetition_penalty",
    "sampler",
    "temperature",
    "top_k",
    "top_p",
    "unpacked",
]
