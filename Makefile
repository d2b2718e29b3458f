# `make run` and `make test` set up what they need by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: run test check bench clean setup pretrained
run: $(STAMP)
	@exec $(BIN)/danqing up

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[worker,train,embedded]'
	$(BIN)/danqing vendor
	touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[worker,train,embedded,pretrained,dev]'
	sh tests/install_browser.sh
	touch $@

# What drawing with Stable Diffusion and other imported pipelines needs besides.
pretrained: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[worker,train,embedded,pretrained]'

# Tests wait more than they compute: two files of them run at a time. ARGS="-n 0 -k fox" runs a few alone.
test: $(DEV_STAMP)
	OMP_NUM_THREADS=1 GOMP_SPINCOUNT=20000 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/python -m tests.check_catalogue
	$(BIN)/python -m tests.check_words
	$(BIN)/python -m tests.check_parameters

bench: $(DEV_STAMP)
	$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) .cache static/vendor
