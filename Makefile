# Two commands are enough for a newcomer: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCK := envs/lock.txt
CORES ?= $(shell nproc 2>/dev/null || echo 2)
SCREEN := demo-screen
REPORT ?= results/report/index.html
# uv does not read pip's configuration; a site that keeps its own wheels (find-links) is handed over from there.
FIND_LINKS := $(shell $(PYTHON) -m pip config list 2>/dev/null | sed -n "s/^.*find-links='\(.*\)'$$/\1/p" | head -n 1)
UV := $(if $(FIND_LINKS),UV_FIND_LINKS="$(FIND_LINKS)" )VIRTUAL_ENV="$(abspath $(VENV))" $(BIN)/uv

.PHONY: demo test slow slurm browser lint bench config lock env docs pictures clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: env ## set up, make the synthetic screen, run the whole pipeline on it, end with the report's path
	@$(BIN)/platemae synthesize-screen $(SCREEN) --workers $(CORES)
	@$(BIN)/platemae run --cores $(CORES)
	@echo "report: $(abspath $(REPORT))"

test: env ## set up, run the fast tests
	@$(BIN)/python -m pytest -n $(CORES) --dist loadfile --durations=20

# Two lanes, a file in one of them, the long files first. Threads that wait must not hold the core of the other lane.
slow: env ## the minutes-long tests
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -m slow -n 2 --dist loadfile \
	   --no-loadscope-reorder --durations=20 --durations-min=1 tests/workflow tests/docs tests/stages tests/unit

slurm: env ## the tests on a SLURM cluster of virtual nodes, which is started where none runs (root)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --durations=20 --durations-min=1 tests/slurm

# The demo's report is opened beside a small one where it was made; screenshots of each page stay in build/.
browser: export PLATEMAE_REPORT = $(abspath $(REPORT))
browser: export PLATEMAE_SCREENSHOTS ?= $(abspath build/screenshots)
browser: env ## open the demo's report and a running training in headless Chromium (Debian's package chromium)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --durations=10 --durations-min=1 tests/browser
	@echo "screenshots: $$PLATEMAE_SCREENSHOTS"

lint: env ## format, style, types, workflow
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile rules

# The theme announces its successor at every build; a decision has been noted, so it need not.
docs: env ## the documentation as a site in site/; no network, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: $(abspath site/index.html)"

# Edges that follow from others are left out of the graph, names stand on two lines, so that it can be read.
pictures: env ## the README's pictures, of the demo's report and of the rules (Debian's packages chromium, graphviz)
	@for page in overview embeddings; do \
	   chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,960 --virtual-time-budget=9000 \
	     --screenshot=docs/images/$$page.png "file://$(abspath $(REPORT))#$$page" 2>/dev/null && $(BIN)/python -c \
	     "from PIL import Image; p = 'docs/images/$$page.png'; Image.open(p).convert('RGB').quantize(256, Image.Quantize.MAXCOVERAGE).save(p, optimize=True)"; done
	@$(BIN)/snakemake --rulegraph --cores 1 --quiet | sed -E 's/color = "[^"]*", //; s/(label = "[a-z]+_)/\1\\n/' | tred \
	   | dot -Tsvg -Grankdir=LR -Granksep=0.25 -Gnodesep=0.15 -Ncolor='#00639c' -Nfontname=Helvetica -Nfontsize=13 \
	     -Nmargin=0.08 > docs/images/rules.svg

bench: env ## measure against peers and ceilings, write benchmarks/RESULTS.md
	@$(BIN)/python benchmarks/run.py

config: env ## write config.yaml and its JSON schema from the pydantic sections
	@$(BIN)/platemae write-config .

env: $(VENV)/.done ## the environment of the lock file
	@$(if $(filter env,$(MAKECMDGOALS)),echo "next: source $(BIN)/activate",:)

$(VENV)/.done: pyproject.toml $(LOCK)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip install --quiet --compile-bytecode -c $(LOCK) -e '.[dev,docs,slurm,classical,harmony,leiden]'
	@touch $@

lock: env ## rewrite the lock from what is installed, names and versions only, and the conda environments from it
	@$(UV) pip freeze --exclude-editable | sed 's/+cpu$$//' | grep -v '^uv==' > $(LOCK)
	@$(BIN)/python envs/split.py

clean: ## remove the demo's outputs (not the environment)
	@rm -rf results site $(SCREEN)
