# make run   set up, run the main job on the embedded world, say what to open next
# make test  set up, run every test and every notebook (with two epochs where it trains for more)
# make soak  what takes an hour, or measures time or memory: benchmarks, full sizes, whole notebooks, other seeds, other kernels
# make site  render the website (needs Quarto)
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
OUT    ?= runs

# a process a core, a module's tests in one of them, and each notebook for itself
PYTEST := $(BIN)/python -m pytest tests --numprocesses logical --maxprocesses 8 --dist loadgroup --no-loadscope-reorder

# packages are compiled when they are first imported, and only then: without this a machine that forbids it would compile torch in every process
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test soak site clean

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

test: $(READY)
	$(PYTEST)

soak: $(READY)
	$(BIN)/python -m pytest tests -m soak
	AVBOOK_TEST_PAGES=whole $(PYTEST) -m page_run
	for seed in 1 2 3; do AVBOOK_TEST_SEED=$$seed $(PYTEST) -m "not soak and not page_run" || exit 1; done
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(PYTEST)

site: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" nbdev_docs

clean:
	rm -rf $(VENV) _docs _proc dist build *.egg-info
