"""Times a recurrent layer over a whole sequence on a GPU: our engines, `keras.layers` and `torch.nn`, which uses cuDNN.

    KERAS_BACKEND=jax python benchmarks/gpu_recurrence.py [--cells LSTM …] [--rounds N] [--out FILE]

The backend is JAX or TensorFlow, by the variable; on JAX nothing of this package imports TensorFlow. All have the same
float32 weights and may round products to TF32 or may not, by `--tf32`; outputs and gradients are compared with those
of PyTorch before anything is timed. In each round they take turns in random order; a run lasts a tenth of a second and
waits after every call for the GPU, on TensorFlow by copying a part of the result. Medians over the rounds.

Writes --out, `benchmarks/results/gpu_recurrence_BACKEND.json` by default; records of other cases in it stay. Prints
how many times faster the engine is that `engine="auto"` takes, geometric means.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory, too
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402  the variables are read when it is imported
import numpy as np  # noqa: E402
import torch  # noqa: E402

from seq_models import layers  # noqa: E402

BACKEND = keras.backend.backend()
RESULTS = Path(__file__).resolve().parent / "results" / f"gpu_recurrence_{BACKEND}.json"
CELLS = ("LSTM", "GRU", "SimpleRNN")
SHAPES = (
    *((32, 64, 256, 256), (64, 35, 512, 512), (16, 200, 128, 128), (128, 20, 256, 256), (1, 100, 256, 256)),
    *((8, 20, 64, 64), (48, 40, 192, 320), (20, 35, 650, 650), (20, 35, 1500, 1500), (256, 50, 1024, 1024)),
)
GATED = {"jax": ("LSTM",), "tensorflow": ("LSTM", "GRU")}  # what Keras hands to cuDNN
MODES = ("inference", "training")
RUN_SECONDS = 0.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many of the shapes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tf32", action="store_true", help="let all libraries round products to TF32")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after so long")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    set_precision(options.tf32)
    ends = time.monotonic() + options.seconds
    records = json.loads(options.out.read_text("utf-8"))["records"] if options.out.exists() else []
    for cell, shape in itertools.product(options.cells, SHAPES[: options.shapes]):
        if time.monotonic() > ends:
            break
        records = [record for record in records if (record["cell"], record["shape"]) != (cell, list(shape))]
        records += measure(cell, shape, options.rounds)
        about = {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU", "tf32": options.tf32}
        versions = {"keras": keras.__version__, BACKEND: backend_version(), "torch": torch.__version__}
        result = {**about, "versions": versions, "records": records}
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(summary(records))


def set_precision(tf32):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "float32")
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(tf32)


def backend_version():
    return __import__(BACKEND).__version__


def measure(cell, shape, rounds):
    """Records of one case, one for each mode."""
    jobs = jobs_of(cell, shape)
    for mode in MODES:
        expected = jobs["torch"][mode]().cpu().numpy()
        for library in jobs.keys() - {"torch"}:
            got = keras.ops.convert_to_numpy(jobs[library][mode]())
            error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
            if not error < (2e-2 if torch.backends.cuda.matmul.allow_tf32 else 1e-3):
                raise RuntimeError(f"{library} computes something else than torch: {cell} {shape} {mode} {error:.1e}")
    for mode in MODES:
        seconds = []
        for _ in range(rounds):
            turn = random.sample(list(jobs), len(jobs))
            seconds.append({library: seconds_of(jobs[library][mode]) for library in turn})
        record = {
            "cell": cell,
            "shape": list(shape),
            "mode": mode,
            "ms": {name: round(1e3 * statistics.median(turn[name] for turn in seconds), 4) for name in jobs},
        }
        print(*record.values(), flush=True)
        yield record


def seconds_of(job):
    """Seconds of one call, over as many as fit in a run; each starts when the one before has ended."""
    wait(job())
    started, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < RUN_SECONDS:
        wait(job())
        calls += 1
    return passed / calls


def wait(tensor):
    if isinstance(tensor, torch.Tensor):
        if tensor.is_cuda:
            torch.cuda.synchronize()
    elif BACKEND == "jax":
        tensor.block_until_ready()
    else:
        tensor[..., :1].numpy()  # of a small part, so that little is copied


def jobs_of(cell, shape):
    """The name of an engine, "keras" or "torch" -> mode -> function for y or the gradient of x."""
    B, T, D, H = shape
    draw = np.random.default_rng(1)
    x, upstream = (draw.normal(size=size).astype("float32") for size in ((B, T, D), (B, T, H)))
    names = ("cudnn", "loop") if cell in GATED[BACKEND] else ("loop",)
    jobs = {name: getattr(layers, cell)(H, return_sequences=True, engine=name) for name in names}
    jobs["keras"] = getattr(keras.layers, cell)(H, return_sequences=True)
    for layer in jobs.values():
        layer.build((B, T, D))
    weights = [draw.normal(size=w.shape, scale=H**-0.5) for w in jobs["loop"].get_weights()]
    for layer in jobs.values():
        layer.set_weights(weights)
    make = jax_jobs if BACKEND == "jax" else tensorflow_jobs
    torch_job = torch_jobs(cell, jobs["loop"], x, upstream)
    return {**{name: make(layer, x, upstream) for name, layer in jobs.items()}, "torch": torch_job}


def jax_jobs(layer, x, upstream):
    import jax

    variables = [variable.value for variable in layer.trainable_variables]
    x, upstream = jax.device_put(x), jax.device_put(upstream)

    def run(x, variables, training):
        return layer.stateless_call(variables, layer.non_trainable_variables, x, training=training)[0]

    inference = jax.jit(lambda x, variables: run(x, variables, False))
    gradients = jax.jit(jax.grad(lambda x, variables, dy: (run(x, variables, True) * dy).sum(), argnums=(0, 1)))
    return {
        "inference": lambda: inference(x, variables),
        "training": lambda: gradients(x, variables, upstream)[0],
    }


def tensorflow_jobs(layer, x, upstream):
    import tensorflow as tf

    variables = [variable.value for variable in layer.trainable_variables]
    x, upstream = tf.constant(x), tf.constant(upstream)
    inference = tf.function(lambda x: layer(x, training=False))

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * upstream)
        return tape.gradient(loss, [x, *variables])

    return {"inference": lambda: inference(x), "training": lambda: gradients(x)[0]}


def torch_jobs(cell, ours, x, upstream):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = {"SimpleRNN": "RNN"}.get(cell, cell)
    module = getattr(torch.nn, kind)(x.shape[-1], upstream.shape[-1], batch_first=True)
    module.load_state_dict({name: torch.tensor(array) for name, array in layers.to_torch(ours).items()})
    module, leaf, upstream = module.to(device), torch.tensor(x, device=device), torch.tensor(upstream, device=device)

    def inference():
        with torch.inference_mode():
            return module(leaf)[0]

    def training():
        module.zero_grad(set_to_none=True)
        x = leaf.detach().requires_grad_()
        module(x)[0].backward(upstream)
        return x.grad

    return {"inference": inference, "training": training}


def summary(records):
    """Geometric means of how many times faster the engine of `auto` is, by cell and mode."""
    lines = ["| | engine | mode | cases | / keras.layers | least | / torch.nn |", "|---|---|---|---|---|---|---|"]
    for cell, mode in itertools.product(CELLS, MODES):
        taken = "cudnn" if BACKEND == "tensorflow" and cell in GATED[BACKEND] else "loop"
        chosen = [record["ms"] for record in records if (record["cell"], record["mode"]) == (cell, mode)]
        if chosen:
            keras_ratios, torch_ratios = ([ms[peer] / ms[taken] for ms in chosen] for peer in ("keras", "torch"))
            mean, least = statistics.geometric_mean(keras_ratios), min(keras_ratios)
            torch_mean = statistics.geometric_mean(torch_ratios)
            lines.append(f"| {cell} | {taken} | {mode} | {len(chosen)} | {mean:.2f} | {least:.2f} | {torch_mean:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
