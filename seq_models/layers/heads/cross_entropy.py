"""-log softmax(logits)[target], with its gradient, of logits that are there as a whole."""

from keras import ops

from seq_models.layers.tensors import Tensor


def cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    """-log softmax(logits)[target] of every token.

    Its gradient is softmax(logits), less one at the target. The softmax is computed once for both; what is left are two
    maxima, a gather and a scatter.

        log Σ_v exp(logits_v) = max_v logits_v - log max_v softmax(logits)_v

    where the last maximum is at least 1/V, so that nothing underflows.

    Args:
        targets: Integers (...).
        logits: Floats (..., V), V static.
    Returns:
        Floats (...).
    """
    V = logits.shape[-1]
    flat = ops.reshape(targets, (-1,))  # (N,)
    rows = ops.arange(ops.shape(flat)[0], dtype="int32")
    at_targets = ops.stack([rows, ops.cast(flat, "int32")], axis=1)  # (N, 2)

    def picked(values):
        return ops.take(ops.reshape(values, (-1,)), at_targets[:, 0] * V + at_targets[:, 1])  # (N, V) -> (N,)

    @ops.custom_gradient
    def losses(logits):
        softmax = ops.softmax(logits)  # (N, V)
        log_sum = ops.max(logits, axis=-1) - ops.log(ops.max(softmax, axis=-1))

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream  # torch hands it over by name, after the logits
            weighted = softmax * upstream[:, None]
            return ops.scatter_update(weighted, at_targets, picked(softmax) * upstream - upstream)

        return log_sum - picked(logits), gradient

    return ops.reshape(losses(ops.reshape(logits, (-1, V))), ops.shape(targets))
