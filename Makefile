# Every target makes the environment it needs; only Python >= 3.10, make and git are expected.
# Installed are the versions of requirements.lock, which were tested together. LATEST=1 takes what the index has,
# LOWEST=1 the lowest that pyproject.toml allows; each has an environment of its own.
PYTHON ?= python3
DATA ?= ../shared/data/location30/train.parquet
ifdef LATEST
VENV := .venv-latest
VERSIONS := --upgrade --upgrade-strategy eager
else ifdef LOWEST
VENV := .venv-lowest
LOCK := requirements-lowest.lock
VERSIONS := --constraint $(LOCK)
else
VENV := .venv
LOCK := requirements.lock
VERSIONS := --constraint $(LOCK)
endif
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The rooms that lean on other packages most, without their slow tests.
QUICK := $(addprefix tests/,data hub metrics models signals weights) \
	$(addprefix tests/defenses/test_,trainer.py gradient_accumulation.py dp_trainer.py resume.py saved_files.py secret_stream.py) \
	tests/unlearning/test_baselines.py tests/auditing/test_audit.py tests/cli/test_commands.py

.PHONY: demo test quick quality style docs bench rehearse cards lock latest

demo: $(INSTALLED)
	$(BIN)/hf-privacy demo

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --doctest-modules hf_privacy

quick: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(QUICK)

quality: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_no_circles.py

style: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	$(BIN)/python recipes/site/build.py --output build/site

# What only the site needs.
$(VENV)/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet $(VERSIONS) --editable ".[docs]"
	touch $@

bench: $(INSTALLED)
	$(BIN)/python recipes/benchmarks/startup/run.py
	$(BIN)/python recipes/benchmarks/references/run.py --data $(DATA)
	$(BIN)/python recipes/benchmarks/cluster/run.py --data $(DATA)
	$(BIN)/python recipes/benchmarks/store/run.py
	$(BIN)/python recipes/benchmarks/scoring/run.py
	$(BIN)/python recipes/benchmarks/adversarial/run.py
	$(BIN)/python recipes/benchmarks/curvature/run.py
	$(BIN)/python recipes/benchmarks/dp_noise/run.py
	$(BIN)/python recipes/benchmarks/causal_lm/run.py
	$(BIN)/python recipes/benchmarks/defenses/run.py
	$(BIN)/python recipes/benchmarks/dp/run.py
	$(BIN)/python recipes/benchmarks/select/run.py
	$(BIN)/python recipes/benchmarks/calibration/run.py

# The stages for a GPU at a hundredth of their size, on the CPU; LOCAL is a folder with cifar10/train.parquet and its like.
LOCAL ?= ../shared/data
rehearse: $(INSTALLED)
	$(BIN)/python recipes/paper_scale/run.py --rehearse --minutes 20 --data $(LOCAL) \
		--out runs/rehearsal/results --work runs/rehearsal/work

# Every page, card and plot that the repository holds, drawn again from its results.
cards: $(INSTALLED)
	$(BIN)/python model_cards/render.py
	$(BIN)/python recipes/draw.py

# The newest versions are looked up each time.
$(INSTALLED): pyproject.toml $(LOCK) $(if $(LATEST),latest)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(VERSIONS) --editable ".[dev,dp,robust]"
	touch $@

# Resolved for every supported Python and platform; run the whole suite before committing what changed.
LOCKED := --universal --python-version 3.10 --extra dev --extra docs --extra dp --extra robust --no-annotate --no-header
lock: $(INSTALLED)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml $(LOCKED) --upgrade --output-file requirements.lock
	printf 'torchvision==0.21.0\n' | \
		$(BIN)/uv pip compile pyproject.toml $(LOCKED) --upgrade --resolution lowest-direct --constraint - \
		--output-file requirements-lowest.lock
