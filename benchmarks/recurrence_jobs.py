"""The same recurrence over a whole sequence in every library: jobs of `recurrence.py`.

A library is "fused" or "loop" (ours: the compiled kernels, or what is left without a compiler), "keras", "keras-xla",
"torch" or "onnx" (ONNX Runtime, inference only). All have the same weights, packed as Keras does, and the same inputs.
"""

import functools

import interleaved
import numpy as np

CELLS = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}  # gates
MODES = ("inference", "training")


def serve(library):
    """Answers "prepare" with sums of what the job gives, and "time" with the seconds of one call."""
    jobs = {}

    def answer(what, *arguments):
        if what == "time":
            return interleaved.seconds_of(jobs[arguments[0]]) if arguments[0] in jobs else None
        jobs.clear()
        jobs.update(prepare(library, *arguments))
        return {mode: float(job(check=True)) for mode, job in jobs.items()}

    return answer


def prepare(library, cell, directions, shape, padded):
    """The jobs of one case: mode -> function."""
    B, T, D, H = shape
    random = np.random.default_rng(1)

    def normal(*shape, scale=1.0):
        return (scale * random.normal(size=shape)).astype("float32")

    G = CELLS[cell] * H
    bias = (2, G) if cell == "GRU" else (G,)
    x, upstream = normal(B, T, D), normal(B, T, directions * H)
    weights = [normal(*shape, scale=H**-0.5) for _ in range(directions) for shape in ((D, G), (H, G), bias)]
    lengths = np.maximum(1, (T * random.beta(3, 2, B)).astype(int)) if padded else None  # 59 % real tokens
    if padded:
        lengths[0] = T
        upstream *= (np.arange(T) < lengths[:, None])[:, :, None]  # what stands on padding is no library's business
    make = {"torch": torch_jobs, "onnx": onnx_jobs}.get(library, functools.partial(keras_jobs, library))
    return make(cell, directions, x, upstream, weights, lengths)


def keras_jobs(library, cell, directions, x, upstream, weights, lengths):
    import keras
    import tensorflow as tf

    from seq_models import layers

    module, options = (keras.layers, {}) if library.startswith("keras") else (layers, {})
    layer_class = getattr(module, cell)
    if library == "fused":
        options = {"engine": "fused"}
    if library == "loop":  # what `auto` takes without a compiler
        layers.engines.ENGINES.pop("fused", None)
    layer = layer_class(weights[1].shape[0], return_sequences=True, **options)
    layer = module.Bidirectional(layer) if directions == 2 else layer
    layer.build(x.shape)
    layer.set_weights(weights)
    variables = [variable.value for variable in layer.trainable_variables]
    mask = None if lengths is None else tf.sequence_mask(lengths, x.shape[1])
    x, upstream = tf.constant(x), tf.constant(upstream)

    def outputs(x):
        return layer(x, mask=mask)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, mask=mask, training=True) * upstream)
        return tape.gradient(loss, [x, *variables])

    options = {"jit_compile": True} if library == "keras-xla" else {"reduce_retracing": True}
    functions = {"inference": tf.function(outputs, **options), "training": tf.function(gradients, **options)}

    def job(mode):
        def run(check=False):
            results = tf.nest.flatten(functions[mode](x))
            if check:
                live = 1.0 if mask is None or mode == "training" else tf.cast(mask, tf.float32)[:, :, None]
                return tf.reduce_sum(tf.abs(results[0] * live)).numpy()

        return run

    return {mode: job(mode) for mode in MODES}


def torch_jobs(cell, directions, x, upstream, weights, lengths):
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    B, T, D = x.shape
    kind = {"SimpleRNN": "RNN"}.get(cell, cell)
    module = getattr(torch.nn, kind)(D, weights[1].shape[0], batch_first=True, bidirectional=directions == 2)
    state = _in_ours(cell, directions, x.shape, weights, "to_torch")
    module.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    x, upstream = torch.tensor(x), torch.tensor(upstream)
    lengths = None if lengths is None else torch.tensor(lengths)

    def outputs(x):
        if lengths is None:
            return module(x)[0]
        packed, _ = module(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(packed, batch_first=True, total_length=T)[0]

    def inference(check=False):
        with torch.inference_mode():
            y = outputs(x)
        if check:
            return y.abs().sum()

    def training(check=False):
        module.zero_grad(set_to_none=True)
        leaf = x.detach().requires_grad_()
        outputs(leaf).backward(upstream)
        if check:
            return leaf.grad.abs().sum()

    return {"inference": inference, "training": training}


def onnx_jobs(cell, directions, x, upstream, weights, lengths):
    """One operation of ONNX; it has gates in the order i, o, f, c of an LSTM, and time first."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    B, T, _ = x.shape
    H = upstream.shape[-1] // directions
    order = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "SimpleRNN": (0,)}[cell]

    def turned(matrix):
        blocks = np.split(matrix, CELLS[cell], axis=-1)
        return np.concatenate([blocks[k] for k in order], axis=-1).T

    W, U, b = ([turned(weights[3 * d + k]) for d in range(directions)] for k in (0, 1, 2))
    both = [np.concatenate([b_d[:, 0], b_d[:, 1]] if b_d.ndim == 2 else [b_d, 0 * b_d]) for b_d in b]
    constants = {"W": np.stack(W), "R": np.stack(U), "B": np.stack(both)}
    inputs = ["X", *constants, *([] if lengths is None else ["lengths"])]
    options = {"hidden_size": H, "direction": "bidirectional" if directions == 2 else "forward"}
    kind = {"SimpleRNN": "RNN"}.get(cell, cell)
    node = helper.make_node(kind, inputs, ["Y"], **options, **({"linear_before_reset": 1} if kind == "GRU" else {}))
    given = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [T, B, x.shape[2]])]
    feed = {"X": np.ascontiguousarray(x.swapaxes(0, 1))}
    if lengths is not None:
        given.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [B]))
        feed["lengths"] = lengths.astype("int32")
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [T, directions, B, H])
    tensors = [numpy_helper.from_array(array.astype("float32"), name) for name, array in constants.items()]
    graph = helper.make_graph([node], "recurrence", given, [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def inference(check=False):
        [y] = session.run(None, feed)
        if check:
            return np.abs(y).sum()

    return {"inference": inference}


def _in_ours(cell, directions, shape, weights, method):
    """What a function of `seq_models.layers` says of our layer with these weights."""
    import keras

    from seq_models import layers

    layer = getattr(layers, cell)(weights[1].shape[0])
    layer = keras.layers.Bidirectional(layer) if directions == 2 else layer
    layer.build(shape)
    layer.set_weights(weights)
    return getattr(layers, method)(layer)
