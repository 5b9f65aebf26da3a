"""What settings say that does not go together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contradiction:
    """Values that do not go together.

    Parameters
    ----------
    settings
        Names of all that are involved; the first that the user gave is cited.
    message
        One sentence, with the values.
    """

    settings: tuple[str, ...]
    message: str
