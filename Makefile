# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3
PIP_ARGS ?=
# compileall uses all cores where pip uses one. Without bytecode each process would compile MONAI anew wherever Python
# may not write any: under PYTHONDONTWRITEBYTECODE, as in most containers, and in read-only environments. Some packages
# ship templates that do not compile.
PIP := pip install --quiet --disable-pip-version-check --no-compile $(PIP_ARGS) -c constraints.txt
COMPILE := python -m compileall -qq -j 0 -x /tests/
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations=10
EXTRAS := dev,dicom,docs,mlflow,opencv,pictures,report,share,simpleitk,slurm,study,superpixels,vit

.PHONY: install lint types tests test test-all package demo docs bundles format clean

define environment
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, found ' + sys.version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) torch==2.13.0
	$(BIN)/$(PIP) -e ".[$(1)]"
	$(BIN)/$(COMPILE) $(VENV)/lib monai_cl_ext || true
	touch $@
endef

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(call environment,$(EXTRAS))

$(VENV)/installed_demo: setup.cfg constraints.txt
	$(call environment,study)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

tests: install
	$(PYTEST) -m "not slow"

test: lint types tests

# What make test leaves out; both together are all tests.
test-all: package
	$(PYTEST) -m slow

# The files that an index takes.
package: install
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*

demo: $(VENV)/installed_demo
	$(BIN)/python -m monai_cl_ext demo --output runs/demo

docs: install
	$(BIN)/sphinx-build -E -W --keep-going -b html docs docs/_build/html

bundles: install
	$(BIN)/python -m monai_cl_ext.bundles bundles

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
