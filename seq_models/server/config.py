"""The configuration files of TensorFlow Serving: protos written as text."""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from seq_models.errors import InputError

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {"bool": _FIELD.TYPE_BOOL, "string": _FIELD.TYPE_STRING}
# The published stubs leave these two messages out. A field that is not here is an error: this server has not got it.
_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": "google.protobuf.Int64Value",
        "batch_timeout_micros": "google.protobuf.Int64Value",
        "max_enqueued_batches": "google.protobuf.Int64Value",
        "num_batch_threads": "google.protobuf.Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "seq_models.PrometheusConfig"},
}


def read_models(path):
    """The models of a `ModelServerConfig`.

    Args:
        path: A text file.
    Returns:
        A list of `ModelConfig`.
    Raises:
        InputError: If it cannot be read, is malformed or names no models.
    """
    config = _read(path, model_server_config_pb2.ModelServerConfig(), "tensorflow.serving.ModelServerConfig")
    if not config.model_config_list.config:
        raise InputError(f"{path} must hold a model_config_list with models. Received: {_start(config)}")
    check_models(config.model_config_list.config, path)
    return list(config.model_config_list.config)


def check_models(models, source):
    """Refuses models that this server cannot have.

    Args:
        models: `ModelConfig`s.
        source: Where they are from, for the error.
    Raises:
        InputError: If a name is missing or there twice, a path is missing, or a platform is not TensorFlow.
    """
    names = set()
    for model in models:
        if not model.name or not model.base_path or model.name in names:
            raise InputError(
                f"{source} must give each model a name of its own and a base_path. Received: {_start(model)}"
            )
        if model.model_platform not in ("", "tensorflow"):
            raise InputError(f"{source} must have models of the platform tensorflow. Received: {model.model_platform}")
        names.add(model.name)


def read_batching(path):
    """The `BatchingParameters` of a text file, as a dictionary of numbers from 1 (from 0 for the time).

    Raises:
        InputError: If it cannot be read, is malformed or a number is too small.
    """
    parameters = _read(path, _message("BatchingParameters")(), "tensorflow.serving.BatchingParameters")
    numbers = {field.name: value.value for field, value in parameters.ListFields()}
    for name, value in numbers.items():
        if value < (0 if name == "batch_timeout_micros" else 1):
            raise InputError(f"{path} must have {name} above 0. Received: {value}")
    return numbers


def read_monitoring(path):
    """Where metrics are served, after a `MonitoringConfig`.

    Args:
        path: A text file.
    Returns:
        The path of the address, or None if they are not.
    Raises:
        InputError: If the file cannot be read or is malformed.
    """
    config = _read(path, _message("MonitoringConfig")(), "tensorflow.serving.MonitoringConfig").prometheus_config
    return (config.path or "/monitoring/prometheus/metrics") if config.enable else None


def _read(path, message, name):
    try:
        return text_format.Parse(Path(path).read_text("utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(f"{path} must be a {name}. Received: Error parsing text-format {name}: {error}") from error


def _start(message):
    return text_format.MessageToString(message, as_one_line=True)[:100] or "nothing"


def _message(name):
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"seq_models.{name}"))


def _pool():
    file = descriptor_pb2.FileDescriptorProto(name="seq_models/server.proto", package="seq_models", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            added.type = _TYPES.get(kind, _FIELD.TYPE_MESSAGE)
            if kind not in _TYPES:
                added.type_name = f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _pool()
