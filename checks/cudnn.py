"""Compares cuDNN with the loop on a GPU: outputs, states and gradients of LSTM and GRU.

    KERAS_BACKEND=tensorflow|jax python checks/cudnn.py [--tolerance E]

Masks of every kind (padded at the end, anywhere, whole rows), both directions, zeros on padding, dropout; float32
without TF32, and float16 on TensorFlow. Prints the largest relative error of each case, and exits with 1 if one is
above the tolerance or if cuDNN did not run.
"""

import argparse
import itertools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402  the variable is read when TensorFlow is imported
import numpy as np  # noqa: E402

from seq_models import layers  # noqa: E402

B, T, D, H = 17, 23, 11, 13
BACKEND = keras.backend.backend()
OPTIONS = ({}, {"go_backwards": True}, {"zero_output_for_mask": True}, {"dropout": 0.5, "seed": 1})
WHOLE = {"return_sequences": True, "return_state": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="in float32; 100 times as much in float16")
    options = parser.parse_args()
    exact_products()
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, T + 1, B)
    masks = {"no mask": None}
    if BACKEND == "tensorflow":
        masks["end"] = np.arange(T) < lengths[:, None]
        masks["anywhere"] = draw.random((B, T)) < 0.6
        masks["empty row"] = masks["end"] & (np.arange(B) != 3)[:, None]
    dtypes = ("float32", "mixed_float16") if BACKEND == "tensorflow" else ("float32",)
    wrong = 0
    kinds = ("LSTM", "GRU") if BACKEND == "tensorflow" else ("LSTM",)
    for kind, dtype, (name, mask), others in itertools.product(kinds, dtypes, masks.items(), OPTIONS):
        error, used = compare(getattr(layers, kind), dtype, mask, others, draw)
        bound = options.tolerance * (100 if dtype == "mixed_float16" else 1)
        right = error < bound and used == "cudnn"
        wrong += not right
        print(f"{kind:5}{dtype:15}{name:10}{others!s:32}{error:.1e} {used} {'' if right else 'WRONG'}")
    print(f"{wrong} wrong")
    sys.exit(bool(wrong))


def exact_products():
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "float32")
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)


def compare(layer_class, dtype, mask, others, draw):
    """The largest relative error of outputs, states and gradients, and the engine of the first layer."""
    fast, loop = (layer_class(H, engine=e, dtype=dtype, **others, **WHOLE) for e in ("cudnn", "loop"))
    for layer in (fast, loop):
        layer.build((B, T, D))
    fast.set_weights([draw.normal(size=w.shape, scale=0.3).astype("float32") for w in fast.get_weights()])
    loop.set_weights(fast.get_weights())
    x = draw.normal(size=(B, T, D)).astype("float32")
    states = [draw.normal(size=(B, H)).astype("float32") for _ in range(2 if layer_class is layers.LSTM else 1)]
    measure = of_tensorflow if BACKEND == "tensorflow" else of_jax
    got, expected = (measure(layer, x, states, mask) for layer in (fast, loop))
    errors = [np.abs(g - e).max() / max(np.abs(e).max(), 1e-6) for g, e in zip(got, expected, strict=True)]
    return max(errors), fast.engine_used.name


def of_tensorflow(layer, x, states, mask):
    import tensorflow as tf

    variables = [variable.value for variable in layer.trainable_variables]

    @tf.function
    def run(x, states):
        with tf.GradientTape() as tape:
            tape.watch([x, states])
            outputs = layer(x, initial_state=states, mask=mask, training=True)
            loss = tf.add_n([tf.reduce_sum(tf.cast(tf.sin(y), "float32")) for y in outputs])
        return [*outputs, *tape.gradient(loss, [x, *states, *variables])]

    cast = [tf.constant(state, layer.compute_dtype) for state in states]
    return [np.asarray(y, "float32") for y in run(tf.constant(x, layer.compute_dtype), cast)]


def of_jax(layer, x, states, mask):
    import jax

    variables = [variable.value for variable in layer.trainable_variables]

    def loss(x, states, variables):
        arguments = {"initial_state": list(states), "mask": mask, "training": True}
        outputs, _ = layer.stateless_call(variables, layer.non_trainable_variables, x, **arguments)
        return sum(jax.numpy.sin(y).sum() for y in outputs), outputs

    gradients, outputs = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(x, states, variables)
    return [np.asarray(y) for y in jax.tree.leaves((outputs, gradients))]


if __name__ == "__main__":
    main()
