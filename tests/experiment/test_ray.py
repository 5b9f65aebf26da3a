"""Workers of a ray cluster compute what threads do."""

from __future__ import annotations

import pytest

from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import Params
from topoevo.experiment.workers import Workers

pytest.importorskip("ray", reason="needs the extra ray")


def digests(**workers_of_run: object) -> list[str]:
    """Digests of three generations."""
    params = Params.model_validate(
        {"population_size": 8, "tournament_size": 2, "num_epochs": 1, "num_generations": 3, "num_samples": 128}
        | workers_of_run
    )
    experiment = Experiment(params, load_task_of(params))
    with Workers.from_params(params) as workers:
        return [experiment.step(workers).digest for _ in range(3)]


@pytest.mark.slow
def test_generations_have_the_same_bytes_as_in_threads():
    found = digests(joblib_backend="ray", num_workers=2)
    assert len(set(found)) == 3 and found == digests(num_workers=1)
