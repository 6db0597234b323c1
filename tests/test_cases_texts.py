"""A text means the same everywhere; what is cut counts; `<unk>` is learned."""

import json
import os
import subprocess
import sys
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf

import seq_models as sm
from seq_models import cli
from seq_models.catalog import MODELS
from seq_models.text.codec import Codec
from seq_models.text.counting import count_lengths
from seq_models.text.datasets import Position, make_dataset
from seq_models.text.inspection import inspect_examples
from seq_models.text.normalization import fold_case
from seq_models.text.options import TEXT_OPTIONS, WHOLE, LabelerTextOptions, PairTextOptions, TextOptions
from seq_models.text.preprocessors import (
    EncoderDecoderPreprocessor,
    LanguageModelPreprocessor,
    SequenceClassifierPreprocessor,
    SequenceLabelerPreprocessor,
)
from seq_models.text.vocabulary import SPECIAL_TOKENS, UNKNOWN, Vocabulary

# The locale


TURKISH_I = [
    ("the film IYI IS", "pos"),
    ("the film kotu IS", "neg"),
    ("THIS IYI BIG", "pos"),
    ("THIS kotu BIG", "neg"),
    ("it IYI fine", "pos"),
    ("it kotu fine", "neg"),
    ("INN IYI is", "pos"),
    ("INN kotu is", "neg"),
    ("a IYI FILM", "pos"),
    ("a kotu FILM", "neg"),
]
ASKED = ["THE FILM IYI", "the film iyi", "Ì Í Ĩ J Į Ị", "DİYARBAKIR ıssız", "ΣΟΦΙΑΣ ÉTÉ Straße"]
# Trains, answers, and answers from an export: all in a process of this locale, whether it is installed or not.
PROGRAM = """
import json, sys
from pathlib import Path
import keras, tensorflow as tf, seq_models as sm
out, examples, asked = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
keras.utils.set_random_seed(1)
model = sm.SequenceClassifier.from_examples(list(map(tuple, examples)), units=4, lowercase=True)
model.compile("adam")
model.fit(model.dataset(list(map(tuple, examples)), shuffle=True), epochs=2, verbose=0)
model.sample_texts = asked
export = out / "1" if out.exists() else sm.export(model, out)
served = tf.saved_model.load(str(export)).signatures["serving_default"]
answers = [model._answer(tf.constant(asked)), served(text=tf.constant(asked))]
shown = [answer["probabilities"].numpy().tobytes().hex() for answer in answers]
ids = model.preprocessor.codec.encode(tf.constant(asked)).to_list()
print(json.dumps([model.preprocessor.codec.vocabulary.tokens, ids, *shown]))
"""


def in_locale(locale, arguments):
    """What the program says in a process of a locale."""
    environment = {**os.environ, "LC_ALL": locale, "LANG": locale, "CUDA_VISIBLE_DEVICES": "-1"}
    words = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_training_answers_and_exports_are_the_same_to_the_last_bit_in_every_locale(tmp_path, monkeypatch, capsys):
    arguments = [str(tmp_path / "export"), json.dumps(TURKISH_I), json.dumps(ASKED)]
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    exec(PROGRAM, {})  # noqa: S102  in the locale of this process
    usual = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "iyi" in usual[0] and usual[1][0] == usual[1][1]
    for locale in ("tr_TR.UTF-8", "lt_LT.UTF-8"):
        assert in_locale(locale, arguments) == usual, locale


def test_case_is_folded_by_unicodes_simple_folding_one_character_for_one():
    texts = ["IYI ıi", "ÄPFEL Straße ẞ", "ΣΟΦΙΑΣ", "ǅ ＡＢ Ա Ꭰ 𐐀", "می\u200cروم 👩\u200d🚀 ½…", ""]
    folded = [text.decode() for text in fold_case(tf.constant(texts)).numpy()]
    assert folded == ["iyi ıi", "äpfel straße ß", "σοφιασ", "ǆ ａｂ ա Ꭰ 𐐨", "می\u200cروم 👩\u200d🚀 ½…", ""]
    for text, found in zip(texts, folded, strict=True):
        assert len(text) == len(found)
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x20000)]))
    [found] = fold_case(tf.constant([every])).numpy()
    wrong = [
        one
        for one, other in zip(every, found.decode(), strict=True)
        if len(one.casefold()) == 1 and other != one.casefold()
    ]
    assert not wrong


