"""Averaged stochastic gradient descent that a plateau starts: NT-ASGD."""

from typing import Any

import keras
from keras import ops

from seq_models.training.best import Monitor

NEVER = 2**31 - 1  # a step that no training comes to


@keras.saving.register_keras_serializable(package="seq_models")
class AveragedSGD(keras.optimizers.SGD):
    """Gradient descent that keeps the mean of its iterates from a step on [1].

        w_k = w_{k-1} - γ ∇L(w_{k-1})      w̄_k = Σ_{i=T}^k w_i / (k - T + 1)

    Until `start_averaging` sets T, w̄_k = w_k. The average is only kept beside the weights; `finalize_variable_values`
    puts it into them.

    Args:
        learning_rate: γ, a number or a schedule.
        options: Other arguments of `keras.optimizers.SGD`.
    References:
        [1] Polyak and Juditsky 1992; Merity, Keskar and Socher 2017 (arXiv:1708.02182), algorithm 1.
    """

    def __init__(self, learning_rate: Any = 0.01, name: str = "averaged_sgd", **options: Any):
        super().__init__(learning_rate, name=name, **options)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.averages = self.add_optimizer_variables(variables, "average")
        for average, variable in zip(self.averages, variables, strict=True):
            average.assign(variable)  # what is not trained is its own average
        self.averaged_from = self.add_variable((), initializer="zeros", dtype="int32", name="averaged_from")
        self.averaged_from.assign(NEVER)

    def start_averaging(self) -> None:
        """T is the last step."""
        self.averaged_from.assign(self.iterations)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate)
        average = self.averages[self._get_variable_index(variable)]
        k = ops.cast(self.iterations, "int32") + 1
        share = 1 / ops.cast(ops.maximum(k - self.averaged_from + 1, 1), variable.dtype)
        self.assign(average, (1 - share) * average + share * variable)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        for variable, average in zip(var_list, self.averages, strict=True):
            variable.assign(average)


class AverageAfterPlateau(keras.callbacks.Callback):
    """Starts the averaging of `AveragedSGD` in the epoch whose score is worse than the best of those n epochs before.

    The non-monotonic criterion [1]: v_t is worse than the best of v_0 … v_{t-n-1}, as in the program of its authors.

    Args:
        monitor: The score.
        patience: n.
    References:
        [1] Merity, Keskar and Socher 2017 (arXiv:1708.02182), section 4.
    """

    def __init__(self, monitor: Monitor, patience: int):
        super().__init__()
        self.monitor, self.patience = monitor, patience
        self.ranks: list[list[float]] = []
        self.started = False

    def on_epoch_end(self, epoch, logs=None):
        if self.started:
            return
        rank, before = self.monitor.rank(logs), self.ranks[: -self.patience]
        self.ranks = [*self.ranks, rank]
        if before and rank < max(before):
            self.started = True
            optimizer = self.model.optimizer  # one that scales the loss has ours within
            getattr(optimizer, "inner_optimizer", optimizer).start_averaging()
