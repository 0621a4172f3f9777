#!/bin/sh
# Install AWS's own agent beside the tests' environment, where PyPI can be reached; the tests say what is skipped without.
python=${1:?usage: install-agent.sh PYTHON}
agent=.venv/agent
[ -e "$agent/installed" ] && exit 0
echo "installing AWS's agent for the tests ..."
{ "$python" -m venv --clear "$agent" && "$agent/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement benchmarks/requirements.txt && touch "$agent/installed"; } >/dev/null 2>&1
[ -e "$agent/installed" ] || echo "AWS's agent could not be installed: the tests with it are skipped"
exit 0
