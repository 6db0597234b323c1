"""The average of the weights over the steps of a training."""

import keras


class AverageBetweenEpochs(keras.callbacks.Callback):
    """Between two epochs the model holds the moving average of its weights [1]: it is validated and saved with it.

    Training goes on with the weights themselves, exactly: `keras.callbacks.SwapEMAWeights` loses digits of them, for it
    swaps by addition, and leaves them in the model if training stops early. The average is that of the optimizer, which
    was made with `use_ema`; after `fit` it stays in the model. To come before the callbacks that save a model.

    References:
        [1] Polyak and Juditsky 1992.
    """

    def __init__(self):
        super().__init__()
        self.aside = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.aside is not None:
            for variable, value in zip(self.model.trainable_variables, self.aside, strict=True):
                variable.assign(value)
        self.aside = None

    def on_test_begin(self, logs=None):
        self._put_aside()

    def on_epoch_end(self, epoch, logs=None):
        self._put_aside()

    def _put_aside(self):
        if self.aside is None:
            variables = self.model.trainable_variables
            self.aside = [variable.numpy() for variable in variables]
            self.model.optimizer.finalize_variable_values(variables)
