"""Where the machine code of the kernels is kept: in a folder that changes with every file it is made of."""

from __future__ import annotations

from pathlib import Path

from topoevo import activations
from topoevo.compilation import cache_directory
from topoevo.kernels import (
    arrays,
    candidates,
    elementary,
    lanes,
    loss,
    optimization,
    passes,
    prefetch,
    scoring,
    updates,
)

_HERE = Path(__file__).parent
#: What the code is made of; numbers of enumerations are part of it, too.
_MODULES = (activations, arrays, candidates, elementary, lanes, loss, optimization, passes, prefetch, scoring, updates)
#: Its files.
SOURCES = (
    *(str(module.__file__) for module in _MODULES),
    *(str(_HERE / name) for name in ("loops.py", "primitives.py")),
)
#: The folder.
CACHE = cache_directory(*SOURCES)
