# `make demo` and `make test` need Python 3.9 or later, git and make; whatever else they use they install into .venv.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

DETECT := -r requirements.txt -r defender_detect/requirements.txt
DEMO := $(DETECT) -r demo/requirements.txt
TEST := $(DEMO) -r infrastructure/requirements.txt -r tests/requirements.txt
LINT := $(TEST) -r tests/lint-requirements.txt
BENCH := $(DEMO) -r benchmarks/requirements.txt
REQUIREMENTS := requirements.txt $(wildcard */*requirements.txt)

.PHONY: install demo test test-deploy test-installers chaos lint docs dist kit lock bench bench-quick bench-detect bench-deploy clean
.DELETE_ON_ERROR:

install: $(VENV)/installed-device

demo: $(VENV)/installed-demo
	@$(VENV)/bin/python -m demo.run $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

test: $(VENV)/installed-test
	@sh tests/install-mosquitto.sh
	$(VENV)/bin/python -m pytest -n 2

test-deploy: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest tests/fakes/test_emulator.py tests/test_deploy*.py tests/test_infrastructure*.py \
		-m "slow or not slow" -n 2

# On machines with a real systemd; DISTRIBUTIONS="debian-12 ..." takes some of them only, TESTS some of the tests.
test-installers: $(VENV)/installed-test
	@[ "$$(id -u)" -eq 0 ] || { echo "make test-installers needs root: sudo make test-installers"; exit 1; }
	@sh tests/install-nspawn.sh
	DISTRIBUTIONS="$(DISTRIBUTIONS)" $(VENV)/bin/python -m pytest $(or $(TESTS),tests/installers tests/macos) \
		-m "slow or not slow" -n 2 --dist loadfile

chaos: $(VENV)/installed-test
	@sh tests/install-mosquitto.sh
	@sh tests/install-faketime.sh
	$(VENV)/bin/python -m pytest tests/chaos -m "slow or not slow" -n 4

lint: $(VENV)/installed-lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/installed-device
	$(VENV)/bin/python -m docs.write

dist: $(VENV)/bin/python
	@$(VENV)/bin/python -m release.build

# One file a thing that installs it: make kit BUNDLES="fleet/*.tar"
kit: $(VENV)/bin/python
	@$(VENV)/bin/python -m release.kit $(BUNDLES)

# Which versions of which packages, and with which hashes, a device installs.
lock: $(VENV)/bin/python
	@$(VENV)/bin/python -m release.lock

bench bench-quick: $(VENV)/installed-bench $(VENV)/bench/ours/installed $(VENV)/bench/reference/installed
	@sh tests/install-mosquitto.sh
	$(VENV)/bin/python -m benchmarks.run $(if $(filter bench-quick,$@),--quick)

bench-detect: $(VENV)/installed-bench
	@sh tests/install-mosquitto.sh
	$(VENV)/bin/python -m benchmarks.detect

bench-deploy: $(VENV)/installed-test
	$(VENV)/bin/python -m benchmarks.deploy

clean:
	rm -rf $(VENV) .demo build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9) and "Python 3.9 or later is needed: make PYTHON=...")'
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "no virtual environment could be made; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/bench/ours/installed: requirements.txt
$(VENV)/bench/reference/installed: benchmarks/requirements.txt
$(VENV)/bench/%/installed:
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
