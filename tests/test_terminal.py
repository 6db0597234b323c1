"""What a user sees on a terminal of 80 columns: a training, an evaluation, answers and an export, through a pty."""

import os
import pty
import re
import sys
import threading

import pytest
from rich.cells import cell_len

from seq_models import cli, messages
from seq_models.text import progress

COLUMNS = 80
COMMAND = re.compile(rb"\x1b\[\??([0-9;]*)([A-Za-z])|[\r\n\b]|[^\x1b\r\n\b]+")


def screen(data):
    """The lines that stand on a terminal in the end, as those of xterm do: what is written over is gone."""
    lines, row, column = [""], 0, 0
    for found in COMMAND.finditer(data):
        argument, letter = found[1], found[2]
        if letter == b"K":
            lines[row] = "" if argument == b"2" else lines[row][:column]
        elif letter == b"A":
            row = max(0, row - int(argument or 1))
        elif found[0] == b"\r":
            column = 0
        elif found[0] == b"\b":
            column = max(0, column - 1)  # it does not go up to the line before
        elif found[0] == b"\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif letter is None:
            for character in found[0].decode():
                if column >= COLUMNS:
                    row, column = row + 1, 0
                    lines += [""] * (row + 1 - len(lines))
                lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
                column += 1
    return [line.rstrip() for line in lines]


@pytest.fixture
def terminal(monkeypatch):
    """Runs a command with both outputs on a pseudo-terminal; gives what stands on it."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)

    def run(*arguments):
        ours, theirs = pty.openpty()
        written = []
        reader = threading.Thread(target=lambda: written.extend(iter(lambda: read(ours), b"")))
        reader.start()
        with pytest.MonkeyPatch.context() as patched, open(theirs, "w", encoding="utf-8") as file:
            patched.setattr(sys, "stdout", file)
            patched.setattr(sys, "stderr", file)
            assert cli.main([str(argument) for argument in arguments]) == 0
        reader.join()
        os.close(ours)
        return screen(b"".join(written))

    return run


def read(terminal):
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other end is closed
        return b""


def test_the_screen_of_a_test_is_that_of_a_terminal():
    assert screen(b"12 %\r\x1b[K34 %\r56\r\nnext\b\bXY\r\n\x1b[1A\x1b[2Kgone\r\n") == ["56 %", "gone", ""]
    assert screen(b"a" * 81 + b"\b\b\rb") == ["a" * 80, "b"]


@pytest.mark.slow
def test_bars_and_sentences_leave_no_rubbish_on_a_terminal(tmp_path, terminal):
    texts = "".join(f"{'今天天气很好' * (n % 4 + 1)}{n % 7}\t{'好评' if n % 3 else '差评'}\n" for n in range(300))
    data, run = tmp_path / "zh.tsv", tmp_path / "run"
    data.write_text(texts, "utf-8")
    options = ["epochs=2", "batch_size=4", "units=3", "embedding_units=3", "watch_share=0", "cell=simple_rnn"]
    lines = terminal("train", "classifier", "--train", data, "--valid", data, "--out", run, "--set", *options)
    sentences = [line for line in lines if line.startswith("seq-models: ")]
    assert any("validation examples are training examples too" in line for line in sentences)
    assert [line for line in lines if line.startswith("Epoch ")] == ["Epoch 1/2", "Epoch 2/2"]
    bars = [line for line in lines if "━" in line]
    assert len(bars) == 2 and all(
        re.fullmatch(r"75/75 ━+ \d+s \d+.?s/step - loss: [\d.]+( - \w+: [\d.e-]+)+", bar) for bar in bars
    )
    scores = [line for line in lines if line.startswith("val_")]
    assert len(scores) == 2 and all(re.fullmatch(r"val_\w+: [\d.]+( - val_\w+: [\d.]+)*", line) for line in scores)

    said = "\n".join(terminal("evaluate", run, "--data", data)).strip()
    assert re.fullmatch(r"accuracy [\d.]+, f1 [\d.]+, ece [\d.]+", said)
    assert "".join(terminal("predict", run, "--input", data, "--output", tmp_path / "answers.tsv")) == ""
    lines = terminal("inspect", "classifier", "--data", data)
    rows = [line for line in lines if re.match("  [好差]评", line)]
    assert len(rows) == 2 and len({cell_len(row) for row in rows}) == 1
    assert cell_len(rows[0]) == cell_len("  " + f"{'':<18} {1:>12,} {1:>7.1%}")


def test_a_sentence_is_written_over_a_bar_that_stands_in_its_line(capsys, monkeypatch):
    for is_terminal, shown in ((True, ["seq-models: done", ""]), (False, ["3/9 ━━━seq-models: done", ""])):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=is_terminal: answer)
        print("3/9 ━━━", end="", file=sys.stderr)
        messages.say("done")
        assert screen(capsys.readouterr().err.encode()) == shown
