"""Seconds to translate sentences by an encoder-decoder: greedy, with 5 beams, and the same by stock Keras and PyTorch.

    python benchmarks/translate.py [--rounds 3] [--sentences 1000] [--out FILE]

The model is that of translation_models.py. Its weights are random, which says nothing of lengths: so each sentence has
a number of words to be written, 13 on average as in Multi30k, the end is forbidden, and each library writes so many.
Batches of 64 sentences in their order.

    greedy, beam     `decoding.generate` and `decoding.beam_search` with 5 beams, each in a `tf.function`
    keras            5 beams around a model of `keras.layers` that is called once a token
    torch            5 beams around `torch.nn`, batched; left out where there is no PyTorch

Each has a process of its own with all cores; they take turns, in a random order in each round, and a ratio is the
median of those of the rounds. Then the time of one sentence with 12 tokens and 5 beams in an export, by the bare v1
`Session` that TensorFlow Serving runs: the median of 100.

Writes benchmarks/results/translate.json and prints the table.
"""

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import interleaved
import numpy as np
from translation_models import CONTROL, END, START, E, H, KerasParts, TorchParts, V, batches, our_network

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RESULTS = Path(__file__).resolve().parent / "results" / "translate.json"
K = 5
ONE = 12  # tokens of the sentence that an export translates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--sentences", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    ways = ["greedy", "beam", "keras"]
    if importlib.util.find_spec("torch"):
        ways.append("torch")
    else:
        print('PyTorch is not installed and left out: pip install ".[bench]"')
    with interleaved.workers(ways, translator) as workers:
        rounds = interleaved.ask_all(workers, options.rounds, options.sentences)
    found = {
        "machine": f"{os.cpu_count()} CPU cores",
        "sentences": options.sentences,
        "seconds": {way: round(statistics.median(each[way] for each in rounds), 3) for way in ways},
        "times beam": {
            way: round(statistics.median(each[way] / each["beam"] for each in rounds), 3)
            for way in ways
            if way != "beam"
        },
        "beam / greedy": round(statistics.median(each["beam"] / each["greedy"] for each in rounds), 3),
        "export milliseconds": round(milliseconds_of_export(), 2),
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(table(found))


def translator(way):
    """`answer(sentences)` -> the seconds that a way takes to translate so many."""
    translate = {"greedy": ours(1), "beam": ours(K), "keras": with_keras, "torch": with_torch}[way]()

    def answer(sentences):
        data = list(batches(sentences))
        started = time.perf_counter()
        for source, lengths in data:
            tokens = translate(source, lengths)
            assert tokens.shape[0] == len(source) and ((tokens > 0).sum(axis=1) == lengths).all()  # noqa: S101
        return time.perf_counter() - started

    return answer


def ours(width):
    def make():
        import tensorflow as tf

        from seq_models import decoding

        network, forbidden = our_network(), range(CONTROL)

        def translate(source, lengths):
            first, states = network.step(tf.fill([tf.shape(source)[0]], START), network.start(source))
            if width == 1:
                return decoding.generate(network.step, decoding.greedy, first, states, END, lengths, forbidden)[0]
            penalty = decoding.gnmt(0.6)
            return decoding.beam_search(network.step, first, states, END, lengths, width, 1, penalty, forbidden).tokens[
                :, 0
            ]

        specs = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        graph = tf.function(translate, input_signature=specs, autograph=False)
        return lambda *batch: graph(*batch).numpy()

    return make


def with_keras():
    import tensorflow as tf

    parts = KerasParts()
    out = tf.constant(np.where(np.arange(V) < CONTROL, -np.inf, 0).astype("float32"))

    def translate(source, lengths):
        B = len(source)
        memory, keys, h, c = (tf.repeat(each, K, axis=0) for each in parts.encode(source))
        mask, lengths = tf.repeat(source > 0, K, axis=0), tf.constant(lengths)
        tokens = tf.fill([B * K], START)
        log_p = tf.tile([[0.0] + [-np.inf] * (K - 1)], [B, 1])
        texts = tf.zeros([B * K, 0], tf.int32)
        for t in range(int(tf.reduce_max(lengths))):
            seen, h, c = parts.step([tokens, h, c, memory, keys, mask])
            new = tf.nn.log_softmax(parts.logits(seen[:, None])[:, 0] + out)  # (B K, V)
            ended = tf.repeat(t >= lengths, K)[:, None]
            itself = tf.constant([0.0] + [-np.inf] * (V - 1))
            new = tf.where(ended, itself, new)
            log_p, places = tf.math.top_k(tf.reshape(log_p[:, :, None] + tf.reshape(new, [B, K, V]), [B, K * V]), K)
            rows = tf.reshape(tf.range(B)[:, None] * K + places // V, [-1])
            tokens = tf.reshape(places % V, [-1])
            texts = tf.concat([tf.gather(texts, rows), tokens[:, None]], axis=1)
            h, c = tf.gather(h, rows), tf.gather(c, rows)
        return tf.reshape(texts, [B, K, -1])[:, 0].numpy()

    return translate


def with_torch():
    import torch

    parts = TorchParts()

    @torch.inference_mode()
    def translate(source, lengths):
        source, lengths = torch.from_numpy(source).long(), torch.from_numpy(lengths)
        B = len(source)
        memory, keys, h, c = (each.repeat_interleave(K, dim=0) for each in parts.encode(source))
        mask = (source > 0).repeat_interleave(K, dim=0)
        tokens, texts = torch.full((B * K,), START), torch.zeros((B * K, 0), dtype=torch.long)
        log_p = torch.tensor([[0.0] + [-np.inf] * (K - 1)]).repeat(B, 1)
        itself = torch.tensor([0.0] + [-np.inf] * (V - 1))
        for t in range(int(lengths.max())):
            seen, h, c = parts.step(tokens, h, c, memory, keys, mask)
            logits = parts.logits(seen)
            logits[:, :CONTROL] = -np.inf
            new = torch.log_softmax(logits, dim=1)
            new[(t >= lengths).repeat_interleave(K)] = itself
            log_p, places = (log_p[:, :, None] + new.view(B, K, V)).view(B, K * V).topk(K)
            rows = (torch.arange(B)[:, None] * K + places // V).view(-1)
            tokens = (places % V).view(-1)
            texts = torch.cat([texts[rows], tokens[:, None]], dim=1)
            h, c = h[rows], c[rows]
        return texts.view(B, K, -1)[:, 0].numpy()

    return translate


def milliseconds_of_export():
    """Of one sentence of 12 tokens with 5 beams, the median of 100."""
    import keras
    import tensorflow as tf
    import tensorflow_text  # noqa: F401

    import seq_models as sm

    keras.utils.set_random_seed(1)
    texts = [" ".join(f"w{word}" for word in range(start, start + 10)) for start in range(0, V - 10, 10)]
    options = {"units": H, "embedding_units": E, "tokenizer": "whitespace", "max_length": ONE, "min_length": ONE}
    model = sm.EncoderDecoder.from_examples([(text, text) for text in texts], beam_width=K, **options)
    model.sample_texts = texts[:2]
    with tempfile.TemporaryDirectory() as directory:
        path = sm.export(model, directory)
        with tf.compat.v1.Session(graph=tf.Graph()) as session:
            signature = tf.compat.v1.saved_model.load(session, ["serve"], str(path)).signature_def["serving_default"]
            outputs = {name: info.name for name, info in signature.outputs.items()}
            call = session.make_callable(outputs, [signature.inputs["text"].name])
            question, found = np.array([texts[0].encode()], object), []
            for _ in range(110):
                started = time.perf_counter()
                answer = call(question)
                found.append(time.perf_counter() - started)
            assert answer["lengths"].tolist() == [ONE]  # noqa: S101
    return 1e3 * statistics.median(found[10:])


def table(found):
    names = {"greedy": "greedy", "beam": "5 beams", "keras": "stock Keras, 5 beams", "torch": "PyTorch, 5 beams"}
    lines = [f"| {found['sentences']:,} sentences | seconds | times 5 beams |", "|---|---|---|"]
    for way, seconds in found["seconds"].items():
        lines.append(f"| {names[way]} | {seconds:.2f} | {found['times beam'].get(way, 1):.2f} |")
    lines += ["", f"5 beams take {found['beam / greedy']:.2f} times as long as greedy search."]
    return "\n".join([*lines, f"One sentence in an export: {found['export milliseconds']:.1f} ms.", ""])


if __name__ == "__main__":
    main()
