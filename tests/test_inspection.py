import pytest

from seq_models.errors import InputError
from seq_models.text.examples import read_examples
from seq_models.text.inspection import format_report, inspect_examples
from seq_models.text.options import TextOptions

TASKS = ("language-model", "labeler", "classifier", "encoder-decoder")


def warnings_of(examples, task, part, options=None):
    return [warning for warning in inspect_examples(examples, task, options).warnings if part in warning]


def reviews(number=10):
    """A clean corpus: two labels, all texts different."""
    return [(f"review number {index}", "good" if index % 2 else "bad") for index in range(number)]


def test_clean_data_of_every_task_has_no_warnings():
    assert inspect_examples([text for text, _ in reviews()], "language-model").warnings == []
    assert inspect_examples(reviews(), "classifier").warnings == []
    pairs = [(text, f"Kritik nummer {text[-1]}") for text, _ in reviews()]
    assert inspect_examples(pairs, "encoder-decoder").warnings == []
    tagged = [(["De", "Unie", "van", str(index)], ["O", "B-ORG", "I-ORG", "I-ORG"]) for index in range(10)]
    assert inspect_examples(tagged, "labeler").warnings == []


def test_counts_are_of_examples_tokens_and_characters():
    counts = inspect_examples(["a b a", "c"], "language-model").counts
    assert counts == {"examples": 2, "tokens": 4, "distinct tokens": 3, "characters": 6, "longest example": 3}


def test_counts_of_a_labeler_are_of_its_tokens_even_with_spaces_inside():
    counts = inspect_examples([(["10 000", "euro"], ["NUM", "NOUN"])], "labeler").counts
    assert counts == {"examples": 1, "tokens": 2, "distinct tokens": 2, "characters": 10, "longest example": 2}


def test_counts_of_a_translation_are_of_both_sides():
    assert inspect_examples([("a b", "c d e")], "encoder-decoder").counts["tokens"] == 5


def test_labels_are_counted_where_the_task_has_labels():
    assert inspect_examples(reviews(), "classifier").labels == {"good": 5, "bad": 5}
    assert inspect_examples([(["a", "b"], ["X", "X"])], "labeler").labels == {"X": 2}
    assert inspect_examples(["a"], "language-model").labels is None
    assert inspect_examples([("a", "b")], "encoder-decoder").labels is None


def test_duplicates_are_named_by_file_and_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a b\nc d\na b\n\na b\n")
    expected = f"2 examples repeat an earlier one ({path}:3, {path}:5)."
    assert inspect_examples(read_examples(path), "language-model").warnings == [expected]


def test_duplicates_of_a_plain_iterable_are_named_by_number():
    assert inspect_examples(iter(["a b", "a b"]), "language-model").warnings == [
        "1 example repeats an earlier one (example 2)."
    ]


def test_at_most_three_places_are_named():
    (warning,) = warnings_of(["a b"] * 5, "language-model", "repeat")
    assert warning == "4 examples repeat an earlier one (example 2, example 3, example 4, …)."


@pytest.mark.parametrize(
    ("task", "examples"),
    [
        ("classifier", [*reviews(), ("review number 0", "good")]),
        ("labeler", [(["a"], ["X"]), (["a"], ["X"]), (["a"], ["Y"])]),
    ],
)
def test_the_same_text_with_different_labels_is_named(task, examples):
    (warning,) = warnings_of(examples, task, "different labels")
    assert warning.startswith("1 text has different labels in different examples (example 1, example ")


def test_a_text_with_another_label_repeats_no_example():
    assert not warnings_of([*reviews(), ("review number 0", "good")], "classifier", "repeat")


def test_rare_labels_are_named_with_their_counts():
    examples = [*reviews(20), ("how odd", "odd"), ("so rare", "rare"), ("very rare", "rare")]
    (warning,) = warnings_of(examples, "classifier", "fewer than 5 times")
    assert warning == (
        "2 labels occur fewer than 5 times, 1 of them once, for example 'odd' 1, 'rare' 2 (example 21, example 22)."
    )


