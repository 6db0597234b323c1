"""The models of a server: which versions are loaded, in which state each is, and which one answers a request."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grpc import StatusCode
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse, ModelVersionStatus
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from seq_models.exports.versions import versions_in
from seq_models.server.servable import Servable
from seq_models.server.status import RequestError, invalid

State = ModelVersionStatus.State
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


@dataclass(eq=False)
class Model:
    """A model, with every version that it has had."""

    config: ModelConfig | None = None  # None once the server is to have it no more
    versions: dict[int, Version] = field(default_factory=dict)

    def available(self) -> list[int]:
        """The numbers of the versions that answer."""
        return [number for number, version in self.versions.items() if version.state == State.AVAILABLE]


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
                    self._models.setdefault(config.name, Model()).config = config
            self._update()
            missing = [config.name for config in configs if not self._models[config.name].available()]
            if missing:
                raise RequestError(StatusCode.UNKNOWN, self._failure(missing[0]))

    def _check_labels(self, config):
        model = self._models.get(config.name) or Model()
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
        reason = "; ".join(errors) or f"No versions of servable {name} found under base path {model.config.base_path}"
        return f"servable(s) did not become available: {name}: {reason}"

    def watch(self, seconds: float) -> None:
        """Looks for new and removed versions in the background, until `stop`.

        Args:
            seconds: The time between two looks.
        """
        threading.Thread(target=self._watch, args=(seconds,), name="versions", daemon=True).start()

    def _watch(self, seconds):
        while not self._stopped.wait(seconds):
            with self._updating:
                self._update()

    def _update(self):
        for model in self._models.values():
            asked = _asked(model.config) if model.config else {}
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
        version.servable.close()
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
            model = self._models.get(name) or Model()
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
            versions = (self._models.get(name) or Model()).versions
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


def _asked(config):
    """The versions, {number: path}, that a model should have: by its policy the latest, all or specific ones."""
    found = versions_in(config.base_path)
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        return {number: path for number, path in found.items() if number in policy.specific.versions}
    count = max(policy.latest.num_versions, 1)
    return dict(list(found.items())[-count:])


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
    # A version that failed may have been found while it was still being copied.
    return version.error is None or version.fingerprint != _fingerprint(path)


def _labelled(model, label):
    labels = model.config.version_labels if model.config else {}
    if label not in labels:
        raise invalid(f"Unrecognized servable version label: {label}")
    return labels[label]


def _add_status(response, version):
    status = response.model_version_status.add(version=version.number, state=version.state)
    status.status.error_code = version.error.code.value[0] if version.error else 0
    status.status.error_message = version.error.message if version.error else ""
