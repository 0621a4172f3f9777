# `make demo` and `make test` need Python 3.9 or later, git and make; whatever else they use they install into .venv.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

DETECT := -r requirements.txt -r defender_detect/requirements.txt
DEMO := $(DETECT) -r defender_detect/console-requirements.txt
TEST := $(DEMO) -r infrastructure/requirements.txt -r tests/requirements.txt
LINT := $(TEST) -r tests/lint-requirements.txt
BENCH := $(DEMO) -r benchmarks/requirements.txt
REQUIREMENTS := requirements.txt $(wildcard */*requirements.txt)

# Where it is set, each of hundreds of programs that the tests start would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help install install-detect install-flink demo flink-demo test test-under-load test-slow test-console test-deploy test-flink test-readme test-greengrass test-installers chaos fuzz-broker lint docs site dist component flink-application kit lock bench bench-quick bench-detect bench-million bench-flink bench-alarms bench-reports bench-console bench-deploy bench-cloudwatch bench-greengrass bench-kernel clean
.DELETE_ON_ERROR:

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+( [a-z-]+)*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/installed-device ## what a device needs, into .venv

install-detect: $(VENV)/installed-demo ## what amazon-defender-detect needs, with its built-in broker, into .venv

demo: $(VENV)/installed-demo ## an authority, a broker, Detect and this machine as the device, on loopback
	@$(VENV)/bin/python -m demo.run $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

install-flink: $(VENV)/flink/installed ## Apache Flink, 850 MB, into .venv/flink (Java 17; Debian: openjdk-17-jre-headless)

flink-demo: $(VENV)/flink/installed ## Detect on a cluster of Apache Flink on loopback: 200,000 reports (three minutes)
	$(VENV)/bin/python -m demo.flink.run $(if $(THINGS),--things $(THINGS))

# More workers than a small machine has cores: many tests wait for programs that they start.
PYTEST := $(VENV)/bin/python -m pytest -n 5 --dist worksteal

TEST_FILES := $(wildcard tests/test_*.py tests/*/test_*.py tests/*/*/test_*.py)

test: $(VENV)/compiled-tests ## the tests (two minutes)
	@sh tests/install-mosquitto.sh
	@sh tests/install-agent.sh $(PYTHON)
	$(PYTEST)

test-under-load: $(VENV)/installed-test ## the tests, three times, while every core is busy with something else
	@sh tests/install-mosquitto.sh
	@sh tests/install-agent.sh $(PYTHON)
	$(VENV)/bin/python -m tests.under_load $(or $(TIMES),3) $(PYTEST)

# The slow tests of these have a target of their own.
ELSEWHERE := chaos detect/flink infrastructure installers macos readme

test-slow: $(VENV)/installed-test ## properties with all their examples, and what takes longer
	@sh tests/install-alertmanager.sh
	EXAMPLES=all $(VENV)/bin/python -m pytest tests $(ELSEWHERE:%=--ignore tests/%) -m "slow or examples"

test-console: $(VENV)/installed-test ## the console's pages in a browser, and Prometheus reading its metrics (Debian: chromium)
	@sh tests/install-chromium.sh
	@$(PIP) -r tests/console-requirements.txt
	$(VENV)/bin/python -m pytest tests/detect/console -m "slow or not slow"

test-flink: $(VENV)/installed-test $(VENV)/flink/installed ## the job on clusters of Apache Flink, and what kills do to it (four minutes)
	$(VENV)/bin/python -m pytest tests/detect/flink -m "slow or not slow"

test-deploy: $(VENV)/installed-test ## ./deploy.py from end to end, against an emulator of AWS
	$(VENV)/bin/python -m pytest tests/fakes/test_emulator.py tests/infrastructure -m "slow or not slow" -n 2

# `make demo` and `make test` on minimal Debian 11, 12, 13 and one with Python 3.14, as root and as a user; a network is
# needed, and about ten minutes for each. DISTRIBUTIONS="debian-12 ..." takes some of them only.
test-readme: $(VENV)/installed-test ## the two commands of the README on minimal machines (root; an hour and a half)
	@[ "$$(id -u)" -eq 0 ] || { echo "make test-readme needs root: sudo make test-readme"; exit 1; }
	@sh tests/install-nspawn.sh
	DISTRIBUTIONS="$(DISTRIBUTIONS)" $(VENV)/bin/python -m pytest tests/readme -m "slow or not slow"

