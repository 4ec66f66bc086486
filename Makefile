# Works on a bare machine that has python3 (3.11 or newer) with venv and pip.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test lint types clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## Train on real faces, compare four losses on unseen people, write demo/report.html
	$(VENV)/bin/evenface demo

test: $(READY)  ## Run every test
	$(VENV)/bin/python -m pytest

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY)
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) demo
