"""``python -m topoevo``: the same as the console command ``topoevo``."""

import sys

try:
    from topoevo.cli import main
except KeyboardInterrupt:  # From then on the program listens itself.
    sys.exit(130)

sys.exit(main())
