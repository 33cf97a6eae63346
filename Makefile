# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
PORT ?= 8000
VENV ?= .venv
DATA ?= .demo/shop
RUN ?= .demo/run
BUNDLE ?= $(RUN)/bundle
CONFIG ?= training/configs/sample.toml
COMPARED ?= .demo/compared
PYTHON ?= python3
PY := $(VENV)/bin/python
# TORCH=cuda takes the default build with its CUDA packages; the CPU build needs a twentieth of the download.
TORCH ?= cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo serve train compare test test-slow test-gpu lint bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/train.done ## train the sample shop, serve it and print recommendations (ONCE=1: then stop; PORT=8000)
	@OMP_NUM_THREADS=1 $(PY) -m deploy.demo --data $(DATA) --run $(RUN) --port $(PORT) $(if $(ONCE),--once)

serve: $(VENV)/train.done ## serve a bundle (BUNDLE=folder PORT=8000)
	MACREC_BUNDLE=$(BUNDLE) MACREC_PORT=$(PORT) $(PY) -m service

train: $(VENV)/train.done ## train on a folder (CONFIG=training/configs/x.toml DATA=folder RUN=folder)
	$(PY) -m training run --config $(CONFIG) --data $(DATA) --out $(RUN)

compare: $(VENV)/train.done ## all rows of the comparison on the sample shop (CONFIG=... DATA=folder COMPARED=folder)
	@test -d $(DATA) || $(PY) -m training sample --out $(DATA)
	$(PY) -m training compare --config $(CONFIG) --data $(DATA) --out $(COMPARED)

test: $(VENV)/dev.done lint ## linters, type checks and the fast tests
	OMP_NUM_THREADS=1 $(PY) -m pytest

test-slow: $(VENV)/dev.done ## the tests that take minutes
	$(PY) -m pytest -m slow

test-gpu: $(VENV)/dev.done ## the tests that need a CUDA device
	$(PY) -m pytest -m gpu

lint: $(VENV)/dev.done
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/dev.done ## the benchmarks; figures are printed as JSON lines
	OMP_NUM_THREADS=2 $(PY) -m benchmarks.assign_ids
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.catalog
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.filters
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.ids
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.live_items
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.merged_searches
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.search
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.search_profile
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.startup
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.swaps
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.throughput
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.training_speed
	OMP_NUM_THREADS=1 $(PY) -m benchmarks.quantizer_scale

lock: ## renew requirements/ from pyproject.toml (needs uv)
	bash deploy/lock.sh

clean: ## remove the demo and the virtual environment
	rm -rf .demo $(VENV)

$(VENV)/torch.done: requirements/torch.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	$(PIP) --no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX) "torch==2.13.0"
else
	$(PIP) --require-hashes --no-deps -r requirements/torch.txt
endif
	@touch $@

$(VENV)/train.done: requirements/train.txt requirements/serve-cpu.txt $(VENV)/torch.done
	$(PIP) --require-hashes --no-deps -r requirements/train.txt -r requirements/serve-cpu.txt
	@touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/torch.done
	$(PIP) --require-hashes --no-deps -r requirements/dev.txt
	@touch $@ $(VENV)/train.done
