"""n-gram language models: their estimates are those of Chen and Goodman 1998, read anew here with dictionaries."""

import itertools
import json
import math
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import seq_models as sm
from seq_models import cli
from seq_models.baselines import counts
from seq_models.baselines.additive import DELTA
from seq_models.baselines.counts import count_ngrams, tally
from seq_models.baselines.ngram_options import SMOOTHINGS, NgramOptions
from seq_models.tasks.text_model import TextModel
from seq_models.text.vocabulary import PAD, START, UNKNOWN

PTB = Path(__file__).parents[2] / "shared" / "data" / "ptb"
TEXTS = ["the cat sat", "the cat ran", "a dog ran", "the dog sat on the cat", "a cat"]
every_smoothing = pytest.mark.parametrize("smoothing", SMOOTHINGS)


def random_texts(seed, number=120, words=9):
    """Texts in which few words are frequent and many are rare."""
    draw = random.Random(seed)
    names, shares = [f"w{k}" for k in range(words)], [1 / (k + 1) ** 2 for k in range(words)]
    return [" ".join(draw.choices(names, shares, k=draw.randrange(1, 8))) for _ in range(number)]


CORPORA = {
    "many": random_texts(1),
    "few": random_texts(2, number=12, words=4),
    "toy": TEXTS,
    "one word": ["a"],
    "one empty text": [""],
    "all twice": ["a b c", "a b c"],
    "all five times": ["a b"] * 5,
    "every word after every word": ["a b a a b b", "b", "b", "a a", "", "a b"],
    "no word once, none three times": ["a a b b"] * 2 + ["c c"] * 2 + ["d"] * 4,
}


def make(texts, **options):
    return sm.NgramLanguageModel.from_examples(texts, **{"tokenizer": "whitespace", **options})


# Chen and Goodman 1998 with dictionaries


class Reading:
    """The n-grams of texts, `<s> w … </s>` each, as tuples of words."""

    def __init__(self, texts, order):
        self.order = min(order, max(len(text.split()) + 2 for text in texts))
        rows = [["<s>", *text.split(), "</s>"] for text in texts]
        self.words = sorted({word for row in rows for word in row} - {"<s>"} | {"<unk>"})
        self.raw = Counter(
            tuple(row[start : start + n])
            for row in rows
            for n in range(1, self.order + 1)
            for start in range(len(row) - n + 1)
        )
        del self.raw["<s>",]
        self.before = Counter(gram[1:] for gram in self.raw)
        self.after = defaultdict(dict)  # the words that come after each context, with their counts
        self.with_count = Counter()  # of a length, how many n-grams have each count
        for gram in self.raw:
            self.after[gram[:-1]][gram[-1]] = self.count(gram)
            self.with_count[len(gram), self.count(gram)] += 1

    def p(self, word, history):
        """P(w | h) of the words before w, `<s>` among them."""
        return self.probability(word, tuple(history[max(len(history) - self.order + 1, 0) :]))

    def count(self, gram):
        return self.raw[gram]


class ReadAdditive(Reading):
    delta = DELTA

    def probability(self, w, h):
        V = len(self.words)
        return (self.delta + self.raw[(*h, w)]) / (self.delta * V + sum(self.after.get(h, {}).values()))


class ReadBackoff(Reading):
    def probability(self, w, h):
        def lower(v):
            return self.probability(v, h[1:]) if h else 1 / len(self.words)

        after = self.after.get(h)
        if not after:
            return lower(w)
        n1, n2 = (self.with_count[len(h) + 1, count] for count in (1, 2))
        D = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
        if len(after) == len(self.words):
            D = 0
        if w in after:
            return (after[w] - D) / sum(after.values())
        left = sum(D for _ in after) / sum(after.values())
        return left * lower(w) / sum(lower(v) for v in self.words if v not in after)


class ReadKneserNey(Reading):
    def count(self, gram):
        if len(gram) == self.order or gram[0] == "<s>":
            return self.raw[gram]
        return self.before[gram]

    def probability(self, w, h):
        lower = self.probability(w, h[1:]) if h else 1 / len(self.words)
        after = self.after.get(h)
        if not after:
            return lower
        n1, n2, n3, n4 = (self.with_count[len(h) + 1, count] for count in (1, 2, 3, 4))
        D = [0, 0.5, 1, 1.5]
        if n1 and n2 and n3:
            Y = n1 / (n1 + 2 * n2)
            found = [0, 1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3]
            D = found if all(0 < found[k] <= k for k in (1, 2, 3)) else D
        N1, N2 = (list(after.values()).count(k) for k in (1, 2))
        N3 = len(after) - N1 - N2
        total = sum(after.values())
        gamma = (D[1] * N1 + D[2] * N2 + D[3] * N3) / total
        c = after.get(w, 0)
        return (c - D[min(c, 3)]) / total + gamma * lower


