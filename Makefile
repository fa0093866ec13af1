# Every task of a checkout; `make` lists them. People and CI call the same targets.
#
# Options go in as variables:   make train DATA=ml-1m RUN=first ARGS="train.epochs=3"
#                               make build-index RUN=first INDEX=exact
#                               make recommend RUN=first USER_ID=7 ARGS="--k 5 --explain"
#                               make benchmark DATA=ml-1m,marketplace ARGS="models=[baselines,peers] seeds=[0,1,2]"
# TWOTOWER_DATA names the folder with public data sets; PYTHON and VENV name the interpreter and the environment.

.DEFAULT_GOAL := help
.PHONY: help install install-peers demo train build-index verify-index tune-index evaluate recommend test test-all check bench bench-ann bench-full benchmark clean

PYTHON ?= python3.11 python3 python
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS_READY := $(VENV)/.peers-ready

DATA =
RUN =
INDEX =
ARGS =
USER_ID = 42
JOBS ?= 2

data := $(if $(DATA),data=$(DATA))
run := $(if $(RUN),run=$(RUN))
index := $(if $(INDEX),index=$(INDEX))

# One thread per core that this process may use, and threads that sleep while they wait: with spinning ones, two jobs
# on a small machine slow each other down many times over.
export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
export OMP_WAIT_POLICY ?= PASSIVE
export KMP_BLOCKTIME ?= 0

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  variables: DATA=ml-1m RUN=name INDEX=exact USER_ID=42 ARGS="any other options"\n\n'

install: $(READY)  ## make the environment in .venv (other targets do it by themselves)

$(READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing twotower and its tools into $(VENV) (minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install-peers: $(PEERS_READY)  ## add the libraries that the benchmark measures beside ours

$(PEERS_READY): $(READY)
	@echo "installing the libraries of the extra peers into $(VENV) (one is compiled, which takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,peers]'
	@touch $@

$(BIN)/pip:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	echo "twotower needs Python 3.11 or newer; none found as: $(PYTHON). Name one: make install PYTHON=/path/to/python" >&2; \
	exit 1

demo: $(READY)  ## the whole line on embedded data: prepare, train, index, evaluate, recommend
	@$(BIN)/python pipelines/demo.py $(ARGS)

train: $(READY)  ## train a model, by default towers and RankNet: DATA= RUN= ARGS=
	$(BIN)/python -m twotower.train $(strip $(data) $(run) $(ARGS))

build-index: $(READY)  ## build the index of a run: RUN= INDEX= ARGS=
	$(BIN)/python index/build.py $(strip $(index) $(run) $(ARGS))

verify-index: $(READY)  ## recall, speed and weight of a run's index: RUN= ARGS=
	$(BIN)/python index/verify.py $(strip $(run) $(ARGS))

tune-index: $(READY)  ## fastest index of a wanted recall: RUN= INDEX= ARGS=
	$(BIN)/python index/tune.py $(strip $(if $(INDEX),'backends=[$(INDEX)]') $(run) $(ARGS))

evaluate: $(READY)  ## compare a run with tuned baselines: RUN= ARGS=
	$(BIN)/python -m twotower.evaluate $(strip $(run) $(ARGS))

recommend: $(READY)  ## print the list of one user: USER_ID= RUN= ARGS=
	$(BIN)/python -m twotower.recommend --user $(USER_ID) $(strip $(if $(RUN),--run $(RUN)) $(ARGS))

# Files of tests side by side, each process with one thread; two of them leave room in 8 GB.
test test-all: export OMP_NUM_THREADS := 1

test: $(READY)  ## the tests, without the slow ones: ARGS=
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(JOBS) --dist loadfile $(ARGS)

test-all: $(READY)  ## every test, slow ones too: ARGS=
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

check: $(READY)  ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## speed and memory of this machine: ARGS=
	$(BIN)/python pipelines/bench/overview.py $(ARGS)

bench-ann: $(READY)  ## recall, speed and memory of the indexes: ARGS=
	$(BIN)/python pipelines/bench/indexes.py $(ARGS)

benchmark: $(READY)  ## every model on some data sets, one table: DATA= ARGS=
	$(BIN)/python pipelines/benchmark.py $(strip $(if $(DATA),'data=[$(DATA)]') $(ARGS))

bench-full: $(READY)  ## every stage of the study at the reference's size, hours: ARGS=
	$(BIN)/python pipelines/bench/full_size.py $(ARGS)

clean:  ## remove caches and build output; the environment, data and runs stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find twotower tests pipelines index examples -name __pycache__ -type d -prune -exec rm -rf {} +
