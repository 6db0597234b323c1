"""The recurrent layers, step by step, as they read one text."""

import tensorflow as tf
from keras import ops

from seq_models.layers import RecurrentCell, engines
from seq_models.training.metrics import mean_over_tokens
from seq_models.training.token_training import TokenTraining
from seq_models.training.watching.forward import examine
from seq_models.training.watching.log import TrainingLog
from seq_models.training.watching.names import named_cells
from seq_models.training.watching.watcher import Watcher


class ThroughTime(Watcher):
    """How much gradient arrives from how far, and how open the gates are, on one text that stays.

    `gradient_by_distance/CELL/d` is the norm of ∂loss/∂z at the step that is read d steps before the last one, for the
    loss of the text's last token and z = W x + U h + b, what enters the activations of a cell; d = 0, 1, 2, 4, 8, …
    It falls quickly where gradients vanish. `gates/CELL/GATE` is the distribution of a gate's activations over all
    steps and units. Both are of recurrent layers; the decoder of an encoder-decoder is none.

    Args:
        log, every, share: See `Watcher`.
        text: (inputs, targets, weights) of one text, without padding.
    """

    def __init__(self, log: TrainingLog, every: int | None, share: float, text: tuple):
        super().__init__(log, every, share)
        self.text, self.through_time = text, tf.function(through_time, autograph=False)

    def prepare(self) -> None:
        self.through_time(self.model, *self.text)

    def look(self, step: int, epoch: int) -> None:
        norms, gates = self.through_time(self.model, *self.text)
        distances = {f"{name}/{d}": n[d] for name, n in norms.items() for d in range(len(n)) if d & (d - 1) == 0}
        self.log.numbers("gradient_by_distance", step, epoch, distances)
        for name, activations in gates.items():
            self.log.histogram(f"gates/{name}", step, activations.numpy())


def through_time(
    model: TokenTraining, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Gradients and gates at each step of one text.

    Args:
        model: A task's model.
        inputs, targets, weights: A batch of one text, without padding.
    Returns:
        (norms, gates): of each cell that reads the text forward ‖∂loss/∂z‖₂, (T,), that of the last step first; and
        activations by CELL/GATE, (T, 1, H).
    """
    with tf.GradientTape() as tape, engines.using(watched := WatchedLoop(tape)):
        losses, _ = examine(model, inputs, targets)
        loss = mean_over_tokens(losses, _last_only(weights))
    projected = watched.projected
    # A cell without a gradient of its own runs step by step, and cannot be watched.
    cells = {name: found for name, found in named_cells(model.network).items() if found[0] in projected}
    gradients = tape.gradient(loss, {name: projected[cell] for name, (cell, forward) in cells.items() if forward})
    norms = {name: tf.norm(dz, axis=(1, 2))[::-1] for name, dz in gradients.items()}
    gates = {
        f"{name}/{gate}": activations
        for name, (cell, _) in cells.items()
        for gate, activations in zip(cell.gate_names, _gates(cell, projected[cell]), strict=False)  # then come others
    }
    return norms, gates


class WatchedLoop(engines.Loop):
    """The loop that keeps W x + b of each cell, (T, B, G), and has it watched by a tape.

    The gradient by it is that by all of z: the recurrence adds U h to it.

    Args:
        tape: A `tf.GradientTape`.
    """

    def __init__(self, tape: tf.GradientTape):
        self.tape = tape
        self.projected: dict[RecurrentCell, tf.Tensor] = {}

    def project(self, run: engines.Run) -> tf.Tensor:
        projected = self.projected[run.cell] = super().project(run)
        self.tape.watch(projected)
        return projected


def _gates(cell, projected):
    """The second part of what a cell's `step` returns, for all steps at once: a list of (T, B, H)."""
    # In the numbers that a call of the layer would cast them to.
    weights = [ops.cast(weight, projected.dtype) for weight in cell.recurrent_weights()]
    first = cell.get_initial_state(ops.shape(projected)[1])

    def step(states, x):
        after, _ = cell.step(x, states, weights)
        return after, after

    _, after = ops.scan(step, first, projected)
    before = [ops.concatenate([f[None], a[:-1]]) for f, a in zip(first, after, strict=True)]
    return cell.step(projected, before, weights)[1]


def _last_only(weights):
    """Weights (B, T) of the last token that has one; those of a whole text, (B,), stay."""
    if weights.shape.rank == 1:
        return weights
    rest = tf.cumsum(weights, axis=1, reverse=True)
    return weights * tf.cast(rest == weights, weights.dtype)
