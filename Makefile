# Two commands on a fresh machine: `make run` and `make test`. Python >= 3.10 is all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-slow lint format docs clean

run: $(VENV)/.installed
	$(BIN)/python run_wlnn.py params/wlnn/digits-quick.yaml $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	@{ printf '# Settings\n\nEvery setting is a key of a parameter file and a flag `--<name>`; made by `make docs`.\n\n'; \
		$(BIN)/python -m topoevo settings; } > docs/settings.md

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "topoevo needs Python 3.10 or newer, $(PYTHON) is older; try: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "could not make a virtual environment; on Debian or Ubuntu: apt install python3-venv"; exit 2; }

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing topoevo and what it needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[tensorboard]'
	@$(BIN)/python -m topoevo compile
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing topoevo with its tests' needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing topoevo with its developers' tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test
