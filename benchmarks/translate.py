"""Seconds to translate sentences by an encoder-decoder: greedy, with 5 beams, and the same by stock Keras and PyTorch.

    python benchmarks/translate.py [--rounds 3] [--sentences 1000] [--out FILE]

Of the size of one for Multi30k: 8,000 words on each side, embeddings and states of 256, an LSTM that reads both ways,
additive attention. The weights are random, which says nothing of lengths: so each sentence has a number of words to be
written, 13 on average as there, the end is forbidden, and each library writes so many. Batches of 64 sentences in their
order.

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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RESULTS = Path(__file__).resolve().parent / "results" / "translate.json"
V, E, H, K, BATCH, START, END, CONTROL = 8000, 256, 256, 5, 64, 2, 3, 4
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


def batches(sentences):
    """Source ids (B, S), 0 is padding, and the number of words to write (B,), of each batch."""
    generator = np.random.default_rng(1)
    for start in range(0, sentences, BATCH):
        rows = min(BATCH, sentences - start)
        read, written = (np.clip(generator.normal(13, 4, rows).round(), 4, 30).astype("int32") for _ in range(2))
        ids = generator.integers(CONTROL, V, (rows, read.max())).astype("int32")
        yield np.where(np.arange(read.max()) < read[:, None], ids, 0), written


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
        from seq_models.networks import EncoderDecoder

        network, forbidden = EncoderDecoder(V, V, units=H, embedding_units=E), range(CONTROL)

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
    import keras
    import tensorflow as tf

    encoder, step = keras_models(keras)
    out = tf.constant(np.where(np.arange(V) < CONTROL, -np.inf, 0).astype("float32"))

    def translate(source, lengths):
        B = len(source)
        memory, keys, h, c = (tf.repeat(each, K, axis=0) for each in encoder(source))
        mask, lengths = tf.repeat(source > 0, K, axis=0), tf.constant(lengths)
        tokens = tf.fill([B * K], START)
        log_p = tf.tile([[0.0] + [-np.inf] * (K - 1)], [B, 1])
        texts = tf.zeros([B * K, 0], tf.int32)
        for t in range(int(tf.reduce_max(lengths))):
            logits, h, c = step([tokens, h, c, memory, keys, mask])
            new = tf.nn.log_softmax(logits + out)  # (B K, V)
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


def keras_models(keras):
    """An encoder, and one step of the decoder, of stock layers."""
    layers, ops = keras.layers, keras.ops
    source = keras.Input((None,), dtype="int32")
    e = layers.Embedding(V, E, mask_zero=True)(source)
    memory, h_f, c_f, h_b, c_b = layers.Bidirectional(layers.LSTM(H, return_sequences=True, return_state=True))(e)
    h, c = (layers.Dense(H, "tanh")(layers.Concatenate()(pair)) for pair in ([h_f, h_b], [c_f, c_b]))
    encoder = keras.Model(source, [memory, layers.Dense(H)(memory), h, c])
    token, mask = keras.Input((), dtype="int32"), keras.Input((None,), dtype="bool")
    h, c, memory, keys = (keras.Input(shape) for shape in ((H,), (H,), (None, 2 * H), (None, H)))
    scores = layers.Dense(1, use_bias=False)(ops.tanh(layers.Dense(H, use_bias=False)(h)[:, None] + keys))[..., 0]
    alpha = ops.softmax(ops.where(mask, scores, -6e4))
    context = ops.matmul(alpha[:, None], memory)[:, 0]
    y = layers.Concatenate()([layers.Embedding(V, E)(token), context])
    new_h, [_, new_c] = layers.LSTMCell(H)(y, [h, c])
    logits = layers.Dense(V)(layers.Dense(E)(layers.Concatenate()([new_h, context])))
    return encoder, keras.Model([token, h, c, memory, keys, mask], [logits, new_h, new_c])


def with_torch():
    import torch
    from torch import nn

    torch.set_num_threads(os.cpu_count())
    parts = {
        "source": nn.Embedding(V, E),
        "target": nn.Embedding(V, E),
        "encoder": nn.LSTM(E, H, batch_first=True, bidirectional=True),
        "h": nn.Linear(2 * H, H),
        "c": nn.Linear(2 * H, H),
        "keys": nn.Linear(2 * H, H),
        "query": nn.Linear(H, H, bias=False),
        "score": nn.Linear(H, 1, bias=False),
        "cell": nn.LSTMCell(E + 2 * H, H),
        "readout": nn.Linear(3 * H, E),
        "logits": nn.Linear(E, V),
    }

    def encode(source):
        lengths = (source > 0).sum(dim=1)
        packed = nn.utils.rnn.pack_padded_sequence(
            parts["source"](source), lengths, batch_first=True, enforce_sorted=False
        )
        memory, (h, c) = parts["encoder"](packed)
        memory, _ = nn.utils.rnn.pad_packed_sequence(memory, batch_first=True)
        h, c = (torch.tanh(parts[name](torch.cat([*state], dim=1))) for name, state in (("h", h), ("c", c)))
        return memory, parts["keys"](memory), h, c

    def step(tokens, h, c, memory, keys, mask):
        scores = parts["score"](torch.tanh(parts["query"](h)[:, None] + keys))[..., 0]
        alpha = torch.softmax(scores.masked_fill(~mask, -6e4), dim=1)
        context = torch.bmm(alpha[:, None], memory)[:, 0]
        h, c = parts["cell"](torch.cat([parts["target"](tokens), context], dim=1), (h, c))
        return parts["logits"](parts["readout"](torch.cat([h, context], dim=1))), h, c

    @torch.inference_mode()
    def translate(source, lengths):
        source, lengths = torch.from_numpy(source).long(), torch.from_numpy(lengths)
        B = len(source)
        memory, keys, h, c = (each.repeat_interleave(K, dim=0) for each in encode(source))
        mask = (source > 0).repeat_interleave(K, dim=0)
        tokens, texts = torch.full((B * K,), START), torch.zeros((B * K, 0), dtype=torch.long)
        log_p = torch.tensor([[0.0] + [-np.inf] * (K - 1)]).repeat(B, 1)
        itself = torch.tensor([0.0] + [-np.inf] * (V - 1))
        for t in range(int(lengths.max())):
            logits, h, c = step(tokens, h, c, memory, keys, mask)
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
