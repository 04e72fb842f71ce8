# Plaudit: one verb a target. `make help` lists them; every verb does the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Three workers on two cores: drills wait half of their time. Each computes on one thread, so that they do not wait for
# one another's, and what pytest makes of the test files is kept: rewriting their asserts is a third of the start.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest -p tests.plugins.skips -p tests.plugins.together
TESTS := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(PYTEST) -n $(WORKERS) --dist loadgroup
PACKAGES := plaudit serving policy_update reward_model ab_testing ingest infra

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-full test-oracles check bench bench-ingest bench-reward-model bench-policy-update bench-reward-hacking bench-front bench-ab bench-serving bench-loop tools

help: ## Show the available commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with everything installed (again in a second when nothing changed)
	@PYTHON=$(PYTHON) scripts/setup

demo: setup ## Run the whole closed loop with simulated people, ending in a report
	$(BIN)/plaudit demo

up: setup ## Run everything on this machine: gateway, feedback API, consumer, jobs
	$(BIN)/plaudit up

test: setup tools ## Run the tests (a few minutes)
	$(TESTS) -m "not full"

test-full: setup tools ## Run all tests, the long drills included
	$(TESTS)

test-oracles: setup ## Compare losses with TRL's, in an environment of their own (.venv-oracles)
	@scripts/oracles-setup
	.venv-oracles/bin/python -m pytest tests/oracles -p no:cacheprovider -s

check: setup ## Lint, format, types, import rules and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

bench: setup ## Run the benchmarks, alone on the machine
	$(PYTEST) tests/benchmarks -o python_files="bench_*.py test_*.py" -s

bench-ingest: setup ## Measure ingest against its bare limit, alone on the machine (half an hour)
	$(BIN)/python -m tests.benchmarks.bench_ingest

bench-reward-model: setup ## Compare the losses of the reward model on real pairs, alone on the machine (20 minutes)
	$(BIN)/python -m tests.benchmarks.bench_reward_model

bench-policy-update: setup ## Measure a policy update beside TRL's (TRL_PYTHON=PATH, see the script), alone on the machine
	$(BIN)/python -m tests.benchmarks.bench_policy_update --trl-python $(TRL_PYTHON) --page

bench-reward-hacking: setup ## Plant a flaw in a reward and see whether the gate vetoes what exploits it (an hour)
	$(BIN)/python -m tests.benchmarks.bench_reward_hacking --page

bench-front: setup ## Show the front of two conflicting rewards, alone on the machine (half an hour)
	$(BIN)/python -m tests.benchmarks.bench_front

# Large arrays are kept instead of given back to the system: twice as fast.
bench-ab: setup ## Measure the tests of experiments; FULL=1: the full grid, which writes its page (an hour of one core; RESUME=1 goes on)
	OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=100000000 MALLOC_TRIM_THRESHOLD_=1000000000 \
		$(BIN)/python -m tests.benchmarks.bench_experiments $(if $(FULL),--full) $(if $(RESUME),--resume)

bench-loop: setup ## Run the closed loop with simulated people, whole and with parts taken away (hours; what is there is kept)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.bench_loop --page

bench-serving: setup ## Measure gateway and local engine, alone on the machine (QUICK=1: small sizes, no page)
	OMP_NUM_THREADS=2 $(BIN)/python -m tests.benchmarks.bench_serving $(if $(QUICK),--quick --no-page)

# Debian packages some tests need; installed only as root on Debian or Ubuntu.
tools:
	@scripts/install-test-tools
