"""An observer that asks a run to stop."""

from __future__ import annotations

from topoevo.experiment.records import Observer


class Stopping(Observer):
    """Asks after so many evaluations.

    Parameters
    ----------
    after
        Number of evaluations.
    """

    def __init__(self, after: int) -> None:
        self.after, self.run = after, None

    def on_start(self, run) -> None:
        self.run = run

    def on_evaluation(self, generation, done, total) -> None:
        self.after -= 1
        if not self.after:
            self.run.stop("enough")
