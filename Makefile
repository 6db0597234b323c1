# `make demo` and `make test` need only Python ≥ 3.11 and a package index: they set everything up by themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test check format real-text clean

demo: $(INSTALLED)
	$(BIN)/seq-models demo --out demo

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

real-text: $(INSTALLED)
	$(BIN)/python benchmarks/real_text.py

clean:
	rm -rf $(VENV) demo runs exports

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $(INSTALLED)
