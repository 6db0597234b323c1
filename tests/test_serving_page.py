"""The page of `serving/` is true: its files, commands, replies and models."""

import json
import re
import shlex
from pathlib import Path

import command_line
import load
import numpy as np
from deployment_fixtures import MANIFESTS, MODELS, README, ROOT
from google.protobuf import text_format
from grpc_client import GrpcClient
from rest_client import RestClient
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from seq_models import cli


def shell_lines():
    """Commands of the page, without what is after their comment sign."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.S)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def test_the_page_names_files_that_are_there():
    files = set(re.findall(r"\b(?:serving|tests)/[\w./-]*\w", README))
    assert len(files) > 10 and all((ROOT / file).exists() for file in files)
    assert set(re.findall(r"serving/kubernetes/[\w.]+", README)) == {
        f"serving/{name}" for name in MANIFESTS if name.startswith("kubernetes")
    }


def test_the_commands_of_the_page_are_ones_that_their_programs_take(monkeypatch):
    parsers = {
        "rest_client.py": command_line._parser(RestClient),
        "grpc_client.py": command_line._parser(GrpcClient),
        "load.py": load._parser(),
    }
    seen = set()
    for words in shell_lines():
        seen.add(words[0])
        if words[0] == "python":
            assert parsers[Path(words[1]).name].parse_args(words[2:]).model in MODELS
        elif words[0] == "seq-models":
            cli.make_parser().parse_args(words[1:])
        elif words[0] == "curl":
            check_curl(words[1:])
    assert seen == {"python", "seq-models", "curl", "docker", "kubectl", "cp"}


def check_curl(words):
    [url] = [word for word in words if word.startswith("http")]
    assert url.startswith(f"{RestClient.ADDRESS}/v1/models/")
    if "-d" in words:
        assert json.loads(words[words.index("-d") + 1]).keys() == {"instances"}
        assert url.endswith(":predict")


def test_the_replies_of_the_page_are_written_as_the_server_writes_them():
    good, bad = re.findall(r"```json\n(.*?)```", README, re.S)
    [answer] = json.loads(good)["predictions"]
    assert list(answer) == ["label", "score", "abstain", "probabilities", "classes"] and answer["score"] == max(
        answer["probabilities"]
    )
    for written in re.findall(r"\d\.\d+", good):
        assert written == f"{np.float32(written):.9g}"
    assert list(json.loads(bad)) == ["error"]


def test_the_page_lists_the_models_of_the_demo():
    assert re.findall(r"^\| `([\w-]+)` \|", README, re.M) != []
    assert set(re.findall(r"^\| `([\w-]+)` \|", README, re.M)) == set(MODELS)


def test_the_lines_of_a_canary_are_ones_that_the_server_takes():
    [lines] = re.findall(r"```protobuf\n(.*?)```", README, re.S)
    model = text_format.Parse(f"model_config_list {{ config {{ {lines} }} }}", ModelServerConfig())
    [canary] = model.model_config_list.config
    assert canary.version_labels.keys() == {"stable", "canary"}
    assert sorted(canary.version_labels.values()) == list(canary.model_version_policy.specific.versions)
