# `make demo` and `make test` need only Python ≥ 3.11 and a package index: they set everything up by themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
BACKENDS = .venv-backends
BACKENDS_INSTALLED = $(BACKENDS)/.installed
TF221 = .venv-tf221
TF221_INSTALLED = $(TF221)/.installed
# A file goes to one process, which makes what its tests share once.
PARALLEL = --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow test-torch test-backends test-matrix check format real-text clean

demo: $(INSTALLED)
	$(BIN)/seq-models demo --out demo

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m slow

test-torch: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,bench]"
	$(BIN)/python -m pytest tests/test_torch_weights.py

test-backends: $(BACKENDS_INSTALLED)
	KERAS_BACKEND=jax $(BACKENDS)/bin/python -m pytest tests_backends
	KERAS_BACKEND=torch $(BACKENDS)/bin/python -m pytest tests_backends

test-matrix: $(TF221_INSTALLED)
	$(TF221)/bin/python -m pytest $(PARALLEL)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

real-text: $(INSTALLED)
	$(BIN)/python benchmarks/real_text.py

clean:
	rm -rf $(VENV) $(BACKENDS) $(TF221) demo runs exports

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,serve]"
	touch $(INSTALLED)

$(BACKENDS_INSTALLED): pyproject.toml constraints-backends.txt
	$(PYTHON) -m venv $(BACKENDS)
	$(BACKENDS)/bin/python -m pip install --quiet --upgrade pip
	$(BACKENDS)/bin/python -m pip install --quiet --constraint constraints-backends.txt keras jax torch pytest
	$(BACKENDS)/bin/python -m pip install --quiet --no-deps --editable .
	touch $(BACKENDS_INSTALLED)

$(TF221_INSTALLED): pyproject.toml constraints-tf221.txt
	$(PYTHON) -m venv $(TF221)
	$(TF221)/bin/python -m pip install --quiet --upgrade pip
	$(TF221)/bin/python -m pip install --quiet --constraint constraints-tf221.txt --editable ".[test,serve]"
	touch $(TF221_INSTALLED)
