"""Tokenizers, vocabularies, codecs and pipelines: what the graph makes of texts."""

import numpy as np
import pytest
import tensorflow as tf

from seq_models import InputError
from seq_models.text.codec import Codec, dense
from seq_models.text.datasets import make_dataset
from seq_models.text.example_types import EXAMPLE_TYPES
from seq_models.text.labels import Labels
from seq_models.text.options import LabelerTextOptions, PairTextOptions, TextOptions
from seq_models.text.preprocessors import (
    EncoderDecoderPreprocessor,
    LanguageModelPreprocessor,
    SequenceClassifierPreprocessor,
    SequenceLabelerPreprocessor,
)
from seq_models.text.vocabulary import SPECIAL_TOKENS, Vocabulary

TEXTS = ["Don't stop, T-Shirt (well-known)!", "我爱Python编程。很好！", "naïve café 3.5 %", "", "  "]


def tokens(codec, texts):
    return [[token.decode() for token in row] for row in codec.tokenize(tf.constant(texts)).to_list()]


def untrained(tokenizer, **options):
    return Codec(tokenizer, Vocabulary(SPECIAL_TOKENS), **options)


def test_words_are_cut_at_white_space_and_punctuation_and_han_characters_stand_alone():
    assert tokens(untrained("words"), TEXTS) == [
        ["Don't", "stop", ",", "T-Shirt", "(", "well-known", ")", "!"],
        ["我", "爱", "Python", "编", "程", "。", "很", "好", "！"],
        ["naïve", "café", "3.5", "%"],
        [],
        [],
    ]


def test_words_are_joined_as_they_are_written():
    texts = ["„Ja“, l’été 100% (so gut) [1]!"]
    codec = Codec.train(texts, TextOptions("words"))
    assert tokens(codec, texts) == [
        ["„", "Ja", "“", ",", "l’été", "100", "%", "(", "so", "gut", ")", "[", "1", "]", "!"]
    ]
    [text] = codec.decode(codec.encode(tf.constant(texts)).to_tensor()).numpy()
    assert text.decode() == "„Ja “, l’été 100% (so gut) [1]!"


def test_whitespace_tokens_are_what_stands_between_white_space():
    assert tokens(untrained("whitespace"), ["a  b\tc.", "我 爱"]) == [["a", "b", "c."], ["我", "爱"]]


def test_characters_are_unicode_characters_and_white_space_runs_are_one_space():
    assert tokens(untrained("chars"), [" é 我\t  x "]) == [["é", " ", "我", " ", "x"]]


@pytest.mark.parametrize("tokenizer", ["words", "chars", "whitespace"])
def test_decoding_what_was_encoded_gives_the_text_back(tokenizer):
    texts = ["The cat, which sat (there), isn't 3.5 kg!", "我爱编程。很好！"]
    codec = Codec.train(texts, TextOptions(tokenizer))
    assert [t.decode() for t in codec.decode(codec.encode(tf.constant(texts)).to_tensor()).numpy()] == texts


def test_wordpieces_cut_unknown_words_into_known_pieces_and_decode_to_the_words():
    texts = ["lower lowest newer newest wider widest"] * 30
    codec = Codec.train(texts, TextOptions("wordpiece", vocabulary_size=40))
    assert tuple(codec.vocabulary.tokens[:4]) == SPECIAL_TOKENS
    [cut] = tokens(codec, ["wider lower"])
    assert "".join(cut).replace("##", "") == "widerlower"
    [decoded] = codec.decode(codec.encode(tf.constant(["lower widest"])).to_tensor()).numpy()
    assert decoded.decode() == "lower widest"


@pytest.mark.parametrize("asked, said", [(300, True), (20, False), (None, False)])
def test_fewer_word_pieces_than_are_asked_for_are_said(asked, said, capsys):
    codec = Codec.train(["lower lowest newer newest rare"] * 30, TextOptions("wordpiece", vocabulary_size=asked))
    sentence = f"Only {len(codec.vocabulary)} word pieces, for vocabulary_size={asked}: no others are seen 2 times."
    assert (sentence in capsys.readouterr().err) == said


def test_the_same_text_is_cut_alike_eagerly_and_in_a_graph():
    codec = Codec.train(TEXTS, TextOptions("words"))
    encode = tf.function(codec.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    assert encode(tf.constant(TEXTS)).to_list() == codec.encode(tf.constant(TEXTS)).to_list()


def test_every_encoded_text_ends_with_the_end_token_and_is_cut_to_max_length():
    codec = Codec.train(["a b c d"], TextOptions("whitespace", max_length=3))
    assert codec.encode(tf.constant(["a b c d", "a", ""])).to_list() == [[4, 5, 3], [4, 3], [3]]


def test_tokens_that_are_cut_already_are_cleaned_and_cut_as_texts_are():
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "a", "b\ufffd"])
    codec = Codec("whitespace", vocabulary, lowercase=True, max_length=4)
    assert codec.encode_tokens(tf.ragged.constant([[b"A", b"B\xff", b"a", b"a"], []])).to_list() == [[4, 5, 4, 3], [3]]


