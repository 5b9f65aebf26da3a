"""An observer that writes how a run ended, after all the others have written what they have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from topoevo.disk import cannot_write
from topoevo.errors import CheckpointError
from topoevo.experiment.records import Champion, Observer, Outcome, Run
from topoevo.reporting.atomic import write_json
from topoevo.reporting.lines import headline, summary
from topoevo.reporting.measures import num_layers
from topoevo.reporting.run_directory import RunDirectory


class ResultObserver(Observer):
    """Write ``result.json``, after which a run counts as ended.

    Parameters
    ----------
    run
        Directory of this run, made or opened.
    log
        Gets the summary.
    """

    def __init__(self, run: RunDirectory, *, log: Callable[[str], None] = lambda text: None) -> None:
        self.run = run
        self._log = log
        self._watched: Run | None = None
        self._has_ended = False

    def on_start(self, run: Run) -> None:
        """Remember the settings."""
        self._watched = run

    def on_end(self, outcome: Outcome) -> None:
        """Write the result, unless another observer could not even begin."""
        if self._watched is None:
            return
        params = self._watched.params
        self.run.check_place()
        try:
            write_json(self.run.result, result_of(outcome, seed=params.seed), durable=True)
        except OSError as error:
            # It may be there, but not safely so; without it the end is repeated.
            with contextlib.suppress(OSError):
                self.run.result.unlink(missing_ok=True)
            raise CheckpointError(cannot_write(self.run.result, error)) from error
        self._has_ended = True
        self._log("\n".join(summary(outcome, self.run, params)))

    def on_leave(self, outcome: Outcome) -> None:
        """Write the result, unless that was done."""
        if self._watched is not None and not self._has_ended:
            write_json(self.run.result, result_of(outcome, seed=self._watched.params.seed), durable=True)
            self._log(headline(outcome))


def result_of(outcome: Outcome, *, seed: int) -> dict[str, Any]:
    """Return the content of ``result.json``."""
    champion = outcome.champion
    epochs = {} if outcome.epochs is None else {"epochs": outcome.epochs}
    passes = {} if outcome.sample_passes is None else {"sample_passes": outcome.sample_passes}
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        **epochs,
        "generations": outcome.generations,
        "evaluations": outcome.evaluations,
        **passes,
        "seconds": outcome.seconds,
        "seed": seed,
        "digest": outcome.digest,
        "champion": None if champion is None else _champion_result(champion),
    }


def _champion_result(champion: Champion) -> dict[str, Any]:
    """What ``result.json`` says of the champion."""
    test, genome = champion.test, champion.individual.genome
    found = {
        "reward": champion.train.reward,
        "accuracy": champion.train.accuracy,
        "test_reward": None if test is None else test.reward,
        "test_accuracy": None if test is None else test.accuracy,
        "connections": genome.complexity.connections,
        "biases": genome.complexity.biases,
        "neurons": len(genome.nodes),
        "layers": num_layers(champion.individual),
        "generation": champion.generation,
    }
    if champion.validation is not None:
        found |= {
            "validation_reward": champion.validation.reward,
            "validation_accuracy": champion.validation.accuracy,
            "knows_validation": champion.knows_validation,
        }
    if champion.train.best_reward is not None:
        found |= {
            "best_reward": champion.train.best_reward,
            "test_best_reward": None if test is None else test.best_reward,
        }
    if test is not None:
        found |= {f"test_{name}": value for name, value in test.measures.items()}
    if champion.train.rmse is not None:
        found |= {"rmse": champion.train.rmse, "test_rmse": None if test is None else test.rmse}
    return found
