# Everything runs in a virtual environment of the checkout; set VENV to use another.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test format bench bench-scale kills weights clean

$(BIN)/jobsearch: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/jobsearch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(BIN)/jobsearch  ## ingest the sample, search it, evaluate on it
	$(BIN)/jobsearch demo

# A process a core, each with one thread: more would wait for one another.
test: $(VENV)/.dev  ## lint, types, tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --cov --cov-report=term -n auto --dist loadfile

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