# On machines with a real systemd; DISTRIBUTIONS="debian-12 ..." takes some of them only, TESTS some of the tests.
test-installers: $(VENV)/installed-test ## the installers, in machines with a real systemd (root; half an hour)
	@[ "$$(id -u)" -eq 0 ] || { echo "make test-installers needs root: sudo make test-installers"; exit 1; }
	@sh tests/install-nspawn.sh
	DISTRIBUTIONS="$(DISTRIBUTIONS)" $(VENV)/bin/python -m pytest $(or $(TESTS),tests/installers tests/macos) \
		-m "slow or not slow" -n 2 --dist loadfile

test-greengrass: $(VENV)/installed-test ## the Greengrass component from zip to report, and AWS's client as a witness
	@$(PIP) awsiotsdk || echo "skipped: AWS's own client, which has no wheel here"
	$(VENV)/bin/python -m pytest tests/publisher/greengrass tests/test_component.py -m "slow or not slow"

chaos: $(VENV)/installed-test ## faults caused for real, a line each (root)
	@sh tests/install-mosquitto.sh
	@sh tests/install-faketime.sh
	$(VENV)/bin/python -m pytest tests/chaos -m "slow or not slow" -n 4

# FUZZ_SECONDS (120) says how long; FUZZ_SEED repeats a run.
fuzz-broker: $(VENV)/installed-test ## made-up packets against Detect's built-in broker
	$(VENV)/bin/python -m pytest tests/detect/receive/test_fuzzing.py -m "slow or not slow"

lint: $(VENV)/installed-lint ## ruff, mypy and the words that people read
	$(VENV)/bin/python -m reference.words
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/installed-device ## the generated parts of docs/reference and configs/
	$(VENV)/bin/python -m reference.write

site: $(VENV)/site/installed ## build/site: README and docs as a site
	$(VENV)/bin/python -m reference.site build/site-source
	$(VENV)/site/bin/python -m sphinx -q -b html -c reference/sphinx build/site-source build/site
	@cp build/site/README.html build/site/index.html

dist: $(VENV)/bin/python ## a release tar, a wheelhouse and their checksums (network)
	@$(VENV)/bin/python -m release.build

component: $(VENV)/bin/python ## dist/greengrass/: the Greengrass V2 component (network)
	@$(VENV)/bin/python -m release.component

flink-application: $(VENV)/bin/python ## dist/flink/: the job for Managed Service for Apache Flink, with JAR=FILE (network)
	@$(VENV)/bin/python -m release.flink $(JAR)

kit: $(VENV)/bin/python ## one file a thing that installs it: make kit BUNDLES="fleet/*.tar"
	@$(VENV)/bin/python -m release.kit $(BUNDLES)

lock: $(VENV)/bin/python ## which packages, by version and hash, a device installs (network)
	@$(PIP) uv
	@$(VENV)/bin/python -m release.lock

bench bench-quick: $(VENV)/installed-bench $(VENV)/bench/ours/installed $(VENV)/bench/reference/installed ## what a report costs (root; five minutes, or one)
	@sh tests/install-mosquitto.sh
	$(VENV)/bin/python -m benchmarks.run $(if $(filter bench-quick,$@),--quick)

bench-alarms: $(VENV)/installed-bench ## how few messages 10,000 alarms in a minute make (two minutes)
	$(VENV)/bin/python -m benchmarks.alarms

bench-detect: $(VENV)/installed-bench ## what Detect takes, from mosquitto over TLS
	@sh tests/install-mosquitto.sh
	$(VENV)/bin/python -m benchmarks.detect

bench-million: $(VENV)/installed-bench ## what Detect takes with a million things (fifteen minutes)
	@sh tests/install-mosquitto.sh
	$(VENV)/bin/python -m benchmarks.million

