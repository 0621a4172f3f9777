"""The job, from the command line: python -m defender_detect.flink --properties FILE."""

import sys

from defender_detect.flink.job import main

if __name__ == "__main__":
    sys.exit(main())
