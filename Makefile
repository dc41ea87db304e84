# `make image` and `make test` do everything on a fresh Debian machine; see README.md.

VENV := .venv
BIN := $(VENV)/bin
NIX := scripts/with-nix
OUT := out

.PHONY: image test test-quick lint format bench bench-plans bench-updates setup setup-test clean

# The main job: render, build, pack, write and boot this repository's own image.
image: setup
	$(NIX) scripts/make-image $(OUT)

# All tests, with real Nix and the real counterparts; a missing tool is a failure.
test: setup-test
	NIXBRIDGE_REQUIRE_TOOLS=1 $(NIX) $(BIN)/pytest

# The tests that need neither Nix nor another program.
test-quick: setup
	$(BIN)/pytest -m "not nix and not tools"

lint: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

bench: setup
	$(NIX) $(BIN)/python benchmarks/pack.py
	$(NIX) $(BIN)/python benchmarks/push.py

bench-plans: setup
	$(NIX) $(BIN)/python benchmarks/plans.py

bench-updates: setup-test
	PYTHONPATH=tests $(NIX) $(BIN)/python benchmarks/updates.py

setup:
	scripts/setup image
	@$(MAKE) --no-print-directory $(VENV)/.installed
	$(NIX) $(BIN)/python nix/debpkgs/debpkgs.py fetch trixie

setup-test:
	scripts/setup test
	@$(MAKE) --no-print-directory $(VENV)/.installed
	$(NIX) $(BIN)/python nix/debpkgs/debpkgs.py fetch trixie
	$(NIX) $(BIN)/python nix/debpkgs/debpkgs.py fetch bookworm

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(OUT) $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