def test_swapped_columns_are_suspected():
    swapped = [(label, text) for text, label in reviews()]
    assert warnings_of(swapped, "classifier", "probably the columns are swapped")
    assert not warnings_of(reviews(), "classifier", "swapped")


def test_a_dominant_class_is_named():
    examples = [(f"text {index}", "rare" if index < 5 else "good") for index in range(200)]
    assert warnings_of(examples, "classifier", "97.5% of the labels are 'good'")
    frequent = [(f"text {index}", "rare" if index < 12 else "good") for index in range(200)]
    assert not warnings_of(frequent, "classifier", "of the labels are")  # 94 %


def test_very_long_texts_are_named():
    examples = [*(f"text number {index}" for index in range(10)), "word " * 201]
    (warning,) = warnings_of(examples, "language-model", "longer than")
    assert warning == "1 text is longer than 200 tokens at a median of 3 (example 11)."
    assert not warnings_of([*examples[:-1], "word " * 200], "language-model", "longer than")


def test_a_text_of_a_long_corpus_is_long_by_ten_times_the_median():
    examples = [f"{'word ' * 29}{index}" for index in range(10)]
    assert not warnings_of([*examples, "word " * 300], "language-model", "longer than")
    assert warnings_of([*examples, "word " * 301], "language-model", "longer than 300 tokens at a median of 30")


def test_long_texts_without_whitespace_are_measured_in_characters():
    examples = [*(f"这本书很好{index}" for index in range(10)), "好" * 201]
    assert warnings_of(examples, "language-model", "longer than 200 characters")


def test_a_long_target_is_named_as_target():
    examples = [*((f"a b {index}", f"c d {index}") for index in range(10)), ("a b", "word " * 300)]
    assert warnings_of(examples, "encoder-decoder", "1 target is longer than 200 tokens")


@pytest.mark.parametrize(("character", "shown"), [("\x00", "0000"), ("\r", "000D"), ("\x85", "0085"), ("\x7f", "007F")])
def test_control_characters_are_named(character, shown):
    (warning,) = warnings_of(["a b", f"a{character}b c"], "language-model", "control characters")
    assert warning == f"1 example has control characters such as U+{shown} (example 2)."


def test_tab_and_line_feed_are_no_control_characters():
    assert not warnings_of(["a\tb\nc"], "language-model", "control")


def test_replacement_characters_are_named_in_texts_and_tokens():
    assert warnings_of(["caf\ufffd au lait"], "language-model", "U+FFFD")
    assert warnings_of([(["caf\ufffd"], ["NOUN"])], "labeler", "U+FFFD")


def test_a_target_equal_to_its_source_is_named():
    (warning,) = warnings_of([("a b", "c d"), ("a b", "a b")], "encoder-decoder", "equal")
    assert warning == "1 example has a target equal to the source (example 2)."


def test_a_translation_of_another_length_is_named():
    examples = [("a b", "c " * 10), ("a b", "c " * 11)]
    (warning,) = warnings_of(examples, "encoder-decoder", "times as long")
    assert warning == "1 example has one side more than 5 times as long as the other (example 2)."


def test_a_chinese_side_is_as_long_as_its_characters():
    examples = [("the weather is very nice today", "今天天气很好"), ("we are reading books", "我们在看书")]
    assert not warnings_of(examples, "encoder-decoder", "times as long")


ENTITIES = {
    "IOB2": ["B-PER", "I-PER", "O", "B-LOC"],
    "IOB1": ["I-PER", "I-PER", "B-PER", "O"],
    "BIOES": ["B-PER", "E-PER", "O", "S-LOC"],
}


