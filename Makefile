# On a fresh machine, `make run` installs and runs fusekit, and `make test` installs and tests it.
# With another Python: make test PYTHON=python3.12. With a GPU: make run CONSTRAINTS=
PYTHON ?= python3
CONSTRAINTS ?= -c constraints.txt
RECIPE ?= recipes/uaafusion_msrs.yaml
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test quick docs clean

run: .venv/.run-ready
	.venv/bin/fusekit run $(RECIPE)

test: .venv/.test-ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2

# Style checks and fast tests, for use during development.
quick: .venv/.test-ready
	.venv/bin/ruff check .
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n 2 -m "not slow"

docs: .venv/.test-ready
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs serve

clean:
	rm -rf .venv site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "fusekit needs Python 3.10 or newer")'
	$(PYTHON) -m venv .venv

.venv/.run-ready: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing fusekit into .venv (a minute or two) ..."
	$(PIP) $(CONSTRAINTS) -e .
	touch $@

.venv/.test-ready: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing fusekit with its test tools into .venv (a minute or two) ..."
	$(PIP) $(CONSTRAINTS) -e '.[dev,docs,io,video,align,track,hub]'
	touch $@ .venv/.run-ready
