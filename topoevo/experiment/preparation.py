"""Compiling before a run what it needs, and saying so."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from topoevo.kernels import Kernel

#: All that there is to compile.
_ALL_LOOPS = (*Kernel.LOOPS, *Kernel.SCORING_LOOPS)


def prepare_compiled(kernel: Kernel, say: Callable[[str], None], *, loops: Iterable[str] = _ALL_LOOPS) -> None:
    """Compile all that a run needs, or load it from the cache.

    Parameters
    ----------
    kernel
        Backend.
    say
        Told if it takes long.
    loops
        Of `Kernel.LOOPS` and `Kernel.SCORING_LOOPS`, those that are needed.
    """
    from topoevo.genome import compiled_graph

    if any(kernel.needs_compilation(loop) for loop in loops):
        say("compiling the numerical kernels, once on this machine (20 seconds or more) ...")
    compiled_graph.prepare()
    for loop in loops:
        kernel.prepare(loop)
