"""Evolve network topologies and learn their weights: ``python run_wlnn.py params/wlnn/digits-quick.yaml``."""

import sys

from topoevo.cli import main

if __name__ == "__main__":
    sys.exit(main(["wlnn", *sys.argv[1:]], prog="run_wlnn.py"))
