"""What is kept of data and what a run was begun with belong to their contents, not to names, sizes and times."""

import os

import pytest
from toy import EXAMPLES

from seq_models import messages
from seq_models.errors import InputError
from seq_models.text import contents
from seq_models.text.contents import contents_of, contents_of_file
from seq_models.text.examples import read_examples, remembered


@pytest.fixture(autouse=True)
def fresh_sentences():
    messages.say_once.cache_clear()


def swapped(path):
    """Swaps the labels of a file; its name, size and time stay."""
    status, rows = path.stat(), path.read_text().splitlines()
    texts, labels = zip(*(row.split("\t") for row in rows), strict=True)
    path.write_text("".join(f"{text}\t{label}\n" for text, label in zip(texts, reversed(labels), strict=True)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.fixture
def table(tmp_path):
    """A file of texts with labels, not a palindrome."""
    path = tmp_path / "a.tsv"
    path.write_text("".join(f"{text}\t{label}\n" for text, label in EXAMPLES["classifier"]))
    return path


@pytest.mark.parametrize("settled", [-1, float("inf")], ids=["kept", "not kept"])
def test_contents_that_changed_behind_the_same_size_and_time_are_seen(table, tmp_path, monkeypatch, settled):
    monkeypatch.setattr(contents, "SETTLED", settled)
    first = contents_of_file(table, tmp_path / "cache")
    assert contents_of_file(table, tmp_path / "cache") == first
    swapped(table)
    assert contents_of_file(table, tmp_path / "cache") != first


def test_a_file_that_stays_is_read_once_and_a_new_one_is_not_trusted(table, tmp_path, monkeypatch):
    read, digest = [], contents._digest
    monkeypatch.setattr(contents, "_digest", lambda path: (read.append(path), digest(path))[1])
    for _ in range(2):
        contents_of_file(table, tmp_path / "cache")
    assert len(read) == 2, "it might change again within a tick of the clock of its disk"
    monkeypatch.setattr(contents, "SETTLED", -1)
    for _ in range(3):
        contents_of_file(table, tmp_path / "cache")
    assert len(read) == 3


def test_moved_files_hold_the_same_and_read_otherwise_they_do_not(table, tmp_path):
    first = contents_of(read_examples(table))
    moved = table.rename(tmp_path / "b.tsv")
    assert contents_of(read_examples(moved)) == first
    assert [contents_of_file(moved.rename(tmp_path / "b.csv"))] != first


def test_examples_of_no_file_have_contents_too():
    one, other = ([("a", "x"), ("b", "y")], [("a", "y"), ("b", "x")])
    assert contents_of(one) == contents_of(list(one)) != contents_of(other)


def test_what_is_kept_of_contents_is_found_under_another_name_and_not_for_others(tmp_path, table):
    asked = []

    def ask(path):
        examples = read_examples(path, cache=tmp_path / "cache")
        return remembered(examples, ["labels"], lambda: (asked.append(path), [y for _, y in examples])[1])

    first = ask(table)
    moved = table.rename(tmp_path / "b.tsv")
    assert ask(moved) == first and len(asked) == 1
    swapped(moved)
    assert ask(moved) == first[::-1] and len(asked) == 2


@pytest.mark.parametrize("why", ["a file", "full"])
def test_a_cache_that_cannot_be_written_costs_one_sentence(table, tmp_path, capsys, monkeypatch, why):
    cache = tmp_path / "cache"
    if why == "a file":
        cache.write_text("precious")
    else:
        monkeypatch.setattr("seq_models.files.flush", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    examples = read_examples(table, cache=cache)
    assert [remembered(examples, [number], lambda n=number: n) for number in (1, 2)] == [1, 2]
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"seq-models: {cache} cannot keep what was found in the data")
    assert why == "full" or cache.read_text() == "precious"


def test_data_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match="gone.txt: expected a file that can be read. Received: No such file"):
        contents_of_file(tmp_path / "gone.txt")
