"""Characters are drawn by a font of the machine that has them, or a number stands for the name."""

import warnings

import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from seq_models import fonts
from seq_models.plots import plot_attention, plot_confusion
from seq_models.training.watching.log import TrainingLog

NAMES = ["正面", "日本", "한국", "positive", "محايد"]


def write_font(path, name, characters):
    """A font whose glyphs are all a black square."""
    pen = TTGlyphPen(None)
    for move, point in ((pen.moveTo, (0, 0)), (pen.lineTo, (0, 800)), (pen.lineTo, (800, 800)), (pen.lineTo, (800, 0))):
        move(point)
    pen.closePath()
    square, builder = pen.glyph(), FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(character): "square" for character in characters})
    builder.setupGlyf({".notdef": square, "square": square})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(monkeypatch):
    """`installed(paths)` makes these the fonts of the machine; matplotlib has never heard of them."""

    def install(paths):
        monkeypatch.setattr(fonts, "_installed", lambda: paths)
        monkeypatch.setattr(fonts, "_said", set())
        fonts._chosen.cache_clear()

    before = list(matplotlib.font_manager.fontManager.ttflist)
    yield install
    matplotlib.font_manager.fontManager.ttflist[:] = before
    fonts._chosen.cache_clear()


def labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_the_fewest_fonts_that_have_the_characters_are_used_and_no_glyph_is_missing(tmp_path, installed, capsys):
    few = write_font(tmp_path / "a.ttf", "Few Square", "正")
    chinese = write_font(tmp_path / "b.ttf", "Han Square", "正面日本")
    korean = write_font(tmp_path / "c.ttf", "Hangul Square", "한국")
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    installed([str(broken), few, chinese, korean])
    with warnings.catch_warnings(record=True) as caught:
        figure = plot_confusion(np.eye(5, dtype=int), NAMES, tmp_path / "confusion.png")
    assert not caught
    assert labels(figure) == NAMES
    assert figure.axes[0].get_yticklabels()[0].get_fontfamily() == ["DejaVu Sans", "Han Square", "Hangul Square"]
    assert fonts.numbered(NAMES) == {} and capsys.readouterr().err == ""


def test_without_a_font_names_are_numbers_that_the_text_lists_and_one_sentence_says_why(tmp_path, installed, capsys):
    installed([])
    names = [f"class {k}" for k in range(60)] + NAMES  # more than are drawn
    counts = np.diag([0] * 30 + [1] * 30 + [5] * 5)
    log = TrainingLog(tmp_path)
    for step in (1, 2):
        with warnings.catch_warnings(record=True) as caught:
            figure = plot_confusion(counts, names)
            log.picture("confusion", step, figure, names)
        assert not caught
    assert labels(figure)[-5:] == ["#1", "#2", "#3", "positive", "محايد"]
    log.flush()
    [path] = log.logs.glob("events*")
    events = [value for event in tf.compat.v1.train.summary_iterator(str(path)) for value in event.summary.value]
    legends = [value.tensor.string_val[0].decode() for value in events if value.tag == "confusion/names"]
    assert legends == ["| number | name |\n| --- | --- |\n| 1 | 正面 |\n| 2 | 日本 |\n| 3 | 한국 |"] * 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Noto Sans CJK" in said and said.startswith("seq-models: ")


def test_tokens_of_an_attention_map_are_numbered_over_both_sides(installed, tmp_path):
    installed([])
    figure = plot_attention(np.ones((2, 3)) / 3, ["我", "ok", "我"], ["他", "我"], tmp_path / "attention.png")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["#1", "ok", "#1"]
    assert labels(figure) == ["#2", "#1"]
