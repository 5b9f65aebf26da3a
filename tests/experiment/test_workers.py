"""Workers that come to an end."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

import pytest

from topoevo.errors import WorkerError
from topoevo.experiment.workers import Workers


def broken(calls):
    list(calls)
    raise BrokenProcessPool("exit codes of the workers: 7")


def test_a_process_that_dies_is_told_in_one_sentence():
    workers = Workers(2, "loky")
    workers._parallel = broken
    with pytest.raises(WorkerError, match="a worker process has ended"):
        list(workers._results(None, [], None, (None, 0), [], lambda: None))


def test_an_interruption_comes_first():
    def interrupt():
        raise KeyboardInterrupt

    workers = Workers(2, "loky")
    workers._parallel = broken
    with pytest.raises(KeyboardInterrupt):
        list(workers._results(None, [], None, (None, 0), [], interrupt))
