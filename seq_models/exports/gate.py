"""The gate before a server: what does not pass is not published."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from seq_models.errors import ExportRefused, shortened
from seq_models.exports import warmup
from seq_models.exports.audit import problems_of
from seq_models.exports.graphs import Artifact
from seq_models.exports.manifest import check_files
from seq_models.exports.probes import Probe, rows
from seq_models.exports.records import DEFAULT_SIGNATURE, Arrays, predict_request, read_answers, write_records
from seq_models.exports.rounding import Rounding
from seq_models.exports.tensors import array_of
from seq_models.exports.versions import LARGEST

REPLAY = Path(__file__).with_name("replay.py")  # importing it would forbid Keras
LIMIT = 600  # seconds of the process that answers
ABSOLUTE, RELATIVE = 1e-5, 1e-4  # how far a number may be from that of the model
ROUNDING = np.finfo(np.float32).eps / 2  # the largest relative error of one


def check(
    path: str | Path,
    probes: Sequence[Probe] = (),
    process: "Process | None" = None,
    rounding: Rounding | None = None,
) -> None:
    """Lets a SavedModel pass, or says why not.

    Its files are audited, and held against its manifest if there is one; nothing of it has been loaded then. A new
    process, without this package and without a GPU, loads it by the v1 loader, as TensorFlow Serving does, and answers
    requests of one row and of three, the warm-up requests and the probes. An answer must have a row for each of the
    request, those to the probes must be those of the model, and a row alone must be answered as it is among others.

    Args:
        path: The directory of the SavedModel.
        probes: A list of `seq_models.exports.probes.Probe`; of each signature the first one is answered row by row by
            those that follow it.
        process: The new process, if it was started already, see `Process`.
        rounding: Asked about a row whose answer is another one; where it decides, either is right.
    Raises:
        ExportRefused: At the first of these that fails.
    """
    path = Path(path)
    number = path.resolve().name
    if number.isascii() and number.isdecimal() and int(number) > LARGEST:
        raise ExportRefused(f"The number of a version must be at most 2^63-2. Received: {number}")
    try:
        artifact = Artifact(path)
        problems = problems_of(artifact)
    except (OSError, DecodeError, LookupError) as error:  # the last where a name stands for nothing in the graph
        raise ExportRefused(f"{path} must be a SavedModel. Received: {error}") from error
    if problems:
        raise ExportRefused(problems[0])
    check_files(path)
    recorded = warmup.read(path)
    warmup.check_requests(recorded, artifact.signatures)
    requests = [*trials(artifact.signatures, recorded), *recorded]
    requests += [predict_request(probe.signature, probe.inputs) for probe in probes]
    with process or Process() as process:
        answers = process.answers(path, requests)
    for message, answer in zip(requests, answers, strict=True):
        check_text(message.model_spec.signature_name, answer)
        check_count(message, answer)
    by_signature: dict[str, list[tuple[Probe, Arrays]]] = {}
    for probe, answer in zip(probes, answers[len(answers) - len(probes) :], strict=True):
        question, decided = f"{probe.signature} to {_shown(probe.inputs)}", _decided(probe, rounding)
        compare(question, answer, probe.answer, tolerances(probe.inputs), decided)
        by_signature.setdefault(probe.signature, []).append((probe, answer))
    for signature, asked in by_signature.items():
        (first, _), *_ = asked
        answers_of_it = [answer for _, answer in asked]
        check_rows(signature, answers_of_it, tolerances(first.inputs), _decided(first, rounding))


def _decided(probe, rounding):
    """Whether the model decides the answer to a row of a probe, and not rounding."""

    def decided(row):
        return rounding is None or not rounding.decides(probe.signature, rows(probe.inputs, row, row + 1))

    return decided


class Process:
    """A process that will answer requests by a SavedModel. It takes some seconds to start; nobody need wait for it.

    Args:
        python: The interpreter that it runs in; one with another TensorFlow says what a server with that would answer.
    """

    def __init__(self, python: str | Path = sys.executable):
        words, pipe = [str(python), str(REPLAY)], subprocess.PIPE
        self._process = subprocess.Popen(words, text=True, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def answers(self, path: str | Path, requests: Iterable[PredictRequest]) -> list[Arrays]:
        """What it answers to requests, a list of dictionaries of arrays; it ends then.

        Raises:
            ExportRefused: If it cannot.
        """
        with tempfile.TemporaryDirectory() as directory:
            asked, answers = Path(directory) / "requests", Path(directory) / "answers"
            write_records(asked, requests)
            try:
                words = json.dumps([str(path), str(asked), str(answers)])
                _, errors = self._process.communicate(f"{words}\n", timeout=LIMIT)
            except subprocess.TimeoutExpired:
                raise ExportRefused(f"{path} must answer within {LIMIT} seconds. Received: no answer") from None
            if self._process.returncode:
                last = (errors.strip().splitlines() or [f"exit code {self._process.returncode}"])[-1]
                raise ExportRefused(f"{path} must answer in a process of its own. Received: {last}")
            return read_answers(answers)


def trials(signatures: Mapping[str, SignatureDef], recorded: Sequence[PredictRequest]) -> list[PredictRequest]:
    """Requests of one row and of three to each signature, of a row that was recorded for it or is made up."""
    requests = []
    for name, signature in signatures.items():
        of_it = (each for each in recorded if (each.model_spec.signature_name or DEFAULT_SIGNATURE) == name)
        request = next((each for each in of_it if _count(each)), None)
        if request:
            inputs = {alias: array_of(tensor) for alias, tensor in request.inputs.items()}
        else:
            inputs = {alias: _made_up(info) for alias, info in signature.inputs.items()}
        for count in (1, 3):
            equal = {alias: np.resize(array[:1], (count, *array.shape[1:])) for alias, array in inputs.items()}
            requests.append(predict_request(name, equal))
            requests[-1].model_spec.name = "model" if request else "trial"
    return requests


def _made_up(info):
    dtype = tf.as_dtype(info.dtype).as_numpy_dtype
    shape = [max(dim.size, 1) for dim in info.tensor_shape.dim]
    return np.full(shape, b"a b" if dtype is object else 1, dtype)


def _count(request):
    """The rows of a request."""
    return min(tensor.tensor_shape.dim[0].size for tensor in request.inputs.values())


def check_count(request: PredictRequest, answer: Arrays) -> None:
    """Raises ExportRefused if an output of an answer has not a row for each of the request."""
    count = _count(request)
    for name, array in answer.items():
        if array.ndim == 0 or len(array) != count:
            raise ExportRefused(
                f"{request.model_spec.signature_name}: {name} must have a row for each of a request, {count}. "
                f"Received: shape {array.shape}"
            )


def check_text(signature: str, answer: Arrays) -> None:
    """Raises ExportRefused if a text of an answer is no UTF-8, which would break the JSON that carries it."""
    for name, array in answer.items():
        if array.dtype == object and not name.endswith("_bytes"):
            for value in array.ravel():
                try:
                    value.decode()
                except UnicodeDecodeError:
                    raise ExportRefused(f"{signature}: {name} must be UTF-8. Received: {_shown(value)}") from None


def tolerances(inputs: Arrays) -> np.ndarray:
    """How far the numbers of each row may be from those of the model, relative to their size (B,).

    A state to which every token adds something is rounded once a token, each time by up to 2^-24 of it, and two ways
    to compute it may round apart all the way; a text has no more tokens than bytes. What is shorter than some 1,700
    bytes has `RELATIVE`.
    """
    texts = [array for array in inputs.values() if array.dtype == object]
    count = len(next(iter(inputs.values())))
    sizes = [sum(len(text) for array in texts for text in np.ravel(array[row])) for row in range(count)]
    return np.maximum(RELATIVE, ROUNDING * np.array(sizes, float))


def compare(
    question: str,
    answer: Arrays,
    expected: Arrays,
    relative: float | np.ndarray = RELATIVE,
    decided: Callable[[int], bool] = lambda _: True,
) -> None:
    """Raises ExportRefused if an answer is not what is expected; both are dictionaries of arrays.

    Args:
        question: What was asked.
        answer: To it.
        expected: That of the model.
        relative: How far numbers may be apart, of each row or of all, see `tolerances`.
        decided: Whether the model decides the answer to a row; asked about one that is another, which may be so if not.
    """
    if answer.keys() != expected.keys():
        raise ExportRefused(f"{question}: the answer must have {sorted(expected)}. Received: {sorted(answer)}")
    for name, array in expected.items():
        got = answer[name]
        if got.shape != array.shape:
            raise ExportRefused(f"{question}: {name} must have shape {array.shape}. Received: {got.shape}")
        for place in map(tuple, np.argwhere(~alike(got, array, relative)).tolist()):
            if decided(place[0]):
                wanted, found = _from_where_they_differ(array[place], got[place])
                raise ExportRefused(f"{question}: {name} must be {wanted} at {list(place)}. Received: {found}")


def alike(one: np.ndarray, other: np.ndarray, relative: float | np.ndarray = RELATIVE) -> np.ndarray:
    """Where two arrays are equal, numbers but for rounding; `relative` is of each row, or of all."""
    if one.dtype.kind == "f":
        relative = np.reshape(relative, np.shape(relative) + (1,) * (other.ndim - np.ndim(relative)))
        return np.isclose(one, other, atol=ABSOLUTE, rtol=relative, equal_nan=True)
    return np.asarray(one == other)


def check_rows(
    signature: str, answers: Sequence[Arrays], relative: np.ndarray, decided: Callable[[int], bool] = lambda _: True
) -> None:
    """Raises ExportRefused if a row that was asked alone was answered otherwise than among others.

    Args:
        signature: Its name.
        answers: That to many rows, and then one to each of its rows; what comes after them does not matter.
        relative: How far numbers of each row may be apart, see `tolerances`.
        decided: As of `compare`.
    """
    together, *others = answers
    count = len(next(iter(together.values())))
    for row, alone in enumerate(others[:count]):
        for name, array in alone.items():
            # Among others a row may be padded further.
            among = together[name][(slice(row, row + 1), *(slice(size) for size in array.shape[1:]))]
            equal = array.shape == among.shape and alike(array, among, relative[row]).all()
            if not equal and decided(row):
                raise ExportRefused(
                    f"{signature}: {name} of row {row} must be the same alone and among others, "
                    f"{_shown(among)}. Received: {_shown(array)}"
                )


def _from_where_they_differ(one, other):
    """Two values as texts; of long texts what comes from shortly before the first difference."""
    if isinstance(one, bytes):
        same = len(os.path.commonprefix([one, other]))
        before = max(0, same - 20)
        return tuple(("…" if before else "") + _shown(each[before:]) for each in (one, other))
    return _shown(one), _shown(other)


def _shown(value):
    return shortened(str(value).replace("\n", " "), 200)
