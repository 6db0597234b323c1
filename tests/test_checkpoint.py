"""A checkpoint is whole or is not there, whatever happens while it is saved."""

import resource
import signal

import numpy as np
import pytest

from seq_models.errors import InputError
from seq_models.training.checkpoint import Checkpoints

ARRAYS = {"model/0": np.arange(6, dtype=np.float32).reshape(2, 3), "optimizer/0": np.array(7)}


def assert_is(found, steps):
    arrays, state = found
    assert state == {"steps": steps, "best": 0.1 + 0.2}
    assert arrays.keys() == ARRAYS.keys()
    assert all(
        np.array_equal(arrays[name], ARRAYS[name]) and arrays[name].dtype == ARRAYS[name].dtype for name in ARRAYS
    )


def saved(directory, *steps):
    checkpoints = Checkpoints(directory)
    for step in steps:
        checkpoints.save(step, ARRAYS, {"steps": step, "best": 0.1 + 0.2})
    return checkpoints


def test_what_was_saved_last_comes_back_whole(tmp_path):
    assert_is(saved(tmp_path, 9, 10, 100).newest(pytest.fail), 100)


def test_where_nothing_was_saved_there_is_nothing(tmp_path):
    assert Checkpoints(tmp_path / "new").newest(pytest.fail) is None


def test_two_are_kept_and_nothing_else(tmp_path):
    saved(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000002.npz", "0000000003.npz"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_newest_one_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    checkpoints = saved(tmp_path, 1, 2)
    path = tmp_path / "0000000002.npz"
    whole = path.read_bytes()
    middle = whole.index(np.float32(5).tobytes())
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "other": b"precious",
        }[damage]
    )
    said = []
    assert_is(checkpoints.newest(said.append), 1)
    assert len(said) == 1 and "0000000002.npz is damaged" in said[0]


def test_a_full_disk_loses_nothing(tmp_path):
    checkpoints = saved(tmp_path, 1)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(
            InputError, match="0000000002.npz must be on a disk that can be written to .* Received: File too"
        ):
            checkpoints.save(2, ARRAYS, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["0000000001.npz"]
    assert_is(checkpoints.newest(pytest.fail), 1)
