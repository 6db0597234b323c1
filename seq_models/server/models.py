"""The models of a server: which versions are loaded, in which state each is, and which one answers a request."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grpc import StatusCode
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse, ModelVersionStatus
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from seq_models.errors import InputError
from seq_models.exports.versions import versions_in
from seq_models.server.polling import Report, every
from seq_models.server.servable import Servable
from seq_models.server.status import RequestError, invalid

State = ModelVersionStatus.State
ATTEMPTS = 6  # to load a version whose files stay the same: one, and five more as TensorFlow Serving makes
PAUSE = 60  # seconds between two of them
LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Version:
    """A version of a model, whether it can answer or not."""

    model: str
    number: int
    path: Path
    fingerprint: tuple = ()
    state: int = State.START
    error: RequestError | None = None  # why it could not be loaded
    servable: Servable | None = None
    users: int = 0  # requests that run in it
    attempts: int = 1  # to load these files
    tried: float = field(default_factory=time.monotonic)  # when the last of them was made


@dataclass(eq=False)
class Model:
    """A model, with every version that it has had."""

    report: Report
    config: ModelConfig | None = None  # None once the server is to have it no more
    versions: dict[int, Version] = field(default_factory=dict)
    place: tuple = ()  # the directory on the disk that had versions at the last look

    def available(self) -> list[int]:
        """The numbers of the versions that answer."""
        return [number for number, version in self.versions.items() if version.state == State.AVAILABLE]

    def is_at(self, base: str) -> bool:
        """Whether a version of this base path answers; another one may, while this cannot be listed."""
        return any(self.versions[number].path.parent == Path(base) for number in self.available())


class Models:
    """The models of a server.

    A version that is asked for no more is closed once another one answers and the last request in it has ended.

    Args:
        load: Called with (path, number); returns a `Servable` that is ready.
        labels_may_be_early: Whether a new label may be that of a version that is not there yet.
    """

    def __init__(self, load: Callable[[Path, int], Servable], labels_may_be_early: bool = False):
        self._load_servable = load
        self._labels_may_be_early = labels_may_be_early
        self._models: dict[str, Model] = {}
        self._changed = threading.Condition()  # guards the state of every version
        self._updating = threading.Lock()  # one change of what is loaded at a time
        self._stopped = threading.Event()

    def set(self, configs: Sequence[ModelConfig]) -> None:
        """Makes the models these and no others; returns when they are loaded.

        Raises:
            RequestError: If a label is that of a version which does not answer, or no version of a model can be loaded.
        """
        with self._updating:
            for config in configs:
                self._check_labels(config)
            with self._changed:
                for model in self._models.values():
                    model.config = None
                for config in configs:
                    self._models.setdefault(config.name, _new_model(config.name)).config = config
            self._update()
            missing = [config.name for config in configs if not self._models[config.name].is_at(config.base_path)]
            if missing:
                raise RequestError(StatusCode.UNKNOWN, self._failure(missing[0]))

    def _check_labels(self, config):
        model = self._models.get(config.name) or _new_model(config.name)
        known = model.config.version_labels if model.config else {}
        for label, number in config.version_labels.items():
            early = self._labels_may_be_early and label not in known
            if number not in model.available() and not early:
                message = f"Request to assign label to version {number} of model {config.name}"
                raise RequestError(
                    StatusCode.FAILED_PRECONDITION, f"{message}, which is not currently available for inference"
                )

    def _failure(self, name):
        model = self._models[name]
        errors = [f"version {version.number}: {version.error}" for version in model.versions.values() if version.error]
        reason = (
            "; ".join(errors)
            or model.report.problem
            or f"No versions of servable {name} found under base path {model.config.base_path}"
        )
        return f"servable(s) did not become available: {name}: {reason}"

    def watch(self, seconds: float) -> None:
        """Looks for new and removed versions in the background, until `stop`.

        A model whose base path is away, or cannot be listed, keeps what is loaded.

        Args:
            seconds: The time between two looks.
        """
        every(seconds, self._stopped, self._look, "versions")

    def _look(self):
        with self._updating:
            self._update()

    def _update(self):
        for model in self._models.values():
            try:
                self._update_model(model)
                model.report.right()
            except Exception as error:  # whatever is wrong with one model, the others go on, and it as it is
                model.report.wrong(error)

    def _update_model(self, model):
        asked = _asked(model) if model.config else {}
        for number, path in asked.items():
            if _needs_loading(model.versions.get(number), path):
                self._load(model, number, path)
        available = set(model.available())
        if not asked or available & asked.keys():
            for number in available - asked.keys():
                self._unload(model.versions[number])

    def _load(self, model, number, path):
        version = Version(model.config.name, number, path, _fingerprint(path))
        old = model.versions.get(number)
        if old and old.error and old.fingerprint == version.fingerprint:
            version.attempts = old.attempts + 1
        replaces = old is not None and old.state == State.AVAILABLE  # the same number, at another base path
        with self._changed:
            if not replaces:
                model.versions[number] = version
        self._set_state(version, State.LOADING)
        try:
            version.servable = self._load_servable(path, number)
        except Exception as error:  # whatever is wrong with one version, the others go on
            version.error = error if isinstance(error, RequestError) else RequestError(StatusCode.UNKNOWN, str(error))
            self._set_state(version, State.END)
            return
        with self._changed:
            model.versions[number] = version
        self._set_state(version, State.AVAILABLE)
        if replaces:
            self._unload(old)

    def _unload(self, version):
        self._set_state(version, State.UNLOADING)
        # The last request may take long, and the next version must not wait for it.
        threading.Thread(target=self._close, args=(version,), daemon=True).start()

    def _close(self, version):
        with self._changed:
            self._changed.wait_for(lambda: version.users == 0)
        try:
            version.servable.close()
        except Exception:
            LOG.exception("%s %d could not be closed", version.model, version.number)
        version.servable = None
        self._set_state(version, State.END)

    def _set_state(self, version, state):
        with self._changed:
            version.state = state
            self._changed.notify_all()
        LOG.info(
            "%s %d %s%s", version.model, version.number, State.Name(state), f": {version.error or ''}".rstrip(": ")
        )

    @contextmanager
    def use(self, name: str, number: int | None = None, label: str | None = None) -> Iterator[Servable]:
        """The servable that answers a request; it stays open until the end of the `with` block.

        Args:
            name: The model's.
            number: The version's; None for the latest.
            label: A label of a version, in place of its number.
        Raises:
            RequestError: If there is none.
        """
        version = self._acquire(name, number, label)
        try:
            yield version.servable
        finally:
            self._release(version)

    def _acquire(self, name, number, label):
        with self._changed:
            model = self._models.get(name) or _new_model(name)
            if label is not None:
                number = _labelled(model, label)
            wanted = max(model.available(), default=None) if number is None else number
            version = model.versions.get(wanted)
            if version is None or version.state != State.AVAILABLE:
                which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise RequestError(StatusCode.NOT_FOUND, f"Servable not found for request: {which}")
            version.users += 1
            return version

    def _release(self, version):
        with self._changed:
            version.users -= 1
            if version.users == 0 and version.state != State.AVAILABLE:
                self._changed.notify_all()

    def status(self, name: str, number: int | None = None) -> GetModelStatusResponse:
        """The states of a model's versions, the newest first; with a number, of this version only.

        Raises:
            RequestError: If the model or version is not known.
        """
        with self._changed:
            versions = (self._models.get(name) or _new_model(name)).versions
            if number is not None and number not in versions:
                raise RequestError(StatusCode.NOT_FOUND, f"Could not find version {number} of model {name}")
            if not versions:
                raise RequestError(StatusCode.NOT_FOUND, f"Could not find any versions of model {name}")
            numbers = sorted(versions, reverse=True) if number is None else [number]
            response = GetModelStatusResponse()
            for each in numbers:
                _add_status(response, versions[each])
            return response

    def has(self, name: str) -> bool:
        """Whether the server is, or was, to have a model of this name."""
        return name in self._models

    def stop(self) -> None:
        """Closes every model, after the last request in it."""
        self._stopped.set()
        with self._updating, self._changed:
            versions = [version for model in self._models.values() for version in model.versions.values()]
        for version in versions:
            if version.state == State.AVAILABLE:
                self._unload(version)
        with self._changed:
            self._changed.wait_for(lambda: not any(version.servable for version in versions), timeout=30)


def _new_model(name):
    return Model(Report(f"model {name}"))


def _asked(model):
    """The versions, {number: path}, that a model should have: by its policy the latest, all or specific ones.

    Raises:
        InputError: If that cannot be seen: the base path cannot be listed, or is the place where a disk was mounted.
    """
    base = model.config.base_path
    found = versions_in(base)
    place = _place(base)
    if not found and model.place != place and model.available():
        raise InputError(f"{base} must be the directory whose versions are loaded. Received: another one, an empty one")
    model.place = place
    policy = model.config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        return {number: path for number, path in found.items() if number in policy.specific.versions}
    count = max(policy.latest.num_versions, 1)
    return dict(list(found.items())[-count:])


def _place(path):
    stat = Path(path).stat()
    return stat.st_dev, stat.st_ino


def _fingerprint(path):
    """Paths, sizes and times of the files in a directory: another value when they change."""
    found = []
    for file in sorted(path.rglob("*")):
        try:
            stat = file.stat()
        except OSError:  # gone meanwhile
            continue
        found.append((str(file), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _needs_loading(version, path):
    if version is None or version.state == State.UNLOADING:
        return True
    if version.state == State.AVAILABLE:
        return version.path != path
    if version.error is None:
        return True
    # It may have been found while it was still being copied, or while something else was missing, such as memory.
    again = version.attempts < ATTEMPTS and time.monotonic() - version.tried >= PAUSE
    return again or version.fingerprint != _fingerprint(path)


def _labelled(model, label):
    labels = model.config.version_labels if model.config else {}
    if label not in labels:
        raise invalid(f"Unrecognized servable version label: {label}")
    return labels[label]


def _add_status(response, version):
    status = response.model_version_status.add(version=version.number, state=version.state)
    status.status.error_code = version.error.code.value[0] if version.error else 0
    status.status.error_message = version.error.message if version.error else ""
