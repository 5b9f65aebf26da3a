"""Evolve network topologies and learn their weights: ``python run_wlnn.py params/wlnn/digits-quick.yaml``."""

import sys

try:
    from topoevo.cli import main
except KeyboardInterrupt:  # From then on the program listens itself.
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main(["wlnn", *sys.argv[1:]], prog="run_wlnn.py"))
