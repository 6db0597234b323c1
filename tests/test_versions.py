"""Versions of a model in a directory: each is whole from the moment it can be seen, whatever happens to its maker."""

import multiprocessing
import random
import shutil
import threading
import time

import pytest

from seq_models.exports import versions
from seq_models.exports.versions import check_new, publish, versions_in

FILES = {f"part-{number}": bytes([number]) * 20_000 for number in range(20)}


def make(base, name):
    """Writes a directory of several files, slowly enough to be killed in the middle."""
    aside = base / f".tmp-{name}"
    aside.mkdir(parents=True)
    for file, content in FILES.items():
        (aside / file).write_bytes(content)
        time.sleep(0.001)
    return aside


def make_and_publish(base, name):
    publish(make(base, name), base, f"manifest of {name}")


def broken(base):
    """Versions that are not whole: what a server must never see."""
    return [
        number
        for number in versions_in(base)
        if {path.name: path.read_bytes() for path in (base / str(number)).iterdir()} != FILES
    ]


def test_makers_at_the_same_time_get_versions_of_their_own(tmp_path):
    asides = [make(tmp_path, name) for name in range(8)]
    threads = [
        threading.Thread(target=publish, args=(aside, tmp_path, str(number))) for number, aside in enumerate(asides)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(versions_in(tmp_path)) == list(range(1, 9))
    assert sorted((tmp_path / "manifests" / f"{n}.json").read_text() for n in range(1, 9)) == list("01234567")


@pytest.mark.slow
def test_a_version_is_whole_or_not_there_however_its_maker_dies(tmp_path):
    """A hundred makers, nine of ten killed at a random moment, while somebody looks all the time."""
    moments, found, over = random.Random(0), [], threading.Event()

    def look():
        while not over.is_set():
            found.extend(broken(tmp_path))
            time.sleep(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    context = multiprocessing.get_context("fork")  # nothing but files is touched; a new interpreter takes seconds
    for name in range(100):
        start = time.monotonic()
        maker = context.Process(target=make_and_publish, args=(tmp_path, name))
        maker.start()
        if name % 10 == 0:
            maker.join()
            takes = time.monotonic() - start  # the next ones are killed within what it takes on this disk
        else:
            maker.join(moments.uniform(0, 1.2 * takes))
            maker.kill()
            maker.join()
    over.set()
    watcher.join()
    assert found == []
    done = len(versions_in(tmp_path))
    assert 10 <= done < 100  # the undisturbed ones are there, and not all the others
    make_and_publish(tmp_path, "last")
    assert len(versions_in(tmp_path)) == done + 1
    assert broken(tmp_path) == []


def test_a_manifest_without_a_version_takes_its_number_with_it(tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "4.json").write_text("of one that was killed")
    assert publish(make(tmp_path, "a"), tmp_path, "{}").name == "5"
    assert (tmp_path / "manifests" / "4.json").read_text() == "of one that was killed"


def test_a_version_that_was_copied_there_is_not_written_over(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    calls = iter([1])  # as if it came after the number was chosen
    monkeypatch.setattr(versions, "_next", lambda _: next(calls, 2))
    assert publish(make(tmp_path, "a"), tmp_path, "{}").name == "2"
    assert list((tmp_path / "1").iterdir()) == []
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == ["2.json"]  # 1 was not made, it has none
    shutil.rmtree(tmp_path / "2")


NO_NUMBERS = ["٣", "+5", "1.0", "v9", "-4", ".tmp-3", str(2**63)]


def test_the_versions_of_a_directory(tmp_path):
    for name in ("1", "0002", "20", *NO_NUMBERS):
        (tmp_path / name).mkdir()
    (tmp_path / "77").write_text("no directory")
    assert versions_in(tmp_path) == {1: tmp_path / "1", 2: tmp_path / "0002", 20: tmp_path / "20"}
    for name in ("nowhere", "77"):
        with pytest.raises(ValueError, match=f"{name} must be a directory that can be listed. Received: No"):
            versions_in(tmp_path / name)


def test_one_version_is_left_for_the_next(tmp_path):
    last = 2**63 - 2
    with pytest.raises(
        ValueError, match="must be at most 2.63-2, 9223372036854775806. Received: version=92233720368547758"
    ):
        check_new(tmp_path, last + 1)
    check_new(tmp_path / "new", last)
    assert publish(make(tmp_path, "a"), tmp_path, "{}", last).name == str(last)
    with pytest.raises(ValueError, match="must be at most 2.63-2"):
        publish(make(tmp_path, "b"), tmp_path, "{}")


def test_the_next_version_is_above_all_numbers_and_above_nothing_else(tmp_path):
    for name in ("1", *NO_NUMBERS):
        (tmp_path / name).mkdir()
    assert publish(make(tmp_path, "a"), tmp_path, "{}").name == "2"
    (tmp_path / "manifests" / "٧.json").touch()
    assert publish(make(tmp_path, "b"), tmp_path, "{}").name == "3"
    (tmp_path / "77").write_text("no directory, but its name is taken")
    assert publish(make(tmp_path, "c"), tmp_path, "{}").name == "78"


@pytest.mark.parametrize("version", [0, -1, "2", 1.5])
def test_a_version_is_a_positive_integer(tmp_path, version):
    with pytest.raises(ValueError, match="must be a positive integer"):
        check_new(tmp_path, version)


@pytest.mark.parametrize("name", ["2", "0002"])
def test_a_version_that_is_there_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    check_new(tmp_path, 1)
    check_new(tmp_path)
    with pytest.raises(ValueError, match="must be new"):
        check_new(tmp_path, 2)
    (tmp_path / "3").write_text("no directory, but its name is taken")
    with pytest.raises(ValueError, match="must be new"):
        check_new(tmp_path, 3)


def test_a_file_is_no_place_for_versions(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a directory for versions"):
        check_new(tmp_path / "file")


def test_a_version_that_somebody_else_makes_meanwhile_is_refused(tmp_path):
    aside = make(tmp_path, "a")
    (tmp_path / "3").mkdir()
    with pytest.raises(ValueError, match="must be new"):
        publish(aside, tmp_path, "{}", version=3)
    assert list((tmp_path / "3").iterdir()) == []
