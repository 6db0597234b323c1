"""The configuration of a server: models from flags, a file or a directory; parameters of batching and monitoring."""

import os
import re
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from seq_models.errors import InputError
from seq_models.exports.server_config import read_message, read_models
from seq_models.exports.versions import directories_in, versions_in

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
    "MonitoringConfig": {"prometheus_config": "tensorflow.serving.PrometheusConfig"},
}


def configured_models(options: Namespace) -> list[ModelConfig]:
    """The models that the flags ask for, each with a version on the disk.

    Raises:
        InputError: If there are none, or a version is missing.
    """
    if options.model_config_file:
        configs = read_configs(options.model_config_file)
    elif options.model_base:
        configs = _configs_in(options.model_base)
    else:
        configs = [_config(options.model_name, options.model_base_path)]
    for config in configs:
        # TensorFlow Serving would wait for a version to come; who starts a server by hand has mistyped.
        if not os.path.isdir(config.base_path):
            raise InputError(f"The base path of {config.name} must be a directory. Received: {config.base_path}")
        if not versions_in(config.base_path):
            problem = "must hold versions, directories with a number for a name"
            raise InputError(f"The base path of {config.name} {problem}. Received: {config.base_path}, without any")
    return configs


def _configs_in(base):
    """The models of a directory: each sub-directory that has versions."""
    if not os.path.isdir(base):
        raise InputError(f"--model_base must be a directory of models. Received: {base}, which is not there")
    found = [_config(path.name, path) for path in directories_in(base) if versions_in(path)]
    if not found:
        raise InputError(f"--model_base must be a directory with NAME/1 in it. Received: {base}, which has no model")
    return found


def _config(name, path):
    return ModelConfig(name=name, base_path=str(path), model_platform="tensorflow")


def read_configs(path: str | Path) -> list[ModelConfig]:
    """The models of a `ModelServerConfig` in a text file.

    Raises:
        InputError: If it cannot be read, is malformed or names no models.
    """
    models = read_models(path).model_config_list.config
    if not models:
        raise InputError(f"{path} must hold a model_config_list with models. Received: none")
    check_models(models, path)
    return list(models)


def check_models(models: Iterable[ModelConfig], source: str | Path) -> None:
    """Refuses models that this server cannot have.

    Args:
        models: Their configurations.
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


def read_batching(path: str | Path) -> dict[str, int]:
    """The `BatchingParameters` of a text file: numbers from 1, the time from 0.

    Raises:
        InputError: If it cannot be read, is malformed or a number is too small.
    """
    parameters = read_message(path, _message("BatchingParameters")())
    numbers = {field.name: value.value for field, value in parameters.ListFields()}
    for name, value in numbers.items():
        if value < (0 if name == "batch_timeout_micros" else 1):
            raise InputError(f"{path} must have {name} above 0. Received: {value}")
    return numbers


def read_monitoring(path: str | Path) -> str | None:
    """Where metrics are served, after the `MonitoringConfig` of a text file; None if they are not.

    Raises:
        InputError: If the file cannot be read or is malformed, or the path is none.
    """
    config = read_message(path, _message("MonitoringConfig")()).prometheus_config
    if config.path and not re.fullmatch(r"/[^{}]*", config.path):
        raise InputError(f"{path} must have a path that starts with / and holds no braces. Received: {config.path}")
    return (config.path or "/monitoring/prometheus/metrics") if config.enable else None


def _start(message):
    return text_format.MessageToString(message, as_one_line=True)[:100] or "nothing"


def _message(name):
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"tensorflow.serving.{name}"))


def _pool():
    file = descriptor_pb2.FileDescriptorProto(
        name="seq_models/server.proto", package="tensorflow.serving", syntax="proto3"
    )
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
