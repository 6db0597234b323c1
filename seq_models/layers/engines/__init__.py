"""Engines: each runs a unit over a whole sequence, and one function chooses among them.

A new engine is a class (`Engine`: what it cannot run, and how it runs the rest) and a row in the table of `choice`.
"""

from seq_models.layers.engines.choice import ENGINES, Used, beside_each_other, check_name, choose, facts_of, using
from seq_models.layers.engines.engine import Engine, Facts, Run
from seq_models.layers.engines.loop import ForwardLoop, Halves, Loop, Steps

__all__ = [
    "ENGINES", "Engine", "Facts", "ForwardLoop", "Halves", "Loop", "Run", "Steps", "Used", "beside_each_other",
    "check_name", "choose", "facts_of", "using",
]  # fmt: skip
