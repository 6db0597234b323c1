"""Tags of entities are read in any scheme and become those of one, whose rules say which tag may follow which."""

import numpy as np
import pytest
from test_cases_numbers import entities, random_tags

import seq_models as sm
from seq_models.text.entities import SCHEMES
from seq_models.text.preprocessors import SequenceLabelerPreprocessor
from seq_models.text.schemes import converted, legal_transitions, misfits, respelled, scheme_inside, steps_of

SMALL = {"tokenizer": "whitespace", "units": 4, "characters": False}
PLACES = [(list("abcd"), tags.split()) for tags in ("I-X I-X O I-Y", "I-Y B-Y I-X O", "O O O O")]  # IOB1


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        ("I-X I-X O I-Y", "BIO", "B-X I-X O B-Y"),
        ("I-X B-X I-Y O", "BIO", "B-X B-X B-Y O"),
        ("B-X I-X I-X O B-Y", "BIOES", "B-X I-X E-X O S-Y"),
        ("B-X I-X I-X O B-Y", "BILOU", "B-X I-X L-X O U-Y"),
        ("B-X I-X I-X O B-Y", "BMES", "B-X M-X E-X O S-Y"),
        ("B-X E-X S-X O U-Y", "BIO", "B-X I-X B-X O B-Y"),
        ("B-X M-X M-X E-X W-Y", "BIO", "B-X I-X I-X I-X B-Y"),
        ("I-A-B I-A-B", "BIOES", "B-A-B E-A-B"),
        ("B-X I-X NOUN I- X-ray I-X", "BIO", "B-X I-X NOUN I- X-ray B-X"),
        ("", "BIO", ""),
    ],
)
def test_tags_become_those_of_the_same_entities(tags, scheme, expected):
    assert converted(tags.split(), scheme) == expected.split()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("letters", ["BI", "I", "BIES", "BILU"])
def test_whatever_the_tags_their_entities_stay_and_what_comes_out_is_legal(letters, scheme):
    for tags in random_tags(np.random.default_rng(3), letters, 60, 9):
        found = converted(tags, scheme)
        assert entities([tag.replace("M-", "I-").replace("W-", "S-") for tag in found]) == entities(tags)
        assert converted(found, scheme) == found
        labels = sorted({*found})
        legal, steps = legal_transitions(labels, scheme), [len(labels), *map(labels.index, found), len(labels)]
        assert all(legal[before][tag] for before, tag in zip(steps, steps[1:], strict=False))
        assert respelled(converted(tags, "BIOES"), scheme) == {*found, "O"}


@pytest.mark.parametrize(
    ("scheme", "labels", "expected"),
    [
        ("BIO", "B-X I-X I-Y O", ["11011", "11011", "10111", "10011", "10011"]),
        ("BIOES", "B-X E-X I-X O S-Y", ["011000", "100111", "011000", "100111", "100111", "100111"]),
    ],
)
def test_the_rules_of_a_scheme_as_a_table(scheme, labels, expected):
    found = legal_transitions(labels.split(), scheme)
    assert ["".join(map(str, row)) for row in found] == expected


@pytest.mark.parametrize(
    ("wanted", "labels", "expected"),
    [
        ("auto", "I-X O", "BIO"),
        ("auto", "B-X L-X U-X O", "BILOU"),
        ("auto", "NOUN VERB", None),
        ("auto", "B-X I-X PER O", None),
        ("plain", "B-X I-X O", None),
        ("BIOES", "B-X I-X O", "BIOES"),
    ],
)
def test_the_scheme_inside_is_that_of_the_data_or_the_one_asked_for(wanted, labels, expected):
    assert scheme_inside(wanted, steps_of([(labels.split(), "")])) == expected


