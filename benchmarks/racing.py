"""Compare races of several rates at the same number of training steps.

    python benchmarks/racing.py --params FILE.yaml --data_dir DIR --racing 1 2 3 --seeds 0 1 2 --passes 2000

Each run evolves until its trainings have taken so many passes through the training samples together (what racing has
saved is not counted), and is judged by its champion's loss on the validation samples then; without these, on the
training samples. Prints a row a run, and the mean and deviation over seeds of each race; `--out` keeps the rows as
lines of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from topoevo.experiment.data import load_task_of
from topoevo.experiment.experiment import Experiment
from topoevo.experiment.params import Params, load_params
from topoevo.experiment.race import saving_of
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.workers import Workers
from topoevo.seeds import Stream
from topoevo.tasks.task import Task


@dataclass(frozen=True)
class Row:
    """One run: passes through the training samples, the best loss and the network that has it."""

    racing: int
    racing_rungs: int
    seed: int
    passes: float
    generations: int
    loss: float
    accuracy: float | None
    connections: int
    saved_share: float
    seconds: float


def run(params: Params, task: Task, passes: float) -> Row:
    """Return what is found within so many passes.

    Parameters
    ----------
    params
        Settings of one run; the number of generations is not looked at.
    task
        Samples.
    passes
        At which the generation under way is the last, and does not count.
    """
    experiment = Experiment(params, task)
    data = TaskData.from_params(params, task)
    steps_a_pass = -(-len(task.train) // params.batch_size)
    taken = planned = generations = 0
    best = None
    started = time.perf_counter()
    with Workers.from_params(params) as workers:
        while True:
            record = experiment.step(workers)
            num_steps = data.shared(Stream.SHARED, record.generation).num_steps
            evaluations = [one.evaluation for one in record.population.members if one.evaluation is not None]
            saving = saving_of(params, record.generation, evaluations, num_steps=num_steps)
            if best is not None and (taken + saving.num_steps - saving.num_saved) > passes * steps_a_pass:
                break
            taken += saving.num_steps - saving.num_saved
            planned += saving.num_steps
            best, generations = record.champion, generations + 1
    assert best is not None
    score = best.validation or best.train
    return Row(
        racing=params.racing,
        racing_rungs=params.racing_rungs,
        seed=params.seed,
        passes=taken / steps_a_pass,
        generations=generations,
        loss=-score.reward,
        accuracy=score.accuracy,
        connections=best.individual.genome.complexity.connections,
        saved_share=1 - taken / planned,
        seconds=time.perf_counter() - started,
    )


def main() -> None:
    """Run all races with all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, required=True, help="settings of all runs")
    parser.add_argument("--data_dir", help="folder of the data set")
    parser.add_argument("--racing", type=int, nargs="+", default=[1, 2, 3], help="rates")
    parser.add_argument("--rungs", type=int, nargs="+", default=[2], help="numbers of rungs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--passes", type=float, default=2000, help="through the training samples, of all networks")
    parser.add_argument("--num_workers", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file that rows are added to")
    given = parser.parse_args()
    rows: dict[tuple[int, int], list[Row]] = {}
    races = [(rate, rungs) for rate in given.racing for rungs in (given.rungs if rate > 1 else given.rungs[:1])]
    for seed in given.seeds:
        for rate, rungs in races:
            overrides = {"racing": rate, "racing_rungs": rungs, "seed": seed, "num_workers": given.num_workers}
            if given.data_dir is not None:
                overrides["data_dir"] = given.data_dir
            params = load_params(given.params, overrides)
            task = load_task_of(params)
            assert isinstance(task, Task)
            row = run(params, task, given.passes)
            rows.setdefault((rate, rungs), []).append(row)
            print(json.dumps(asdict(row)), flush=True)
            if given.out is not None:
                with given.out.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    print("\nracing  rungs    loss            accuracy  generations  saved  seconds")
    for (rate, rungs), found in rows.items():
        losses = np.array([row.loss for row in found])
        accuracy = np.mean([np.nan if row.accuracy is None else row.accuracy for row in found])
        print(
            f"{rate:6d} {rungs if rate > 1 else 1:6d}  {losses.mean():8.5f} ±{losses.std(ddof=len(losses) > 1):8.5f}"
            f"  {accuracy:8.4f}  {np.mean([row.generations for row in found]):11.1f}"
            f"  {np.mean([row.saved_share for row in found]):5.2f}  {np.mean([row.seconds for row in found]):7.1f}"
        )


if __name__ == "__main__":
    main()