def test_no_text_is_a_batch_of_no_rows_and_one_step():
    codec = Codec("whitespace", Vocabulary([*SPECIAL_TOKENS, "a"]))
    assert dense(codec.encode(tf.constant([], tf.string))).shape == (0, 1)
    assert dense(codec.encode(tf.constant(["a", ""]))).numpy().tolist() == [[4, 3], [3, 0]]


def test_lower_case_folds_every_script():
    assert tokens(untrained("words", lowercase=True), ["ÄPFEL Straße ΣΟΦΙΑ"]) == [["äpfel", "straße", "σοφια"]]


def test_invalid_utf8_becomes_the_replacement_character():
    assert tokens(untrained("whitespace"), [b"a\xff b"]) == [["a\ufffd", "b"]]


def test_a_vocabulary_keeps_the_most_frequent_tokens_ties_in_alphabetical_order():
    counts = {"c": 3, "b": 5, "a": 3, "d": 1, "<unk>": 99}
    assert Vocabulary.from_counts(counts).tokens == [*SPECIAL_TOKENS, "b", "a", "c", "d"]
    assert Vocabulary.from_counts(counts, size=6).tokens == [*SPECIAL_TOKENS, "b", "a"]
    assert Vocabulary.from_counts(counts, min_count=3).tokens == [*SPECIAL_TOKENS, "b", "a", "c"]


def test_a_text_cannot_name_padding_start_or_end():
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "a"])
    assert vocabulary.ids(tf.constant(["<pad>", "<unk>", "<s>", "</s>", "a", "?"])).numpy().tolist() == [
        1,
        1,
        1,
        1,
        4,
        1,
    ]


def test_a_vocabulary_file_gives_the_vocabulary_back_with_spaces_han_and_separators_of_lines(tmp_path):
    vocabulary = Vocabulary([*SPECIAL_TOKENS, " ", "我", "é", "a\u2028b", "\x85", "\x0c"])
    vocabulary.save(tmp_path / "v.txt")
    assert Vocabulary.load(tmp_path / "v.txt").tokens == vocabulary.tokens


@pytest.mark.parametrize("token", ["a\nb", "\r"])
def test_a_token_that_does_not_fit_on_a_line_cannot_be_saved(token, tmp_path):
    with pytest.raises(InputError, match="must stand on a line by itself. Received: "):
        Vocabulary([*SPECIAL_TOKENS, token]).save(tmp_path / "v.txt")


