"""Topology-evolving neural architecture search with weight learning inside the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topoevo.trained_network import load_network

__version__ = "0.1.0"
__all__ = ["__version__", "load_network"]


def __getattr__(name: str) -> Any:
    # Importing the package must stay cheap: every program start pays for it.
    if name == "load_network":
        from topoevo.trained_network import load_network

        return load_network
    raise AttributeError(f"module 'topoevo' has no attribute {name!r}")
