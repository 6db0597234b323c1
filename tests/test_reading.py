"""Texts of any length: windows that hand on the states read as one long window does."""

import math

import numpy as np
import pytest
import tensorflow as tf
from toy import TEXTS, shared, small

import seq_models as sm
from seq_models import decoding

V, T = 9, 23
LENGTHS = [5, 23, 1, 11, 10, 16]


def a_batch():
    """Ids of rows of unequal length, and what comes after each."""
    tokens = np.random.randint(4, V, (len(LENGTHS), T)) * (np.arange(T) < np.array(LENGTHS)[:, None])
    targets = np.random.randint(3, V, tokens.shape) * (tokens != 0)
    return tf.constant(tokens, tf.int32), tf.constant(targets, tf.int32)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("window", [1, 5, 22])
def test_windows_give_what_one_long_window_gives(cell, compiled, window):
    network = sm.networks.LanguageModel(V, cell=cell, units=5, layers=2, embedding_units=3)
    tokens, targets = a_batch()
    spec = [tf.TensorSpec([None, None], tf.int32)] * 2

    def both(tokens, targets):
        log_p = decoding.log_probabilities(network, tokens, targets, window)
        return log_p, decoding.read_prompts(network, tokens, window)

    found = (tf.function(both, input_signature=spec) if compiled else both)(tokens, targets)
    whole = decoding.log_probabilities(network, tokens, targets), decoding.read_prompts(network, tokens)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert not np.any(found[0].numpy()[tokens.numpy() == 0])
    assert (found[0].numpy()[tokens.numpy() != 0] < 0).all()


def test_states_are_one_tensor_and_back():
    like = [[tf.random.normal([3, 4]), tf.random.normal([3, 2])], [tf.random.normal([3, 1])]]
    together = decoding.packed(like)
    assert together.shape == (3, 7)
    for one, other in zip(tf.nest.flatten(decoding.unpacked(together, like)), tf.nest.flatten(like), strict=True):
        np.testing.assert_array_equal(one, other)


# The model


@pytest.fixture(scope="module", params=["language-model", "ngram", "window"])
def model(request):
    if request.param == "ngram":
        return sm.NgramLanguageModel.from_examples(TEXTS, tokenizer="whitespace", order=3)
    if request.param == "window":
        return sm.WindowLanguageModel.from_examples(TEXTS, tokenizer="whitespace", order=3, units=5)
    return shared("language-model")


