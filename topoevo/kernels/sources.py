"""Where the machine code of the kernels is kept: in a folder that changes with every file it is made of."""

from __future__ import annotations

from pathlib import Path

from topoevo import activations
from topoevo.compilation import cache_directory
from topoevo.kernels import base, elementary, lanes, passes, prefetch

_HERE = Path(__file__).parent
#: The files. Numbers of the enumerations in `topoevo.kernels.base` are part of the code, too.
SOURCES = (
    *(str(module.__file__) for module in (activations, base, elementary, lanes, passes, prefetch)),
    *(str(_HERE / name) for name in ("loops.py", "primitives.py")),
)
#: The folder.
CACHE = cache_directory(*SOURCES)
