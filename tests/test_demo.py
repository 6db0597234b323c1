"""The demo end to end, on less data."""

import functools

import pytest

from seq_models.demo import demo
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
