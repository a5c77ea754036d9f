# The commands people type are the commands CI types. `make setup` makes .venv once; the others set it up when it is not there.
# On Linux without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup takes the smaller build of torch.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
BENCHMARKS := pipeline validation planted_truths scan attention loader training_step
JAVA := $(shell command -v java)
# Processes as tests/conftest.py says, one thread each; what a module shares is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

.PHONY: help setup demo test test-long test-all lint format docs site recipe bench clean

help:
	@echo "make setup      .venv with the exact versions of constraints.txt (PYTHON=$(PYTHON))"
	@echo "make demo       a synthetic retailer from receipts to an evaluated model, in demo/; minutes"
	@echo "make test       the default tests"
	@echo "make test-long  the tests marked slow, and with Java those marked spark"
	@echo "make test-all   every test but gpu, with Java those marked spark, too;  make test MARKS=… chooses"
	@echo "make lint       ruff and mypy;  make format mends what ruff can mend"
	@echo "make docs       write docs/artifacts.md anew from retailsim/artifacts.py"
	@echo "make site       the documentation as a site, in site/; a broken link fails"
	@echo "make recipe     the founding document's commands 1-7 (INPUT NROWS EPOCHS PRESET DATA_DIR CHECKPOINT_DIR)"
	@echo "make bench      every benchmark in benchmarks/"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into .venv: a few minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: setup
	runs/demo.sh

test: setup
	$(PYTEST) $(if $(MARKS),--durations=20 -m "$(MARKS)")

test-long test-all: setup
	@$(if $(JAVA),:,echo "no Java here: the tests marked spark are left out")
	$(MAKE) test MARKS="$(if $(filter test-long,$@),(slow or spark) and )not gpu$(if $(JAVA),, and not spark)"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	$(BIN)/python -m retailsim.artifact_docs > docs/artifacts.md.new
	mv docs/artifacts.md.new docs/artifacts.md

site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

recipe: setup
	runs/recipe.sh

bench: setup
	@for name in $(BENCHMARKS); do echo "benchmarks/$$name.py"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv build site *.egg-info .pytest_cache .mypy_cache .ruff_cache demo