def test_a_text_longer_than_any_limit_is_scored_whole(model):
    text = " ".join("a b c d e".split() * 300)  # longer than a window, and than max_length
    [answer], [scores] = model.predict_text([text]), model.score_tokens([text])
    assert answer["lengths"] == 1501 == len(scores["log_probabilities"]) == len(scores["tokens"])
    assert sum(scores["log_probabilities"]) == pytest.approx(answer["log_probability"], rel=1e-5)
    half = model.score_tokens([text[: len(text) // 2]])[0]["log_probabilities"][:-1]
    np.testing.assert_allclose(scores["log_probabilities"][: len(half)], half, rtol=1e-4)


def test_scores_follow_from_the_log_probabilities_of_the_tokens(model):
    texts = ["a b XYZ", "", "e e"]
    for text, scores in zip(texts, model.score_tokens(texts), strict=True):
        assert scores["tokens"] == [*text.split(), "</s>"]
        total, count = sum(scores["log_probabilities"]), scores["lengths"]
        assert scores["log_probability"] == pytest.approx(total, rel=1e-5)
        assert scores["perplexity"] == pytest.approx(math.exp(-total / count), rel=1e-5)
        assert scores["bits_per_character"] == pytest.approx(-total / math.log(2) / max(len(text), 1), rel=1e-5)


def test_a_chain_of_next_words_is_the_probability_of_the_text():
    model = small("language-model")
    words, log_p = ["a", "b", "c"], 0.0
    answer = model.start(tf.constant([""]))
    for word in [*words, "</s>"]:
        at = answer["words"].numpy()[0].tolist().index(word.encode())
        log_p += math.log(answer["probabilities"].numpy()[0, at])
        answer = model.step(tf.constant([word]), answer["states"])
    # `<unk>` and other control tokens have no part in the probability of a next word.
    assert log_p > model.predict_text(["a b c"])[0]["log_probability"]
    best, prompt = model.start(tf.constant(["a b"])), model.next_words(tf.constant(["a b"]))
    np.testing.assert_allclose(best["probabilities"], prompt["probabilities"], rtol=1e-6)


@pytest.mark.slow
def test_one_token_at_a_time_is_greedy_generation(model):
    [whole] = model.generate(["a"], max_length=8, temperature=0)
    answer, words = model.start(tf.constant(["a"])), ["a"]
    for _ in range(8):
        word = answer["words"].numpy()[0, 0].decode()
        if word == "</s>":
            break
        words.append(word)
        answer = model.step(tf.constant([word]), answer["states"])
    assert " ".join(words) == whole["text"]


# Prompts


def test_prompts_of_unequal_length_are_answered_as_each_alone(model):
    prompts = ["a b", "", "c " * 700 + "XYZ", "e"]
    options = {"max_length": 7, "top_k": 4, "top_p": 0.9, "repetition_penalty": 1.3, "min_length": 3}
    together = model.generate(prompts, seed=5, **options)
    for row, prompt in enumerate(prompts):
        assert model.generate([prompt], seed=5 + row, **options)[0]["text"] == together[row]["text"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "tokenizer, corpus, prompt, added",
    [
        ("whitespace", "the cat sat down .", "The  QUICK cat", " sat"),
        ("words", "the cat sat. the cat sat.", "the ZEBRA, cat", " sat"),
        ("words", "the cat sat. the cat sat.", "so the cat sat", "."),
        ("words", "the cat sat", "the cat ", "sat"),
        ("words", "我喜欢猫", "你我喜", "欢"),
        ("chars", "abcabc abcabc", "Qab", "c"),
        ("chars", "我喜欢猫", "她喜", "欢"),
        ("words", "the cat sat", "  ", "the"),
    ],
)
def test_an_answer_begins_with_the_prompt_as_it_was_written(tokenizer, corpus, prompt, added):
    lowercase = prompt == "The  QUICK cat"
    model = sm.NgramLanguageModel.from_examples([corpus] * 9, tokenizer=tokenizer, order=2, lowercase=lowercase)
    assert model.generate([prompt], max_length=1, temperature=0)[0]["text"] == prompt + added


@pytest.mark.slow
def test_pieces_go_on_in_the_middle_of_a_word():
    texts = ["walking walked talking talked"] * 9
    model = sm.NgramLanguageModel.from_examples(texts, tokenizer="wordpiece", order=3, vocabulary_size=20)
    for prompt in ("walk", "ZEBRA walk", "talking"):
        [answer] = model.generate([prompt], max_length=2, temperature=0)
        assert answer["text"].startswith(prompt) and "#" not in answer["text"]


def test_options_hold_in_generation():
    model = shared("language-model")
    for seed in range(4):
        [answer] = model.generate(["a"], max_length=6, min_length=6, seed=seed)
        assert len(answer["text"].split()) >= 6
    greedy = model.generate(["a"], max_length=6, temperature=0)
    assert model.generate(["a"], max_length=6, top_k=1, seed=7) == greedy
    assert model.generate(["a"], max_length=6, top_p=1e-6, seed=7) == greedy
    [penalized] = model.generate(["a b"], max_length=5, temperature=0, repetition_penalty=50.0, min_length=5)
    assert len(set(penalized["text"].split())) == 5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"top_k": -1}, "top_k must be 0 to .* Received: top_k=-1"),
        ({"top_k": 2**40}, "top_k must be"),
        ({"top_p": 0}, "top_p must be above 0 and at most 1. Received: top_p=0"),
        ({"top_p": 1.01}, "top_p must be"),
        ({"top_p": 1e-60}, "top_p must be"),
        ({"top_p": math.nan}, "top_p must be"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0"),
        ({"repetition_penalty": math.inf}, "repetition_penalty must be"),
        ({"temperature": 1e39}, "temperature must be 0 or more"),
        ({"min_length": -1}, "min_length must be 0 to 512"),
        ({"min_length": 9, "max_length": 3}, "min_length must be at most max_length. Received: min_length=9, max_l"),
        ({"max_length": 0}, "max_length must be 1 to 512"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        shared("language-model").generate(["a"], **options)