# Normalization


def test_composed_and_decomposed_texts_have_the_same_ids():
    codec = Codec.train(["café naïve", "未啡"], TextOptions())
    composed, decomposed = codec.encode(tf.constant(["café naïve", "cafe\u0301 nai\u0308ve"])).to_list()
    assert composed == decomposed
    assert UNKNOWN not in composed


@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "chars", "wordpiece"])
@pytest.mark.parametrize("text", ["é ệ ñ", "가나다 한글", "Å Ω", "\u0928\u093c"])
def test_every_tokenizer_reads_the_form_of_an_option(tokenizer, text):
    forms = tf.constant([unicodedata.normalize(form, text) for form in ("NFC", "NFD")])
    texts = [unicodedata.normalize("NFC", text)] * 20
    codec = Codec.train(texts, TextOptions(tokenizer, vocabulary_size=60))
    one, other = codec.tokenize(forms).to_list()
    assert one == other
    ids = codec.encode(forms).to_list()
    assert ids[0] == ids[1] and UNKNOWN not in ids[0]
    untouched = Codec(tokenizer, codec.vocabulary, normalization="none").normalize(forms)
    assert untouched.numpy().tolist() == forms.numpy().tolist()


def test_compatible_forms_are_one_by_nfkc_only():
    forms = tf.constant(["ﬁn ２", "fin 2"])
    for normalization, same in (("nfc", False), ("nfkc", True), ("none", False)):
        one, other = Codec.train(["fin 2"], TextOptions(normalization=normalization)).encode(forms).to_list()
        assert (one == other) is same


def test_a_labelers_tokens_letters_and_answers_are_normalized_too():
    examples = [(["Café", "naïve"], ["N", "A"])]
    model = sm.SequenceLabeler.from_examples(examples, units=3, lowercase=True)
    composed = model.preprocessor.rows(examples)
    decomposed = model.preprocessor.rows([(["Cafe\u0301", "nai\u0308ve"], ["N", "A"])])
    for one, other in zip(composed[0], decomposed[0], strict=True):
        assert np.array_equal(one, other)
    assert UNKNOWN not in composed[0][0] and UNKNOWN not in composed[0][1]
    one, other = model.predict_text(["Café naïve", "Cafe\u0301 nai\u0308ve"])
    assert one == other


def test_a_labeler_spells_the_words_of_a_text_as_it_spelled_those_it_was_trained_on():
    examples = [(["Apple", "IPad"], ["N", "N"])]
    preprocessor = sm.SequenceLabeler.from_examples(examples, units=3, lowercase=True).preprocessor
    trained, _, _ = preprocessor.stack(preprocessor.rows(examples))
    ids, spelled = preprocessor.inputs(tf.constant(["Apple IPad"]))
    assert np.array_equal(ids, trained[0])
    assert np.array_equal(spelled[:, :, : trained[1].shape[-1]], trained[1])


def test_a_model_from_before_normalization_is_refused_in_a_sentence():
    config = Codec.train(["a"], TextOptions()).get_config()
    del config["normalization"]
    with pytest.raises(sm.InputError, match="train it anew .* Received: a model from before there was `normalization`"):
        Codec.from_config(config)


# What is not seen