bench-flink: $(VENV)/installed-bench $(VENV)/flink/installed ## what the job takes on Apache Flink, and how long a kill holds it up (ten minutes)
	$(VENV)/bin/python -m benchmarks.flink

# AGAINST=DIRECTORY measures another checkout, too.
bench-kernel: $(VENV)/installed-bench ## what the kernel takes beside the single process, and a thing's state
	$(VENV)/bin/python -m benchmarks.kernel $(if $(AGAINST),--against $(AGAINST))

# AGAINST=DIRECTORY measures another checkout, too.
bench-reports: $(VENV)/installed-bench ## what a verdict on a report takes, in JSON and CBOR
	$(VENV)/bin/python -m benchmarks.reports $(if $(AGAINST),--against $(AGAINST))

# STORE=DIRECTORY takes a state directory that was made before, by `python -m benchmarks.history DIRECTORY`.
bench-console: $(VENV)/installed-bench ## how long pages and API take with 10,000 things (twenty minutes)
	@$(PIP) -r infrastructure/requirements.txt
	$(VENV)/bin/python -m benchmarks.console $(if $(STORE),--store $(STORE))

bench-deploy: $(VENV)/installed-test ## what ./deploy.py takes for 10, 100 and 500 things
	$(VENV)/bin/python -m benchmarks.deploy

# UPSTREAM=DIRECTORY, a checkout of awslabs/amazon-cloudwatch-publisher, measures that program beside it.
bench-cloudwatch: $(VENV)/installed-test $(VENV)/bench/ours/installed $(if $(UPSTREAM),$(VENV)/bench/cloudwatch/installed) ## what metrics and logs cost, and kills with rotations (five minutes)
	$(VENV)/bin/python -m benchmarks.cloudwatch $(if $(UPSTREAM),--upstream $(UPSTREAM))

# UPSTREAM=DIRECTORY, a checkout of aws-greengrass/aws-greengrass-device-defender, measures that component beside ours.
bench-greengrass: $(VENV)/installed-test $(VENV)/bench/ours/installed $(VENV)/bench/greengrass/installed ## what the Greengrass component takes, beside AWS's (four minutes)
	$(VENV)/bin/python -m benchmarks.greengrass $(if $(UPSTREAM),--upstream $(UPSTREAM))

clean: ## remove everything that was made here
	rm -rf $(VENV) .demo build dist *.egg-info

# In a fresh checkout each worker would compile all tests for itself, which takes twenty seconds longer. What cannot be
# collected, the tests themselves say.
$(VENV)/compiled-tests: $(VENV)/installed-test $(TEST_FILES)
	@echo $(filter tests/%,$?) | xargs -n 100 -P 2 $(VENV)/bin/python -m pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9) and "Python 3.9 or later is needed: make PYTHON=...")'
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "no virtual environment could be made; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/bench/ours/installed: requirements.txt
$(VENV)/bench/reference/installed: benchmarks/requirements.txt
$(VENV)/bench/cloudwatch/installed: benchmarks/cloudwatch-requirements.txt
$(VENV)/bench/greengrass/installed: benchmarks/greengrass-requirements.txt
$(VENV)/bench/%/installed:
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/flink/installed: defender_detect/flink-requirements.txt $(VENV)/installed-demo
	@java -version 2>/dev/null || { echo "Flink needs Java 17; on Debian and Ubuntu: sudo apt-get install openjdk-17-jre-headless"; exit 1; }
	@echo "installing Apache Flink into $(@D) (850 MB) ..."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/site/installed: reference/requirements.txt $(VENV)/bin/python
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/installed-device: SET := -r requirements.txt
$(VENV)/installed-demo: SET := $(DEMO)
$(VENV)/installed-test: SET := $(TEST)
$(VENV)/installed-lint: SET := $(LINT)
$(VENV)/installed-bench: SET := $(BENCH)
$(VENV)/installed-%: $(VENV)/bin/python $(REQUIREMENTS)
	@echo "installing into $(VENV) what is needed ($*) ..."
	@$(PIP) $(SET)
	@touch $@