@pytest.mark.parametrize("wrong", [["a", "b"], [*SPECIAL_TOKENS, "a", "a"]])
def test_a_vocabulary_without_its_special_tokens_or_with_one_token_twice_is_refused(wrong):
    with pytest.raises(InputError, match="Received"):
        Vocabulary(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"tokenizer": "word"},
            "tokenizer must be one of whitespace, words, chars, wordpiece. Received: tokenizer='word'",
        ),
        ({"max_length": 1}, "max_length must be an integer at least 2. Received: max_length=1"),
        ({"vocabulary_size": 3}, "vocabulary_size must be an integer at least 4, or None. Received: vocabulary_size=3"),
        ({"min_count": 0}, "min_count must be a positive integer. Received: min_count=0"),
        ({"lowercase": 1}, "lowercase must be true or false. Received: lowercase=1"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused(options, message):
    for options_class in (TextOptions, LabelerTextOptions):
        with pytest.raises(ValueError) as raised:
            options_class(**options)
        assert str(raised.value) == (message if options_class is TextOptions else message.replace(", wordpiece", ""))


def test_a_labeler_has_no_word_pieces():
    with pytest.raises(ValueError, match="whitespace, words, chars. Received: tokenizer='wordpiece'"):
        LabelerTextOptions("wordpiece")


def test_the_size_and_the_least_count_of_a_vocabulary_are_options_of_the_text():
    assert Codec.train(["a b a c"], TextOptions("whitespace", min_count=2)).vocabulary.tokens[4:] == ["a"]
    assert Codec.train(["a b a c"], TextOptions("whitespace", vocabulary_size=6)).vocabulary.tokens[4:] == ["a", "b"]


def test_unknown_words_are_shown_and_other_special_tokens_are_not():
    codec = Codec("whitespace", Vocabulary([*SPECIAL_TOKENS, "a"]))
    assert codec.decode(tf.constant([[2, 1, 4, 3, 0]])).numpy().tolist() == [b"<unk> a"]


def test_a_codec_survives_its_config():
    codec = Codec.train(TEXTS, TextOptions("words", lowercase=True, max_length=7))
    again = Codec.from_config(codec.get_config())
    assert again.get_config() == codec.get_config()
    assert again.encode(tf.constant(TEXTS)).to_list() == codec.encode(tf.constant(TEXTS)).to_list()


def test_labels_know_their_numbers_and_an_unseen_one():
    labels = Labels(["bad", "good"])
    assert labels.ids(tf.constant(["good", "bad"])).numpy().tolist() == [1, 0]
    assert [name.decode() for name in labels.lookup(tf.constant([1, 0])).numpy()] == ["good", "bad"]
    assert labels.unseen(["good", "fine"]) == ["fine"]
    assert (labels.ids(tf.constant(["fine", "good"])).numpy() >= 2).tolist() == [True, False]


def rows(dataset):
    """All examples of a dataset of batches, padding cut off by the weights."""
    found = []
    for inputs, targets, weights in dataset:
        for row, target, weight in zip(inputs.numpy(), targets.numpy(), weights.numpy(), strict=True):
            real = weight > 0
            found.append((row[real].tolist(), target[real].tolist()))
    return found


def numbered(count):
    rng = np.random.default_rng(0)
    return [" ".join([f"w{i}"] * rng.integers(1, 9)) for i in range(count)]


def test_a_language_models_targets_are_its_inputs_one_step_on():
    preprocessor = LanguageModelPreprocessor.from_examples(["a b c", "a"], TextOptions("whitespace"))
    [(inputs, targets, weights)] = make_dataset(preprocessor, ["a b c", "a"])
    assert inputs.numpy().tolist() == [[2, 4, 0, 0], [2, 4, 5, 6]]
    assert targets.numpy().tolist() == [[4, 3, 0, 0], [4, 5, 6, 3]]
    assert weights.numpy().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_an_epoch_holds_every_example_once_whatever_the_batch_size():
    texts = numbered(501)
    preprocessor = LanguageModelPreprocessor.from_examples(texts, TextOptions("whitespace"))
    for options in ({"batch_size": 1}, {"batch_size": 7, "shuffle": True}, {"batch_size": 64}):
        dataset = make_dataset(preprocessor, texts, **options)
        batches = list(dataset)
        assert len(batches) == len(dataset) == -(-501 // options["batch_size"])
        assert sorted(rows(dataset)) == sorted(rows(make_dataset(preprocessor, texts, batch_size=501)))


def test_shuffling_changes_from_epoch_to_epoch_and_a_seed_repeats_it():
    texts = numbered(200)
    preprocessor = LanguageModelPreprocessor.from_examples(texts, TextOptions("whitespace"))
    one, two = (make_dataset(preprocessor, texts, batch_size=8, shuffle=True, seed=5) for _ in range(2))
    epochs = [rows(one), rows(one)]
    assert epochs[0] != epochs[1]
    assert epochs == [rows(two), rows(two)]


def test_batches_hold_examples_of_like_length():
    texts = numbered(500)
    preprocessor = LanguageModelPreprocessor.from_examples(texts, TextOptions("whitespace"))
    weights = [w.numpy() for _, _, w in make_dataset(preprocessor, texts, batch_size=10, shuffle=True)]
    padding = 1 - sum(w.sum() for w in weights) / sum(w.size for w in weights)
    assert padding < 0.05


def test_a_labelers_end_token_is_read_but_not_labeled():
    examples = [(["I", "eat", "apple"], ["P", "V", "N"]), (["Apple"], ["N"])]
    preprocessor = SequenceLabelerPreprocessor.from_examples(examples, LabelerTextOptions())
    [((ids, characters), targets, weights)] = make_dataset(preprocessor, examples)
    assert targets.numpy().tolist() == [[0, 0, 0, 0], [1, 2, 0, 0]]
    assert weights.numpy().tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]
    assert ids.numpy()[0].tolist()[1:] == [3, 0, 0]
    assert characters.shape == (2, 4, 6)  # "apple" and its end
    assert np.all(characters.numpy()[0, 2:] == 0)


def test_a_labelers_words_are_folded_to_lower_case_in_the_vocabulary_and_spelled_as_they_are():
    examples = [(["Apple", "apple", "Pie"], ["N", "N", "N"])]
    preprocessor = SequenceLabelerPreprocessor.from_examples(examples, LabelerTextOptions(lowercase=True))
    assert preprocessor.codec.vocabulary.tokens[4:] == ["apple", "pie"]
    assert preprocessor.characters.vocabulary.tokens[4:] == ["p", "e", "l", "A", "P", "a", "i"]
    [((ids, characters), _, _)] = make_dataset(preprocessor, examples)
    assert ids.numpy().tolist() == [[4, 4, 5, 3]]
    assert characters.numpy()[0, :, 0].tolist() == [7, 9, 8, 3]


def test_the_letters_of_a_long_word_are_cut_and_end_with_the_end_token():
    examples = [(["a" * 23, "a" * 24], ["X", "X"])]
    preprocessor = SequenceLabelerPreprocessor.from_examples(examples, LabelerTextOptions())
    [((_, characters), _, _)] = make_dataset(preprocessor, examples)
    assert characters.numpy()[0].tolist() == [[4] * 23 + [3]] * 2 + [[3] + [0] * 23]


def test_a_labelers_long_text_is_cut_in_tokens_letters_and_labels_alike():
    examples = [(["a", "b", "c", "d"], ["X", "Y", "X", "Y"])]
    preprocessor = SequenceLabelerPreprocessor.from_examples(examples, LabelerTextOptions(max_length=3))
    [((ids, characters), targets, weights)] = make_dataset(preprocessor, examples)
    assert ids.numpy().tolist() == [[4, 5, 3]]
    assert characters.numpy().tolist() == [[[4, 3], [5, 3], [3, 0]]]
    assert targets.numpy().tolist() == [[0, 1, 0]]
    assert weights.numpy().tolist() == [[1, 1, 0]]


def test_tokens_with_spaces_and_separators_of_other_kinds_stay_whole():
    examples = [(["1 000", "我们"], ["NUM", "PRON"])]
    preprocessor = SequenceLabelerPreprocessor.from_examples(examples, LabelerTextOptions(characters=False))
    [(ids, _, _)] = make_dataset(preprocessor, examples)
    assert ids.numpy()[0].tolist() == [4, 5, 3]


def test_an_encoder_decoder_reads_the_target_from_start_and_writes_it_to_end():
    preprocessor = EncoderDecoderPreprocessor.from_examples([("x y", "b a")], PairTextOptions("whitespace"))
    [((source, before), targets, weights)] = make_dataset(preprocessor, [("x y", "b a")])
    assert source.numpy().tolist() == [[4, 5, 3]]
    assert before.numpy().tolist() == [[2, 5, 4]]
    assert targets.numpy().tolist() == [[5, 4, 3]]
    assert weights.numpy().tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("kind", [LanguageModelPreprocessor, SequenceClassifierPreprocessor])
def test_no_example_is_refused(kind):
    preprocessor = kind.from_examples(["a"] if kind is LanguageModelPreprocessor else [("a", "b")], TextOptions())
    with pytest.raises(InputError, match="at least one example"):
        make_dataset(preprocessor, [])


@pytest.mark.parametrize(
    ("examples", "wrong"),
    [
        ([("a", "good")], "a"),
        ([(["a"], ["X"])], (["a", "b"], ["X"])),
        ([(["a"], ["X"])], ([], [])),
        ([(["a"], ["X"])], [["a"], ["X"]]),
    ],
)
def test_an_example_that_does_not_fit_is_refused_and_named_before_anything_runs(examples, wrong):
    labeler = isinstance(examples[0][0], list)
    kind = SequenceLabelerPreprocessor if labeler else SequenceClassifierPreprocessor
    with pytest.raises(InputError, match="^example 2: .*Received: "):
        make_dataset(kind.from_examples(examples, kind.options_class()), [*examples, wrong])


def test_labels_are_numbered_in_the_order_of_the_alphabet():
    preprocessor = SequenceClassifierPreprocessor.from_examples([("a", "z"), ("b", "a"), ("c", "z")], TextOptions())
    assert preprocessor.labels.names == ["a", "z"]
    [(_, targets, weights)] = make_dataset(preprocessor, [("a", "z"), ("b", "a")])
    assert targets.numpy().tolist() == [1, 0]
    assert weights.numpy().tolist() == [1, 1]


def test_each_type_of_example_has_the_question_that_a_model_is_asked():
    examples = {
        "language-model": "a b",
        "labeler": (["a", "b"], ["X", "Y"]),
        "classifier": ("a b", "X"),
        "encoder-decoder": ("a b", "c"),
        "multi-label": ("a b", "X,Y"),
    }
    assert {EXAMPLE_TYPES[task].question(example) for task, example in examples.items()} == {"a b"}
    assert {task for task, example in examples.items() if EXAMPLE_TYPES[task].labels(example)} == {
        task for task, kind in EXAMPLE_TYPES.items() if kind.has_labels
    }


def test_a_preprocessor_survives_its_config():
    examples = [(["I", "eat"], ["P", "V"])]
    preprocessor = SequenceLabelerPreprocessor.from_examples(examples, LabelerTextOptions())
    again = SequenceLabelerPreprocessor.from_config(preprocessor.get_config())
    assert again.get_config() == preprocessor.get_config()
