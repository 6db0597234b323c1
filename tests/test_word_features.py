"""Capitals, shape, prefixes and suffixes of words: what they are, and that a labeler tells words by them."""

import re
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf

import seq_models as sm
from seq_models.layers import FeatureEncoder
from seq_models.text.preprocessors import SequenceLabelerPreprocessor
from seq_models.text.vocabulary import END, PAD, UNKNOWN
from seq_models.text.word_features import capitals, prefix, shape, suffix, word_features

WORDS = (
    "rain Rain RAIN I iPhone McDonald's Blue-42 42 1,000 Ünal ÉCOLE straße ǅungla 中文 中A ... 'Tis R2D2 x X d".split()
)
EXAMPLES = [(["Rain", "falls", "."], ["A", "B", "C"]), (["the", "Ebro", "fell", "2"], ["B", "A", "B", "C"])]
OPTIONS = {"units": 4, "tokenizer": "whitespace", "lowercase": True, "characters": False, "unknown_share": 0.0}


def strings(tensor):
    return [value.decode() for value in tensor.numpy()]


def is_upper(letter):
    return unicodedata.category(letter) in ("Lu", "Lt")


def is_cased(letter):
    return is_upper(letter) or unicodedata.category(letter) == "Ll"


def capitals_of(word):
    cased = [is_upper(letter) for letter in word if is_cased(letter)]
    if not any(cased):
        return "lower" if cased else "none"
    return "first" if cased[0] and not any(cased[1:]) else "all" if all(cased) else "mixed"


def shape_of(word):
    kinds = "".join(
        "X" if is_upper(c) else "x" if c.isalpha() else "d" if unicodedata.category(c)[0] == "N" else c for c in word
    )
    return re.sub(r"([Xxd])\1+", r"\1\1", kinds)


def test_capitals_and_shapes_are_those_of_an_implementation_character_by_character():
    assert strings(capitals(tf.constant(WORDS))) == list(map(capitals_of, WORDS))
    assert strings(shape(tf.constant(WORDS))) == list(map(shape_of, WORDS))
    assert strings(shape(tf.constant(["Blue-42", "McDonald", "U.S.", "e\u0301t"]))) == ["Xxx-dd", "XxXxx", "X.X.", "xx"]
    assert strings(capitals(tf.constant(["", "I"]))) == ["none", "first"]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_prefixes_and_suffixes_are_of_characters_and_of_short_words_the_whole(length):
    words = [*WORDS, ""]
    assert strings(prefix(tf.constant(words), length)) == [word[:length] for word in words]
    assert strings(suffix(tf.constant(words), length)) == [word[-length:] for word in words]


def test_affixes_are_of_words_as_they_are_read_and_capitals_as_they_are_written():
    names = ["capitals", "prefixes-1", "suffixes-2"]
    found = word_features(names, tf.constant(["Rain"]), tf.constant(["rain"]))
    assert strings(found[0]) == ["capitals=first", "prefixes-1=r", "suffixes-2=in"]


def preprocessor(**options):
    return SequenceLabelerPreprocessor.learned(
        EXAMPLES, SequenceLabelerPreprocessor.options_class(lowercase=True, characters=False, **options)
    )


def test_each_token_has_its_features_and_the_end_none():
    made = preprocessor(capitals=True, suffixes=2)
    (ids, features), _, _ = made.stack(made.rows(EXAMPLES))
    assert ids.shape == features.shape[:2] == (2, 5) and features.shape[2] == 3
    names = [made.features.vocabulary.tokens[i] for i in features[0, 1]]
    assert names == ["capitals=lower", "suffixes-1=s", "suffixes-2=ls"]
    assert (features[0, 3] == END).all() and (features[0, 4] == PAD).all() and (features[1, 4] == END).all()
    unseen = made.inputs(tf.constant(["RAIN"]))[1][0, 0].numpy()
    assert unseen[0] == UNKNOWN and made.features.vocabulary.tokens[unseen[2]] == "suffixes-2=in"


def test_features_are_hidden_as_words_are_so_that_unknown_ones_are_learned():
    made = preprocessor(suffixes=3, unknown_share=0.9)
    batch = made.stack(made.rows(EXAMPLES))
    hidden = made.with_unknown(batch, np.random.default_rng(0))[0][1]
    changed = hidden != batch[0][1]
    assert changed.any() and (hidden[changed] == UNKNOWN).all()
    assert (batch[0][1][changed] >= made.features.vocabulary.first_seen_once).all()


def test_the_vector_of_a_word_has_the_embeddings_of_its_features_one_after_the_other():
    layer, ids = FeatureEncoder(9, 3, units=2), np.random.randint(0, 9, (2, 4, 3))
    found = layer(ids).numpy()
    table = layer.get_weights()[0]
    for place in np.ndindex(2, 4):
        assert np.array_equal(found[place], np.concatenate([table[i] for i in ids[place]]))
    assert FeatureEncoder.from_config(layer.get_config()).get_config() == layer.get_config()
    assert layer.compute_output_shape((2, 4, 3)) == (2, 4, 6)


@pytest.fixture(scope="module")
def model():
    return sm.SequenceLabeler.from_examples(EXAMPLES, capitals=True, word_shape=True, prefixes=1, suffixes=2, **OPTIONS)


@pytest.mark.slow
def test_words_that_lower_case_makes_one_are_told_apart_and_texts_are_read_as_tokens_are(model, tmp_path):
    texts = ["Rain falls", "rain falls"]
    one, other = model.predict_text(texts)
    assert not np.allclose(one["scores"], other["scores"], atol=1e-6)
    assert model.predict_text([text.split() for text in texts]) == [one, other]
    plain = sm.SequenceLabeler.from_examples(EXAMPLES, **OPTIONS).predict_text(texts)
    assert plain[0]["scores"] == plain[1]["scores"]
    model.save_run(tmp_path / "run")
    assert sm.load_run(tmp_path / "run").predict_text(texts) == [one, other]
    assert "suffixes-2=in" in (tmp_path / "run" / "features.txt").read_text("utf-8")


def test_characters_and_features_are_read_beside_each_other_and_learned():
    keras.utils.set_random_seed(1)
    model = sm.SequenceLabeler.from_examples(EXAMPLES, suffixes=2, **{**OPTIONS, "characters": True})
    assert [len(codec.vocabulary) for codec in model.preprocessor.codecs()] == [
        layer.input_dim if hasattr(layer, "input_dim") else layer.vocabulary_size
        for layer in map(model.network.get_layer, ("embedding", "characters_encoder", "features_encoder"))
    ]
    before = model.network.get_layer("features_encoder").get_weights()[0]
    model.compile(keras.optimizers.SGD(1.0))
    model.fit(model.dataset(EXAMPLES, shuffle=True), verbose=0)
    assert np.abs(model.network.get_layer("features_encoder").get_weights()[0] - before).max() > 1e-4
