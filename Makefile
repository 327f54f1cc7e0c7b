# Everything a newcomer needs: `make quickstart`, `make test`. CI calls `make test` too.
# Another interpreter or place: make test PYTHON=python3.13 VENV=/somewhere/else
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart test check fix clean

quickstart: $(STAMP)
	$(BIN)/turnwise quickstart --output runs/quickstart --overwrite

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# pip with the constraints file: the pinned torch resolves to a CPU build where one is at hand.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "turnwise needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); torch is large, so this may take some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