@pytest.mark.parametrize(
    ("scheme", "tags", "said"),
    [
        ("IOB2", ["I-PER", "O"], "1 tag breaks the rules of IOB2, which most keep to: 'I-PER' after 'O', tag 1"),
        ("IOB2", ["B-LOC", "I-PER", "O", "I-LOC"], "2 tags break the rules of IOB2"),
        ("IOB1", ["B-LOC", "O"], "1 tag breaks the rules of IOB1, which most keep to: 'B-LOC' after 'O', tag 1"),
        ("BIOES", ["O", "E-LOC"], "1 tag breaks the rules of BIOES, which most keep to: 'E-LOC' after 'O', tag 2"),
    ],
)
def test_tags_that_break_the_rules_of_their_scheme_are_named(scheme, tags, said):
    examples = [(list("abcd"), ENTITIES[scheme])] * 5 + [(["x"] * len(tags), tags)]
    (warning,) = warnings_of(examples, "labeler", "the rules of")
    assert warning.startswith(said) and warning.endswith("(example 6).")
    assert not warnings_of(examples[:5], "labeler", "the rules of")


def test_tags_of_no_scheme_break_no_rules():
    assert not warnings_of([(["a", "b"], ["I-PER", "NOUN"])], "labeler", "the rules of")


def test_lengths_are_those_that_so_many_examples_have_at_most():
    examples = ["word " * n for n in range(1, 101)]
    assert inspect_examples(examples, "language-model").lengths == {"50 %": 50, "90 %": 90, "99 %": 99}


def test_padding_is_that_of_batches_of_rows_of_like_length():
    whole = inspect_examples(["a b", "c d"], "language-model")
    assert whole.padding == 0
    assert inspect_examples(["a b c", "d"], "language-model").padding == pytest.approx(1 / 3)
    # Rows of like length are together: 64 of a token and 64 of nine waste nothing.
    assert inspect_examples([f"a{n}" if n % 2 else "b " * 9 for n in range(128)], "language-model").padding == 0
    assert inspect_examples([("a", "b c"), ("a b c", "d e")], "encoder-decoder").padding == pytest.approx(2 / 10)


def test_data_to_be_scored_on_are_compared_with_the_data():
    data = [("good food", "1"), ("bad food", "0"), ("so so", "0")]
    held_out = [("good food", "1"), ("bad food", "1"), ("bad wine", "2")]  # one of another label
    report = inspect_examples(data, "classifier", held_out=held_out)
    assert report.held_out == {
        "examples": 3,
        "tokens": 6,
        "unknown tokens": pytest.approx(1 / 6),
        "shared examples": 2,
    }
    assert report.warnings[-2:] == [
        "2 examples to be scored on are in the data too, so that scores promise too much (example 1, example 2).",
        "1 example to be scored on has labels that the data has not, as '2' (example 3).",
    ]
    assert "unknown tokens              16.7%" in str(report)
    assert inspect_examples(data, "classifier").held_out is None


def test_both_sides_of_pairs_to_be_scored_on_are_compared():
    report = inspect_examples([("a b", "c d")], "encoder-decoder", held_out=[("a x", "y z")])
    assert report.held_out["unknown source tokens"] == 0.5
    assert report.held_out["unknown target tokens"] == 1.0
    assert report.held_out["shared examples"] == 0
    assert not [warning for warning in report.warnings if "scored on" in warning]


def test_held_out_data_of_another_task_or_none_at_all_are_refused():
    with pytest.raises(InputError, match="example 1: expected a"):
        inspect_examples([("a", "1")], "classifier", held_out=["a"])
    with pytest.raises(InputError, match="at least one example"):
        inspect_examples([("a", "1")], "classifier", held_out=[])