INVISIBLE = ["10\u00a0000 km\u2009far", "zero\u200bwidth soft\u00adhyphen", "می\u200cروم", "👩\u200d🚀 ok"]
TOKENS = [
    ["10", "000", "km", "far"],
    ["zero\u200bwidth", "soft\u00adhyphen"],
    ["می\u200cروم"],
    ["👩\u200d🚀", "ok"],
]


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_invisible_characters_separate_if_they_are_white_space_and_tear_nothing_apart_if_not(tokenizer):
    codec = Codec.train(INVISIBLE, TextOptions(tokenizer))
    found = codec.tokenize(tf.constant(INVISIBLE)).to_list()
    assert [[token.decode() for token in row] for row in found] == TOKENS
    back = codec.decode(codec.encode(tf.constant(INVISIBLE)).to_tensor()).numpy()
    assert [text.decode() for text in back] == [" ".join(row) for row in TOKENS]
    counts = inspect_examples(INVISIBLE, "language-model", TextOptions(tokenizer)).counts
    assert (counts["tokens"], counts["distinct tokens"], counts["longest example"]) == (9, 9, 4)


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "chars", "wordpiece"])
def test_all_white_space_of_unicode_separates_and_is_no_token(tokenizer):
    spaces = [chr(code) for code in (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))]
    spaces += [chr(code) for code in (0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
    codec = Codec.train(["a b"] * 9, TextOptions(tokenizer, vocabulary_size=20))
    texts = [f"{space}a{space}{space}b{space}" for space in spaces]
    for row in codec.encode(tf.constant(texts)).to_list():
        assert row == codec.encode(tf.constant(["a b"])).to_list()[0]
    assert codec.tokenize(tf.constant(spaces)).to_list() == [[]] * len(spaces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffbom \u200eleft\u200f, right", ["\ufeffbom", "\u200eleft\u200f", ",", "right"]),
        ("(\u200eabc\u200f)", ["(\u200e", "abc\u200f", ")"]),
        ("don\u00ad't co\u2060op", ["don\u00ad't", "co\u2060op"]),
        ("葛\U000e0100城", ["葛\U000e0100", "城"]),
        ("👍🏽! ❤️ 🇩🇪🇫🇷 1️⃣", ["👍🏽", "!", "❤️", "🇩🇪", "🇫🇷", "1️⃣"]),
        ("👨\u200d👩\u200d👧👨\u200d👩", ["👨\u200d👩\u200d👧", "👨\u200d👩"]),
        ("\u200b x", ["\u200b", "x"]),
    ],
)
def test_format_characters_belong_to_what_they_stand_beside(text, expected):
    [row] = Codec("words", Vocabulary(SPECIAL_TOKENS)).tokenize(tf.constant([text])).to_list()
    assert [token.decode() for token in row] == expected


# What is cut


LONG = [(["a"] * 3, ["X"] * 3), (["a"] * 9, ["X"] * 9), (["a"] * 4, ["X"] * 4)]


def predicting(model, predictions):
    """The model, which predicts what is told for a shape (B, T)."""
    model.compare_rows = lambda inputs, targets, _: (
        np.zeros(len(targets)),
        predictions(targets.shape),
        np.count_nonzero(inputs[0], axis=1),
        np.ones(targets.shape),
    )
    return model


def labeler(max_length):
    """A labeler that is right for every token that it reads."""
    model = sm.SequenceLabeler.from_examples([*LONG, (["b"], ["Y"])], units=3, max_length=max_length)
    return predicting(model, lambda shape: np.zeros(shape, int))


def test_tokens_that_are_cut_off_are_missed_by_the_labeler():
    assert labeler(5).score(LONG)["accuracy"] == pytest.approx(11 / 16)
    assert labeler(10).score(LONG)["accuracy"] == 1


def test_entities_that_are_cut_off_are_missed_by_the_labeler():
    examples = [(["a"] * 6, ["B-P", "I-P"] * 3)]
    model = sm.SequenceLabeler.from_examples(examples, units=3, max_length=3)
    predicting(model, lambda _: np.array([[0, 1, 0]]))
    assert model.preprocessor.labels.names == ["B-P", "I-P", "O"]
    scores = model.score(examples)
    assert scores["accuracy"] == pytest.approx(2 / 6)
    assert scores["entity_f1"] == pytest.approx(2 * 1 / (3 + 1))


@pytest.mark.slow
def test_a_labeler_answers_with_every_token_and_no_label_for_those_that_are_cut_off(tmp_path):
    model = labeler(4)
    asked = ["a " * 6, "a", ""]
    answers = model.predict_text(asked)
    assert [answer["lengths"] for answer in answers] == [6, 1, 0]
    assert answers[0]["tokens"] == ["a"] * 6
    assert set(answers[0]["tags"][:3]) <= {"X", "Y"} and answers[0]["tags"][3:] == [""] * 3
    assert [score > 0 for score in answers[0]["scores"]] == [True] * 3 + [False] * 3
    model.sample_texts = asked
    signatures = tf.saved_model.load(str(sm.export(model, tmp_path / "export"))).signatures
    served = signatures["serving_default"](text=tf.constant(asked))
    cut = signatures["tokens"](tokens=tf.constant([["a"] * 6]))
    for tags in (served["tags"], cut["tags"]):
        assert [tag.decode() for tag in tags.numpy()[0]] == answers[0]["tags"]


def test_lengths_are_counted_before_anything_is_cut_and_batches_are_made_after():
    pairs = [("a b c d e f", "x"), ("a", "x y"), ("a b", "x")]
    preprocessor = EncoderDecoderPreprocessor.from_examples(pairs, PairTextOptions(max_length=4))
    assert count_lengths(preprocessor, pairs) == [{3: 2, 7: 1}]
    dataset = make_dataset(preprocessor, pairs, batch_tokens=8)
    assert len(list(dataset)) == dataset.batches_in_epoch
    assert max(source.shape[1] for (source, _), _, _ in dataset) == 4


@pytest.mark.slow
def test_every_command_says_how_many_texts_are_cut(tmp_path, capsys):
    texts = tmp_path / "texts.tsv"
    texts.write_text("a b c d\tx\na b\ty\na b c d e\tx\n" * 2)

    def said(*arguments):
        assert cli.main([str(argument) for argument in arguments]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "max_length" in line]

    run, options = tmp_path / "run", ["units=3", "epochs=1", "max_length=4", "watch_share=0"]
    sentence = "seq-models: 4 of 6 {} are cut to max_length=4 tokens, the end token included; the longest has 6"
    train = ["train", "classifier", "--train", texts, "--valid", texts, "--out", run, "--set", *options]
    names = ("training examples", "validation examples")
    assert said(*train) == [sentence.format(name) for name in names]
    assert said("evaluate", run, "--data", texts) == [sentence.format("examples")]
    assert said("inspect", "classifier", "--data", texts, "--set", "max_length=4") == [sentence.format("examples")]
    assert said("inspect", "classifier", "--data", texts) == []
    questions = tmp_path / "questions.txt"
    questions.write_text("a b c d\na\na b c d e\n")
    assert said("predict", run, "--input", questions) == [
        "seq-models: 2 of 3 texts are cut to max_length=4 tokens, the end token included; the longest has 6"
    ]
    questions.write_text("a\n")
    assert said("predict", run, "--input", questions) == []


def test_a_classifier_reads_documents_by_default():
    assert {task: options().max_length for task, options in TEXT_OPTIONS.items()} == {
        "language-model": WHOLE,
        "labeler": 512,
        "classifier": 2048,
        "encoder-decoder": 512,
        "multi-label": 2048,
    }
    assert all(MODELS[task].preprocessor_class.options_class is kind for task, kind in TEXT_OPTIONS.items())


# Unknown words


WORDS = [" ".join(["often", f"rare{number}", "often"]) for number in range(400)]
EXAMPLES = {
    LanguageModelPreprocessor: WORDS,
    SequenceClassifierPreprocessor: [(text, "x") for text in WORDS],
    SequenceLabelerPreprocessor: [(text.split(), ["A", "B", "A"]) for text in WORDS],
    EncoderDecoderPreprocessor: [(text, text) for text in WORDS],
}
each_kind = pytest.mark.parametrize("kind", EXAMPLES)


def make(kind, **options):
    return kind.from_examples(EXAMPLES[kind], kind.options_class(tokenizer="whitespace", **options))


def arrays(dataset):
    return [[array.numpy() for array in tf.nest.flatten(batch)] for batch in dataset]


@each_kind
def test_a_training_reads_half_of_the_words_seen_once_as_unknown_and_says_none_so(kind):
    preprocessor = make(kind)
    assert preprocessor.codec.vocabulary.seen_once == 400
    plain, training = (
        arrays(make_dataset(preprocessor, EXAMPLES[kind], training=training)) for training in (False, True)
    )
    inputs = len(tf.nest.flatten(preprocessor.spec[0]))
    unknown = 0
    for before, after in zip(plain, training, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(before[inputs:], after[inputs:], strict=True))
        changed = before[0] != after[0]
        assert np.all(after[0][changed] == UNKNOWN)
        assert np.all(before[0][changed] >= len(preprocessor.codec.vocabulary) - 400)
        unknown += changed.sum()
    assert abs(unknown / 400 - 0.5) < 5 * 0.5 / 20  # five standard deviations of a share of 400
    assert all(np.all(batch[0] != UNKNOWN) for batch in plain)


def test_the_words_that_are_unknown_follow_from_seed_epoch_and_batch():
    preprocessor = make(LanguageModelPreprocessor)

    def batches(seed=3, **more):
        return arrays(make_dataset(preprocessor, WORDS, 16, shuffle=True, seed=seed, training=True, **more))

    def same(one, other):
        return all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))

    whole = batches()
    assert same(batches(), whole)
    assert same(batches(position=Position(0, 7)), whole[7:])
    unknown = [np.concatenate([b[0][:, 2] == UNKNOWN for b in found]) for found in (whole, batches(seed=4))]
    assert np.any(unknown[0] != unknown[1])
    assert not same(batches(position=Position(1, 0)), whole)
    for index in range(2):
        share = batches(share=(index, 2))
        assert same(share, [[array[index::2] for array in batch] for batch in whole])


