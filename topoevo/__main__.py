"""``python -m topoevo``: the same as the console command ``topoevo``."""

import sys

from topoevo.cli import main

sys.exit(main())
