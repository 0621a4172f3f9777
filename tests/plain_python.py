"""The Python below the environment that the tests run in: with -S it finds the standard library, and nothing else.

The environment's own does not do: from 3.14 on it knows, even with -S, that it is an environment's.
"""

import os
import sys

PLAIN_PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