def test_what_is_shuffled_is_to_be_trained_on_and_nothing_else_has_unknown_words():
    model = sm.LanguageModel.from_examples(WORDS, tokenizer="whitespace", units=3)

    def unknown(**options):
        return sum((inputs.numpy() == UNKNOWN).sum() for inputs, _, _ in model.dataset(WORDS, **options))

    assert unknown(shuffle=True) > 100
    assert unknown() == unknown(shuffle=True, training=False) == 0


@pytest.mark.parametrize("options", [{"unknown_share": 0}, {"min_count": 2}])
def test_nothing_is_replaced_if_so_asked_or_where_the_corpus_has_unknown_words_itself(options):
    preprocessor = make(LanguageModelPreprocessor, **options)
    plain, training = (arrays(make_dataset(preprocessor, WORDS, training=training)) for training in (False, True))
    assert all(np.array_equal(one[0], other[0]) for one, other in zip(plain, training, strict=True))


def test_the_share_and_the_words_seen_once_are_part_of_a_saved_model():
    preprocessor = make(SequenceLabelerPreprocessor, unknown_share=0.25)
    again = SequenceLabelerPreprocessor.from_config(preprocessor.get_config())
    assert again.get_config() == preprocessor.get_config()
    assert (again.codec.unknown_share, again.codec.vocabulary.seen_once) == (0.25, 400)
    assert LabelerTextOptions().unknown_share == 0.5


@pytest.mark.slow
def test_a_training_learns_what_an_unknown_word_is():
    rng = np.random.default_rng(0)
    examples = [(["the", f"w{rng.integers(10**9)}"], ["DET", "NOUN"]) for _ in range(200)]
    examples += [(["the", "the"], ["DET", "DET"])] * 200
    unknown = {}
    for share in (0.0, 0.5):
        keras.utils.set_random_seed(1)
        model = sm.SequenceLabeler.from_examples(examples, units=4, characters=False, unknown_share=share)
        before = model.embeddings()["embedding"][1][UNKNOWN]
        model.compile(keras.optimizers.Adam(0.03))
        model.fit(model.dataset(examples, 32, shuffle=True), epochs=6, verbose=0)
        unknown[share] = np.abs(model.embeddings()["embedding"][1][UNKNOWN] - before).max()
    assert unknown[0.0] == 0 < 0.05 < unknown[0.5]
    assert model.score([(["the", "never"], ["DET", "NOUN"])])["accuracy"] == 1
