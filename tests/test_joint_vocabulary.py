"""One vocabulary of both sides of an encoder-decoder, and one embedding of it."""

import numpy as np
import pytest
from toy import small

import seq_models as sm
from seq_models.tasks import EncoderDecoder
from seq_models.text.options import PairTextOptions
from seq_models.text.preprocessors import EncoderDecoderPreprocessor
from seq_models.text.vocabulary import SPECIAL_TOKENS

PAIRS = [("the cat", "die katze"), ("the house of anna", "das haus von anna"), ("cat anna", "katze 猫")]
SPECIAL = list(SPECIAL_TOKENS)


def preprocessor(joint=True, **options):
    options = {"tokenizer": "whitespace", **options}
    return EncoderDecoderPreprocessor.from_examples(PAIRS, PairTextOptions(joint_vocabulary=joint, **options))


def test_one_vocabulary_has_the_tokens_of_both_sides_by_how_often_both_have_them():
    joint = preprocessor()
    assert joint.source.vocabulary.tokens == joint.target.vocabulary.tokens
    words = [word for pair in PAIRS for text in pair for word in text.split()]
    assert set(joint.source.vocabulary.tokens) == {*SPECIAL, *words}
    assert joint.source.vocabulary.tokens[4] == "anna"  # three times, of them once in a target
    twice = preprocessor(min_count=2).source.vocabulary.tokens
    assert set(twice) == {*SPECIAL, "anna", "the", "cat", "katze"}
    apart = preprocessor(joint=False, min_count=2)
    assert [set(codec.vocabulary.tokens) - set(SPECIAL) for codec in apart.codecs()] == [
        {"the", "cat", "anna"},
        {"katze"},
    ]


def test_word_pieces_of_both_sides_are_learned_together(capsys):
    pairs = [("winter winters winter", "sommer sommern"), ("winter winters", "sommer sommern")] * 8
    options = {"tokenizer": "wordpiece", "vocabulary_size": 40}
    joint, apart = (
        EncoderDecoderPreprocessor.from_examples(pairs, PairTextOptions(joint_vocabulary=joint, **options))
        for joint in (True, False)
    )
    assert joint.source.vocabulary.tokens == joint.target.vocabulary.tokens
    assert {"winter", "sommer"} <= set(joint.source.vocabulary.tokens)
    assert "sommer" not in apart.source.vocabulary.tokens and "winter" not in apart.target.vocabulary.tokens


def test_a_shared_embedding_is_one_of_the_model_its_files_and_its_watchers(tmp_path):
    model = small("encoder-decoder", joint_vocabulary=True, share_embeddings=True)
    tokens = model.preprocessor.codec.vocabulary.tokens
    assert model.vocabularies() == {"vocabulary": tokens}
    [(name, (words, table))] = model.embeddings().items()
    assert name == "embedding" and words == tokens and table.shape == (len(tokens), 4)
    apart = small("encoder-decoder", joint_vocabulary=True)
    assert list(apart.embeddings()) == ["source_embedding", "target_embedding"]
    assert apart.count_params() - model.count_params() == table.size
    model.save_run(tmp_path / "run")
    assert (tmp_path / "run" / "vocabulary.txt").read_text("utf-8").split() == tokens
    assert not list((tmp_path / "run").glob("source_*"))
    again = sm.load_run(tmp_path / "run")
    assert again.predict_text(["a b", "c"]) == model.predict_text(["a b", "c"])


@pytest.mark.slow
def test_a_shared_embedding_is_trained_by_both_sides():
    model = small("encoder-decoder", joint_vocabulary=True, share_embeddings=True)
    model.compile("sgd")
    before = model.embeddings()["embedding"][1]
    model.fit(model.dataset([("a b", "c")], batch_size=1), verbose=0)
    changed = np.abs(model.embeddings()["embedding"][1] - before).max(axis=1) > 0
    tokens = np.array(model.preprocessor.codec.vocabulary.tokens)
    assert set(tokens[changed]) == {"a", "b", "c", "<s>", "</s>"}


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "share_embeddings needs joint_vocabulary=True. Received: joint_vocabulary=False"),
        ({"joint_vocabulary": True, "vectors": "a.vec"}, "vectors must be left out with share_embeddings"),
        (
            {"joint_vocabulary": True, "target_vectors": "a.vec"},
            "target_vectors must be left out with share_embeddings",
        ),
    ],
)
def test_what_a_shared_embedding_cannot_have_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        EncoderDecoder.from_examples(PAIRS, share_embeddings=True, **options)
