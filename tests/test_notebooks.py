"""Every notebook runs from top to bottom, at its small size."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    """TensorBoard notes its servers in the temporary folder; those that a notebook started are ended."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield
    for note in (tmp_path / ".tensorboard-info").glob("pid-*.info"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(note.read_text())["pid"], signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_at_smoke_size(path, own_temporary_folder, monkeypatch):
    monkeypatch.setenv("SEQ_MODELS_SMOKE", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # tensorboard is there
    notebook = nbformat.read(path, as_version=4)
    started = time.monotonic()
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert time.monotonic() - started < 300
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert "Could not find" not in str(notebook.cells), "TensorBoard starts inside the notebook"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_the_outputs_of_a_real_run(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
