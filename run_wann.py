"""Evolve weight-agnostic networks: ``python run_wann.py params/wann/<file>.yaml``."""

import sys

try:
    from topoevo.cli import main
except KeyboardInterrupt:  # From then on the program listens itself.
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main(["wann", *sys.argv[1:]], prog="run_wann.py"))
