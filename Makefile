# Every target makes the environment it needs; only Python >= 3.10, make and git are expected.
PYTHON ?= python3
VENV := .venv
DATA ?= ../shared/data/location30/train.parquet
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test quality style bench cards

demo: $(INSTALLED)
	$(BIN)/hf-privacy demo

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --doctest-modules hf_privacy

quality: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

style: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python recipes/benchmarks/references/run.py --data $(DATA)
	$(BIN)/python recipes/benchmarks/scoring/run.py
	$(BIN)/python recipes/benchmarks/adversarial/run.py
	$(BIN)/python recipes/benchmarks/curvature/run.py

cards: $(INSTALLED)
	$(BIN)/python model_cards/render.py

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev,dp,robust]"
	touch $@
