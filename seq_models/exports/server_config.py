"""The three configuration files of a server, beside the models that it serves."""

import re
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from seq_models.errors import InputError
from seq_models.files import write_whole

MOUNTED = "/models"  # where a server in a container finds the directory of all models
BATCHING = """\
# Requests that come within 2 ms of each other are answered together, 32 rows at most.
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""
MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


def check_name(name: str) -> None:
    """Refuses a name that cannot be a directory and a part of an address.

    Raises:
        InputError: If it holds other than letters, digits, `_`, `-` and `.`, or starts with one of these three.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise InputError(f"The name of a model must be letters, digits, _, - and . only. Received: {name!r}")


def write_server_config(base: str | Path, name: str) -> None:
    """Makes `models.config` name a model, and writes `batching.config` and `monitoring.config` if they are not there.

    What the files hold already stays, with the labels and policies that somebody gave the models.

    Args:
        base: The directory of all models.
        name: The name of a model, a directory in it.
    Raises:
        InputError: If models.config cannot be read or written.
    """
    base = Path(base)
    path = base / "models.config"
    config = read_models(path) if path.exists() else ModelServerConfig()
    models = config.model_config_list.config
    if name not in [model.name for model in models]:
        models.add(name=name, base_path=f"{MOUNTED}/{name}", model_platform="tensorflow")
        write_whole(path, text_format.MessageToString(config, as_utf8=True))
    for file, text in (("batching.config", BATCHING), ("monitoring.config", MONITORING)):
        if not (base / file).exists():
            write_whole(base / file, text)


def read_models(path: str | Path) -> ModelServerConfig:
    """The models of a file.

    Raises:
        InputError: If it cannot be read or is malformed.
    """
    return read_message(path, ModelServerConfig())


def read_message(path: str | Path, message: Message) -> Message:
    """Fills a message of TensorFlow Serving from a text file, and returns it.

    Raises:
        InputError: If the file cannot be read or is malformed.
    """
    kind = message.DESCRIPTOR
    try:
        return text_format.Parse(Path(path).read_text("utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(
            f"{path} must be a {kind.name} of TensorFlow Serving. "
            f"Received: Error parsing text-format {kind.full_name}: {error}"
        ) from error