def test_texts_that_the_tokenizer_leaves_whole_suggest_another_one():
    whitespace = TextOptions(tokenizer="whitespace")
    (warning,) = warnings_of(["今天天气很好", "我们在看书", "a b"], "language-model", "one token each", whitespace)
    assert warning == 'Most texts are one token each: use the tokenizer "words" or "chars" (example 1, example 2).'
    assert warnings_of([("we are reading", "我们在看书")], "encoder-decoder", "Most targets are", whitespace)
    assert not warnings_of([("we are reading", "我们在看书")], "encoder-decoder", "one token each")
    assert not warnings_of([(["好"], ["ADJ"])], "labeler", "one token each")


def test_every_warning_is_one_line_that_ends_with_a_full_stop():
    worst = [("好\ufffd\x00", "好\ufffd\x00")] * 3
    for task in ("classifier", "encoder-decoder"):
        warnings = inspect_examples(worst, task).warnings
        assert len(warnings) >= 4
        assert all(warning.endswith(").") and "\n" not in warning for warning in warnings)


def test_an_unknown_task_is_an_error():
    with pytest.raises(ValueError, match="labeler.*Received: 'tagger'"):
        inspect_examples(["a"], "tagger")


@pytest.mark.parametrize("task", TASKS)
def test_no_example_is_an_error(task):
    with pytest.raises(InputError, match="at least one example. Received: "):
        inspect_examples([], task)


@pytest.mark.parametrize(
    ("task", "example"),
    [
        ("language-model", ("a", "1")),
        ("labeler", "a"),
        ("labeler", ("a b", "X Y")),
        ("labeler", (["a", "b"], ["X"])),
        ("labeler", [["a"], ["X"]]),
        ("classifier", "a"),
        ("classifier", (["a"], ["X"])),
        ("classifier", ("a", 1)),
        ("encoder-decoder", ("a",)),
    ],
)
def test_an_example_of_another_task_is_an_error(task, example):
    with pytest.raises(InputError, match="example 1: expected a .*Received: "):
        inspect_examples([example], task)


def test_an_example_of_another_task_is_named_by_file_and_line(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("a\t1\n")
    with pytest.raises(InputError, match="a.tsv:1: expected a sentence"):
        inspect_examples(read_examples(path), "language-model")


def test_what_was_received_instead_of_an_example_is_shortened():
    with pytest.raises(InputError) as raised:
        inspect_examples([("x" * 1000, 1)], "classifier")
    assert len(str(raised.value).partition("Received: ")[2]) == 60


def test_a_sentence_without_tokens_is_no_crash():
    assert inspect_examples([([], [])], "labeler").counts["tokens"] == 0


def test_the_report_is_text_with_counts_labels_and_warnings():
    report = inspect_examples([*reviews(), ("review number 0", "bad")], "classifier")
    text = format_report(report)
    assert text == str(report)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "examples 11" in lines
    assert "bad 6 54.5%" in lines
    assert "- 1 example repeats an earlier one (example 11)." in lines


def test_a_report_without_warnings_says_so():
    assert format_report(inspect_examples(reviews(), "classifier")).endswith("no warnings")


def test_a_report_shows_the_most_frequent_of_many_labels():
    examples = [(f"text {index}", f"label {index % 30}") for index in range(300)]
    assert "  and 10 more" in format_report(inspect_examples(examples, "classifier"))


def test_broken_tags_of_data_to_be_scored_on_are_named_too():
    right = [(["De", "Unie", "van", str(index)], ["O", "B-ORG", "I-ORG", "O"]) for index in range(10)]
    broken = [(["De", f"Bond{index}"], ["O", "B-ORG"]) for index in range(5)] + [(["a", "b"], ["O", "I-ORG"])]
    report = inspect_examples(right, "labeler", held_out=broken)
    [warning] = [each for each in report.warnings if "rules" in each]
    assert warning.startswith("In the data to be scored on 1 tag breaks the rules of IOB2") and "(example 6)" in warning
    assert not any("rules" in each for each in inspect_examples(broken[:5], "labeler", held_out=right).warnings)
    assert inspect_examples(["a b"], "language-model", held_out=["c d"]).warnings == []
