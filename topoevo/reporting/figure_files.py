"""A figure of matplotlib as the contents of files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_files(figure: Figure) -> dict[str, bytes]:
    """Return a figure as contents by ending, ``svg`` and ``png``; equal figures have equal ones.

    Parameters
    ----------
    figure
        Made without pyplot, which would hold state and look for a screen.
    """
    import matplotlib

    files = {}
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "topoevo"}):
        for ending in ("svg", "png"):
            content = io.BytesIO()
            # A date would make equal pictures different files.
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(content, format=ending, dpi=figure.dpi, metadata=metadata)
            files[ending] = content.getvalue()
    return files
