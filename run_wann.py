"""Evolve weight-agnostic networks: ``python run_wann.py params/wann/<file>.yaml``."""

import sys

from topoevo.cli import main

if __name__ == "__main__":
    sys.exit(main(["wann", *sys.argv[1:]], prog="run_wann.py"))
