"""The development server is optional: the rest of the package does without it and without what it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_layering import FILES, folder_of, imported

ROOT = Path(__file__).parents[1]
OF_THE_EXTRA = ["starlette", "uvicorn", "httptools", "grpc_health", "prometheus_client"]


@pytest.mark.slow
@pytest.mark.parametrize("missing", [OF_THE_EXTRA, ["httptools"]], ids=["all", "the parser of Uvicorn"])
def test_without_the_extra_the_command_says_what_to_install(missing):
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing})); "
        "from seq_models import cli; sys.exit(cli.main(['serve', '--model_base=x']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = [line for line in done.stderr.splitlines() if "cuda" not in line]
    assert line.startswith("seq-models: ")
    assert 'pip install "seq_models[serve]"' in line


def test_only_the_server_imports_what_the_extra_brings():
    users = {folder_of(file) for file in FILES if {name.split(".")[0] for name in imported(file)} & set(OF_THE_EXTRA)}
    assert users == {"server"}


def test_only_the_command_line_imports_the_server():
    users = {
        folder_of(file) for file in FILES if any(f"{name}.".startswith("seq_models.server.") for name in imported(file))
    }
    assert users == {"server", "commands"}