READINGS = {"additive": ReadAdditive, "backoff": ReadBackoff, "kneser_ney": ReadKneserNey}


def histories(texts, order):
    """Contexts at the start of texts, in them, and such that nobody has seen."""
    rows = [["<s>", *text.split()] for text in texts[:4]]
    words = sorted({word for text in texts for word in text.split()})[:3] + ["<unk>"]
    mixed = [list(each) for each in itertools.islice(itertools.product(words, repeat=max(order - 1, 1)), 12)]
    return [row[:end] for row in rows for end in range(1, len(row) + 1)] + mixed


def distribution(model, histories):
    """P(w | h) of all words of the vocabulary after each history: floats (N, V)."""
    numbers = {word: number for number, word in enumerate(model.vocabularies()["vocabulary"])}
    n = model.network.order
    padded = [[PAD] * n + [numbers[word] for word in history] for history in histories]
    contexts = np.array([row[len(row) - n + 1 :] for row in padded], np.int32).reshape(len(histories), n - 1)
    return np.exp(model.network.head(contexts).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("corpus", CORPORA)
@every_smoothing
def test_estimates_are_those_of_an_independent_reading(smoothing, corpus):
    for order in range(1, 6):
        model, read = (
            make(CORPORA[corpus], order=order, smoothing=smoothing),
            READINGS[smoothing](CORPORA[corpus], order),
        )
        asked = histories(CORPORA[corpus], order)
        vocabulary = model.vocabularies()["vocabulary"]
        for history, p in zip(asked, distribution(model, asked), strict=True):
            expected = [0 if word in ("<pad>", "<s>") else read.p(word, history) for word in vocabulary]
            np.testing.assert_allclose(p, expected, rtol=0, atol=1e-9, err_msg=f"{order} {history}")


@pytest.mark.parametrize("order", range(1, 6))
@every_smoothing
def test_probabilities_sum_to_one_after_any_context(smoothing, order):
    model = make(CORPORA["many"], order=order, smoothing=smoothing)
    V = len(model.vocabularies()["vocabulary"])
    random_contexts = np.random.default_rng(0).integers(UNKNOWN, V, (50, order - 1))
    log_p = model.network.head(random_contexts).numpy()
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, atol=1e-9)
    assert (np.exp(log_p[:, [PAD, START]]) == 0).all()
    assert (np.delete(log_p, [PAD, START], axis=1) > -50).all()  # no word is impossible


