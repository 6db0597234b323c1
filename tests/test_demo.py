"""The demo end to end, on less data."""

import functools

import pytest

import seq_models as sm
from seq_models import cli
from seq_models.demo import QUESTIONS, RECIPES, demo
from seq_models.tasks import TASKS
from seq_models.text import corpora


@pytest.mark.slow
def test_the_demo_trains_exports_and_asks_all_four_tasks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, held_out_size=100))
    demo(tmp_path, share=0.01)
    printed = capsys.readouterr().out
    for task in ("language-model", "labeler", "classifier", "encoder-decoder"):
        assert (tmp_path / "exports" / task / "1" / "saved_model.pb").is_file()
        assert (tmp_path / "runs" / task / "model.keras").is_file()
        assert task in printed
    assert "lowest possible" in printed


@pytest.mark.slow
def test_the_demo_is_in_chinese_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, held_out_size=50))
    monkeypatch.setitem(RECIPES, "classifier", {"size": 300, "epochs": 1, "model": {"units": 4}})
    monkeypatch.setattr("seq_models.demo.TASKS", {"classifier": TASKS["classifier"]})
    assert cli.main(["demo", "--out", str(tmp_path), "--language", "chinese"]) == 0
    printed = capsys.readouterr().out
    assert "那座图书馆不无聊  →" in printed
    model = sm.load_run(tmp_path / "runs" / "classifier-chinese")
    assert {"图", "书", "馆"} <= set(model.vocabularies()["vocabulary"])


@pytest.mark.slow
def test_the_questions_of_a_language_are_of_its_corpora():
    for language, questions in QUESTIONS.items():
        corpus = corpora.load("language-model", 20_000, 1, language=language)
        cut = str.split if language == "english" else list
        known = {token for text in corpus.train for token in cut(text)}
        for task, texts in questions.items():
            words = " ".join(texts) if language == "english" else "".join("".join(texts).split())
            if task != "encoder-decoder":
                assert set(cut(words)) - {"she", "reads"} <= known, task
