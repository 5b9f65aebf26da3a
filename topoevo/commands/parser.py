"""Words after a command."""

from __future__ import annotations

import argparse
from typing import NoReturn

from topoevo.errors import ParamsError

NETWORK_HELP = "network file, or run directory (then its champion)"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        """Raise `ParamsError`."""
        raise ParamsError(f"{message.removeprefix('argument ')}; see {self.prog} --help")
