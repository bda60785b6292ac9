# Two commands on a fresh Debian 12 with Python 3.11:   make demo   make test
# Each makes the virtual environment that it needs by itself, from lock files with hashes.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test clean

demo: $(VENV)/run
	$(VENV)/bin/inframe demo

test: $(VENV)/dev
	scripts/check

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: locks/run.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) --require-hashes --requirement locks/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	$(VENV)/bin/python -m compileall -q src
	@touch $@

$(VENV)/dev: locks/dev.txt $(VENV)/run
	$(PIP) --require-hashes --requirement locks/dev.txt
	@touch $@

clean:
	rm -rf $(VENV) out build dist
