# Everything runs in a virtual environment of the checkout; set VENV to use another. On Linux, torch
# from PyPI brings CUDA libraries: constraints.txt says how to get the CPU build instead.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test test-slow format bench bench-scale kills weights clean

$(BIN)/jobsearch: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/jobsearch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(BIN)/jobsearch  ## ingest the sample, search it, evaluate on it
	$(BIN)/jobsearch demo

# One process per core, each with one thread, because more would wait for one another. Stores flush
# their files to the disk often, so the files of tests are kept in memory if there are 4 GB for them.
SHM := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}')
PYTEST = OMP_NUM_THREADS=1 $(if $(SHM),PYTEST_DEBUG_TEMPROOT=$(SHM)) \
	$(BIN)/pytest -n auto --dist loadfile

# The coverage floor (pyproject.toml) holds for this run alone, without the slow tests.
test: $(VENV)/.dev  ## lint, types, all tests that are not slow, coverage: 5 minutes on two cores
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow" --cov --cov-report=term

test-slow: $(VENV)/.dev  ## training, worker processes, races, kills, full benchmarks: 2 minutes
	$(PYTEST) -m slow

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ESCO ?= ../shared/data/esco-1.2.0

bench: $(VENV)/.dev  ## speed and memory, as ratios (needs an ESCO export: ESCO=path)
	$(BIN)/python -m benchmarks

bench-scale: $(VENV)/.dev  ## growth to a million titles, beside numpy and faiss: half an hour
	$(BIN)/pip install --quiet --disable-pip-version-check 'faiss-cpu>=1.9'
	ESCO=$(ESCO) TALENTCLEF= MELO= $(BIN)/python -m benchmarks.scale

kills: $(VENV)/.dev  ## 200 ingests that are killed: 45 minutes
	ESCO=$(ESCO) TALENTCLEF= MELO= $(BIN)/python -m benchmarks.kills

# A training of builtin must reach what the card of the shipped weights says.
weights: $(VENV)/.dev  ## train the shipped weights again (needs an ESCO export: ESCO=path)
	$(BIN)/jobsearch train $(ESCO) --models-dir .weights --replace
	$(BIN)/python -m benchmarks.weights .weights/builtin/finetuned

clean:
	rm -rf $(VENV) .demo .weights .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage *.egg-info