@pytest.mark.parametrize(
    ("tags", "typo", "rules", "expected"),
    [
        ("B-X I-X O B-Y O", "E-X O", "IOB2", "BIO"),
        ("I-X I-X O I-Y O", "U-X O", "IOB1", "BIO"),
        ("B-X E-X O S-Y O", "B-X O", "BIOES", "BIOES"),
        ("B-X L-X O U-Y O", "I-X O", "BILOU", "BILOU"),
    ],
)
def test_one_wrong_tag_among_many_changes_no_scheme(tags, typo, rules, expected):
    sentences = [tags.split()] * 20
    steps = steps_of([(typo.split(), "")], steps_of([(sentence, "") for sentence in sentences]))
    assert scheme_inside("auto", steps) == expected
    found, others = misfits(steps)
    assert found == rules and 1 <= sum(step.times for step in others) <= 2
    examples = [(["w"] * len(each), each) for each in [*sentences, typo.split()]]
    preprocessor = sm.SequenceLabeler.from_examples(examples, units=2).preprocessor
    assert preprocessor.scheme == expected
    assert {label[0] for label in preprocessor.labels.names} <= set(expected)


@pytest.mark.parametrize(
    ("labels", "received"), [(["NOUN", "VERB"], "'NOUN', 'VERB'"), (["B-X", "I-X", "PER", "O"], "'PER'")]
)
def test_a_scheme_for_labels_of_none_is_refused(labels, received):
    with pytest.raises(ValueError, match=f"scheme=BIO needs tags of entities, all of one scheme.*Received: {received}"):
        sm.SequenceLabeler.from_examples([(labels, labels)], scheme="BIO", **SMALL)


def test_a_labeler_learns_iob1_as_bio_and_scores_data_of_any_scheme_alike():
    model = sm.SequenceLabeler.from_examples(PLACES, **SMALL)
    assert model.preprocessor.labels.names == ["B-X", "B-Y", "I-X", "O"]
    _, targets, _ = model.batch(PLACES)
    assert targets.numpy().tolist() == [[0, 2, 3, 1, 0], [1, 1, 0, 3, 0], [3, 3, 3, 3, 0]]
    other = [(tokens, converted(tags, "BIOES")) for tokens, tags in PLACES]
    assert model.score(other) == model.score(PLACES)


def test_labels_stay_as_they_are_where_plain_is_asked_for_and_in_models_of_before():
    model = sm.SequenceLabeler.from_examples(PLACES, scheme="plain", **SMALL)
    assert model.preprocessor.labels.names == ["B-Y", "I-X", "I-Y", "O"]
    config = model.preprocessor.get_config()
    del config["scheme"]
    assert SequenceLabelerPreprocessor.from_config(config).scheme is None


def test_an_entity_that_is_cut_ends_where_the_text_is_cut():
    examples = [(list("abcd"), "B-X I-X I-X E-X".split()), (["a"], ["S-X"])]
    model = sm.SequenceLabeler.from_examples(examples, max_length=3, **SMALL)  # two tokens and the end
    names = model.preprocessor.labels.names
    _, targets, _ = model.batch(examples)
    assert [names[k] for k in targets.numpy()[0, :2]] == ["B-X", "E-X"]
    assert model.labels_of(examples[0], np.zeros(3, int))[0] == examples[0][1]  # what is cut off counts as missed


def test_weights_of_classes_go_by_the_labels_that_the_model_writes():
    model = sm.SequenceLabeler.from_examples(PLACES, **SMALL)
    model.compile()
    model.fit(model.dataset(PLACES), class_weight={"B-X": 3.0}, verbose=0)
    assert model.class_weights.tolist() == [3, 1, 1, 1]


def test_tags_that_break_the_rules_are_said_and_read_as_entities(capsys):
    examples = [(["a", "b", "c"], ["B-X", "I-X", "O"])] * 9 + [(["a", "b"], ["O", "I-X"])]
    model = sm.SequenceLabeler.from_examples(examples, **SMALL)
    model.score(examples)
    error = capsys.readouterr().err
    assert (
        "'I-X' after 'O', tag 2 of its sentence, is not of the scheme IOB2, which most tags keep to; 1 in all" in error
    )
    assert "are read as the entities that conlleval finds in them, which become BIO" in error