@every_smoothing
def test_the_probability_of_a_target_is_that_among_all_words(smoothing):
    head = make(CORPORA["many"], order=4, smoothing=smoothing).network.head
    contexts = np.random.default_rng(1).integers(UNKNOWN, head.classes, (3, 40, 3))
    targets = np.random.default_rng(2).integers(UNKNOWN, head.classes, (3, 40))
    targets[targets == START] = UNKNOWN
    among_all = np.take_along_axis(head(contexts).numpy(), targets[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(head.log_probability(contexts, targets), among_all, atol=1e-12)


def test_the_discounts_are_those_of_equation_26():
    counts_ = np.repeat([1, 2, 3, 4, 7], [10, 5, 3, 2, 6])  # n_1 … n_4 = 10, 5, 3, 2
    Y = 10 / 20
    expected = (1 - 2 * Y * 5 / 10, 2 - 3 * Y * 3 / 5, 3 - 4 * Y * 2 / 3)
    assert SMOOTHINGS["kneser_ney"].discounts(counts_) == pytest.approx(expected)
    for left_out in (1, 2, 3):
        assert SMOOTHINGS["kneser_ney"].discounts(counts_[counts_ != left_out]) == (0.5, 1.0, 1.5)
    assert SMOOTHINGS["kneser_ney"].discounts(np.repeat([1, 2, 3], [1, 1, 2])) == (0.5, 1.0, 1.5)  # D_2 would be 0


# Counting


@pytest.mark.parametrize("piece", [1, 7, 10**6])
def test_counting_in_pieces_is_counting(piece, monkeypatch):
    monkeypatch.setattr(counts, "PIECE", piece)
    draw = np.random.default_rng(3)
    rows = [[START, *draw.integers(4, 9, draw.integers(0, 7)).tolist(), 3] for _ in range(60)]
    tables = count_ngrams(np.concatenate(rows).astype(np.int32), 4, 9)
    grams = [()]
    for n, table in enumerate(tables, start=1):
        grams = [(*grams[h], int(w)) for h, w in zip(*np.divmod(table.keys, 9), strict=True)]
        expected = Counter(tuple(row[k : k + n]) for row in rows for k in range(len(row) - n + 1))
        expected[START,] = 0
        assert {gram: c for gram, c in zip(grams, table.counts.tolist(), strict=True) if c} == +expected
        assert [gram[0] == START for gram in grams] == table.at_start.tolist()
    last_but_one = [(*gram[:-1],) for gram in grams]
    assert len(tables) == 4 and last_but_one == sorted(last_but_one)


def test_a_tally_of_many_pieces_is_one_of_them_together():
    pieces = [np.random.default_rng(k).integers(0, 50, k * 10) for k in range(9)]
    keys, found = tally(iter(pieces))
    expected_keys, expected = np.unique(np.concatenate(pieces), return_counts=True)
    np.testing.assert_array_equal(keys, expected_keys)
    np.testing.assert_array_equal(found, expected)


def test_counts_that_may_not_fit_are_refused_before_they_are_made():
    with pytest.raises(
        sm.InputError, match=r"^There must be memory for .* order=5 .* GB at most .* Received: 1e-06 GB$"
    ):
        make(random_texts(1), max_memory=1e-6)
    assert make(random_texts(1), max_memory=1.0)


# The verbs


@pytest.fixture(scope="module")
def model():
    return make(TEXTS, order=3)


@pytest.mark.slow
def test_it_is_a_text_model_that_a_run_keeps(model, tmp_path):
    assert isinstance(model, TextModel)
    model.save_run(tmp_path / "run")
    again = sm.load_run(tmp_path / "run")
    assert type(again) is sm.NgramLanguageModel
    assert again.predict_text(TEXTS) == model.predict_text(TEXTS)
    assert again.generate(["the", ""], seed=3) == model.generate(["the", ""], seed=3)
    assert again.network.options == model.network.options


@pytest.mark.slow
def test_an_export_answers_as_the_model_does(tmp_path):
    model = make(TEXTS, order=3)  # the smoothings differ in numbers of the same tables
    served = tf.saved_model.load(str(sm.export(model, tmp_path / "ngram"))).signatures  # the gate compares all answers
    [answer] = served["serving_default"](text=tf.constant(["the dog"]))["log_probability"].numpy()
    assert answer == pytest.approx(model.predict_text(["the dog"])[0]["log_probability"])
    assert {"generate", "next_words"} < set(served)


def test_perplexity_counts_the_tokens_that_a_recurrent_model_counts(model):
    held_out = ["the cat sat on the mat", "", "a dog"]
    answers, recurrent = model.predict_text(held_out), sm.LanguageModel.from_examples(TEXTS, units=3)
    assert [answer["lengths"] for answer in answers] == [7, 1, 3]
    assert [answer["lengths"] for answer in recurrent.predict_text(held_out)] == [7, 1, 3]
    read = ReadKneserNey(TEXTS, 3)
    log_p = [0.0, 0.0, 0.0]
    for row, text in enumerate(held_out):
        words = ["<s>", *(word if word in read.words else "<unk>" for word in text.split()), "</s>"]
        log_p[row] = sum(math.log(read.p(words[t], words[:t])) for t in range(1, len(words)))
    np.testing.assert_allclose([answer["log_probability"] for answer in answers], log_p, atol=1e-9)
    assert model.score(held_out)["perplexity"] == pytest.approx(math.exp(-sum(log_p) / 11), rel=1e-5)


@pytest.mark.slow
def test_generation_is_greedy_or_of_a_seed():
    texts = CORPORA["many"]
    model, read = make(texts, order=3), ReadKneserNey(texts, 3)
    [greedy] = model.generate(["w2"], temperature=0, max_length=5)
    words = ["<s>", "w2"]
    while words[-1] != "</s>" and len(words) < 7:  # it may go round and never end
        words.append(max(set(read.words) - {"<unk>"}, key=lambda word: read.p(word, words)))
    assert greedy["text"].split() == [word for word in words[1:] if word != "</s>"]
    one, other = (model.generate(["w0", "w0", ""], temperature=1.0, seed=5, max_length=6) for _ in "ab")
    assert one == other
    assert len({answer["text"] for answer in model.generate(["w0"] * 30, seed=1)}) > 3
    words = model.vocabularies()["vocabulary"]
    assert all(set(answer["text"].split()) <= set(words[4:]) for answer in model.generate([""] * 30))


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_prompt_may_be_empty_unknown_or_long(order):
    model = make(TEXTS, order=order)
    for prompt in ("", "zebra", "the cat " * 300, "the"):
        [answer] = model.generate([prompt], max_length=3, temperature=0)
        assert answer["text"].startswith(prompt)
    alone = [model.generate([prompt], temperature=0)[0] for prompt in ("the", "a dog ran on")]
    assert model.generate(["the", "a dog ran on"], temperature=0) == alone


def test_one_word_at_a_time_is_all_words_at_once(model):
    network = model.network
    tokens = np.random.default_rng(4).integers(1, network.head.classes, (2, 6)).astype(np.int32)
    tokens[1, 4:] = PAD
    hidden, after = network.read(tokens, network.start(tokens))
    np.testing.assert_array_equal(hidden, network.body(tokens))
    states = network.start(tokens)
    for t in range(6):
        log_p, states = network.step(tokens[:, t], states)
        np.testing.assert_allclose(log_p[0], network.head(hidden)[0, t])
    np.testing.assert_array_equal(after[0], states[0])
    np.testing.assert_array_equal(after[1], tokens[1, 2:4])


def test_the_next_words_are_the_most_probable_ones():
    found, read = make(TEXTS, order=2).next_words(tf.constant(["the"])), ReadKneserNey(TEXTS, 2)
    words, p = found["words"].numpy()[0], found["probabilities"].numpy()[0]
    known = 1 - read.p("<unk>", ["<s>", "the"])  # which is never offered
    np.testing.assert_allclose(p, [read.p(word.decode(), ["<s>", "the"]) / known for word in words], rtol=1e-5)
    assert len(words) == len(read.words) - 1 and (np.diff(p) <= 0).all()


@pytest.mark.slow
def test_chinese_is_read_character_by_character():
    model = make(["我喜欢苹果", "我喜欢书", "你喜欢我"], tokenizer="words", order=3)
    assert model.generate(["我喜"], temperature=0, max_length=1)[0]["text"] == "我喜欢"
    assert model.predict_text(["我喜欢书"])[0]["lengths"] == 5


def test_a_long_text_is_not_cut():
    model = make(["a b " * 2000], order=3)
    assert model.predict_text(["a b " * 2000])[0]["lengths"] == 4001
    assert make(["a " * 900 + "z"]).vocabularies()["vocabulary"][-1] == "z"


def test_rare_words_are_unknown_ones_where_min_count_says_so():
    known, rare = make(["a b", "a c", "a d", "b"], order=2), make(["a b", "a c", "a d", "b"], order=2, min_count=2)
    assert [model.predict_text(["a c"])[0]["lengths"] for model in (known, rare)] == [3, 3]
    p = [math.exp(model.predict_text(["a zebra"])[0]["log_probability"]) for model in (known, rare)]
    assert p[1] > 3 * p[0]  # two of three times


@pytest.mark.slow
def test_an_order_beyond_the_longest_text_is_that_of_the_longest(capsys):
    long, whole = make(TEXTS[:3], order=5), make(["a", "b a"], order=5)
    assert long.network.order == 5 and whole.network.order == 4
    said = [line for line in capsys.readouterr().err.splitlines() if "order=" in line]
    assert said == ["seq-models: no text has more than 3 tokens, the end token included, so order=5 is as order=4."]
    assert whole.predict_text(["a b a"]) == make(["a", "b a"], order=4).predict_text(["a b a"])


# Mistakes


@pytest.mark.parametrize(
    "options, message",
    [
        ({"order": 0}, "order must be an integer at least 1 and below 6. Received: order=0"),
        ({"order": 6}, "order must be an integer at least 1 and below 6. Received: order=6"),
        ({"smoothing": "good_turing"}, "smoothing must be one of kneser_ney, backoff, additive. Received: .*"),
        ({"smoothing": "additive", "delta": 0}, "delta must be a number above 0, or None. Received: delta=0"),
        ({"smoothing": "additive", "delta": -1}, "delta must be a number above 0, or None. Received: delta=-1"),
        ({"delta": 1}, "delta must be left out, or else smoothing must be additive. Received: delta=1.0"),
        ({"units": 3}, "units must be the name of an option, as .*Received: units=3"),
        ({"max_length": 3}, "max_length must be the name of an option, as .*Received: max_length=3"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(TEXTS, **options)


@pytest.mark.parametrize("examples", [[], "the cat", [("the cat", 0.5)], [3]])
def test_what_is_no_text_is_refused(examples):
    with pytest.raises(sm.InputError, match="Received: "):
        make(examples)


def test_there_is_nothing_to_fit(model):
    model.compile()
    with pytest.raises(ValueError, match="must have a weight with trainable=True to be fitted"):
        model.fit(model.dataset(TEXTS))


# The command line


@pytest.fixture
def files(tmp_path):
    for name, texts in (("train.txt", TEXTS), ("valid.txt", TEXTS[1:]), ("empty.txt", [])):
        (tmp_path / name).write_text("".join(text + "\n" for text in texts), "utf-8")
    return tmp_path


def run(*words):
    return cli.main(list(map(str, words)))


def training(files, *more, valid="valid.txt"):
    return run(
        "train", "ngram", "--train", files / "train.txt", "--valid", files / valid, "--out", files / "run", *more
    )


@pytest.mark.slow
def test_it_is_trained_evaluated_asked_and_goes_on_with_texts(files, capsys):
    assert training(files, "--set", "order=3", "smoothing=backoff") == 0
    assert "val_perplexity" in capsys.readouterr().out
    assert training(files, "--config", files / "run" / "config.toml") == 0
    assert "has these counts already and stays as it is" in capsys.readouterr().err
    assert training(files, "--set", "order=3", "smoothing=backoff", "max_memory=3") == 0
    capsys.readouterr()
    report = ["--report", files / "report"]
    assert run("evaluate", files / "run", "--data", files / "valid.txt", "--json", *report) == 0
    score = json.loads(capsys.readouterr().out)["perplexity"]
    assert score == pytest.approx(json.loads((files / "run" / "metrics.json").read_text())["best"]["val_perplexity"])
    assert (files / "report" / "errors.tsv").read_text().count("\n") == len(TEXTS)
    assert run("predict", files / "run", "--input", files / "valid.txt") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(TEXTS) - 1
    assert run("generate", files / "run", "--prompt", "the", "--temperature", 0) == 0
    [greedy] = sm.load_run(files / "run").generate(["the"], temperature=0)
    assert capsys.readouterr().out == greedy["text"] + "\n"
    assert sm.load_run(files / "run").sample_texts == TEXTS[1:]


def test_a_mistake_is_one_sentence_and_no_run(files, capsys):
    for more, said in [
        (["--set", "order=6"], "order must be an integer at least 1 and below 6. Received: order=6"),
        (["--set", "epochs=3"], "epochs must be the name of an option"),
        (["--from", files / "other"], "from must be left out: an n-gram model counts anew. Received: from="),
    ]:
        assert training(files, *more) == 2
        assert said in capsys.readouterr().err
    assert training(files, valid="empty.txt") == 2
    assert "empty.txt:1: expected at least one example. Received: none" in capsys.readouterr().err
    assert not (files / "run").exists()
    assert training(files, "--set", "order=2") == 0
    assert training(files, "--set", "order=3") == 2
    assert "order = 3 where the run has 2" in capsys.readouterr().err
    (files / "train.txt").write_text("other words\n", "utf-8")
    assert training(files, "--set", "order=2") == 2
    assert "train.txt must hold what" in capsys.readouterr().err


# Penn Treebank


@pytest.mark.slow
@pytest.mark.skipif(not PTB.is_dir(), reason=f"there is no {PTB}")
def test_kneser_ney_on_penn_treebank_is_the_published_figure():
    start = time.perf_counter()
    model = sm.NgramLanguageModel.from_examples(sm.read_examples(PTB / "ptb.train.txt.gz"), tokenizer="whitespace")
    score = model.score(sm.read_examples(PTB / "ptb.test.txt"))
    assert score["perplexity"] == pytest.approx(141.2, abs=0.05)  # Mikolov et al. 2011, KN5
    assert time.perf_counter() - start < 60
    assert NgramOptions() == model.network.options


@pytest.mark.slow
def test_a_run_that_lost_its_model_is_counted_anew_and_a_damaged_one_is_said(files, capsys):
    assert training(files) == 0
    model = next(files.rglob("model.keras"))
    whole = model.read_bytes()
    model.unlink()
    assert training(files) == 0
    assert model.exists()
    model.write_bytes(whole[:50])
    assert training(files) == 2
    assert "the best model so far, whole" in capsys.readouterr().err
