"""Repeating a single evaluation of an earlier run."""

from __future__ import annotations

import faulthandler
from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.commands.earlier_run import add_run_flags, load_run
from topoevo.commands.parser import Parser
from topoevo.errors import CheckpointError, ParamsError
from topoevo.experiment.data import check_origin, origin_of
from topoevo.experiment.params import load_params
from topoevo.seeds import Stream

if TYPE_CHECKING:
    from topoevo.experiment.params import Params
    from topoevo.reporting.replayable import Replayable
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task

_SAME, _DIFFERS = 0, 1


def replay_command(words: list[str], prog: str) -> int:
    """``topoevo replay RUN --individual ID``: repeat one evaluation and compare its outcome with the recorded one."""
    parser = Parser(
        prog=prog,
        allow_abbrev=False,
        description="Repeat the evaluation of one individual of a run, in this process and with the same random "
        "numbers: of those in failures/, in checkpoints and in snapshots. Exits with 0 if the outcome is the recorded "
        "one or none was recorded, with 1 if it is another. Nothing is written.",
    )
    parser.add_argument("run", help="folder of the run")
    parser.add_argument("--individual", type=int, metavar="ID", help="id of the individual; without it, lists them")
    parser.add_argument("--generation", type=int, metavar="G", help="in which it was evaluated; default the last known")
    parser.add_argument("--pdb", action="store_true", help="enter Python's debugger where an exception is raised")
    add_run_flags(parser)
    given = parser.parse_args(words)
    from topoevo.reporting.replayable import find_replayable, replayable_ids
    from topoevo.reporting.run_directory import RunDirectory

    run = RunDirectory.open(Path(given.run).expanduser())
    if not load_params(run.params, {}).evolves:
        raise ParamsError(f"{run.shown()}: one network was trained without evolution; topoevo verify repeats epochs")
    if given.individual is None:
        ids = replayable_ids(run)
        print("\n".join([f"{run.shown()}: --individual ID may be" if ids else f"{run.shown()}: nobody can be", *ids]))
        return _SAME
    found = find_replayable(run, given.individual, given.generation)
    params, task = load_run(run, given)
    _check(found, params, task)
    return _replay(found, params, task, debug=given.pdb)


def _check(found: Replayable, params: Params, task: Task | Environment) -> None:
    """Raise unless settings and data are those of the run."""
    origin = origin_of(params, task)
    if "settings" in found.origin:
        check_origin(found.origin, origin)
    elif found.origin["data"] != origin["data"]:
        raise CheckpointError("the data has changed since the run began")
    genome = found.genome
    if (genome.num_inputs, genome.num_outputs) != (task.num_inputs, task.num_outputs):
        raise ParamsError(f"{found.source}: has a network that does not fit {task.name}")


def _replay(found: Replayable, params: Params, task: Task | Environment, *, debug: bool) -> int:
    """Evaluate, print, compare, and return the exit code."""
    from topoevo.experiment.replaying import evaluated_again
    from topoevo.reporting.replayable import Recorded

    what = "evaluation" if found.stream is Stream.LEARNING else found.stream.name.lower()
    size = found.genome.complexity
    print(f"{what} of individual {found.individual} in generation {found.generation}, from {found.source}")
    print(f"  connections {size.connections}, biases {size.biases}, neurons {len(found.genome.nodes)}")
    address = f"({params.seed}, {found.stream.name}, {found.generation}, {found.index})"
    print(f"  random numbers of (seed, stream, generation, index) = {address}")
    print(f"  recorded: {'nothing' if found.recorded is None else found.recorded.words}", flush=True)
    # What ends a process without an exception says at least where.
    if not faulthandler.is_enabled():
        faulthandler.enable()
    evaluation = evaluated_again(
        found.genome,
        params,
        task,
        stream=found.stream,
        generation=found.generation,
        index=found.index,
        say=lambda text: print(text, flush=True),
        rung=None if found.recorded is None else found.recorded.rung,
        moments=found.moments,
        debug=debug,
    )
    now = Recorded.of(evaluation)
    print(f"  now:      {now.words}  ({evaluation.seconds:.3f} s)")
    if evaluation.failure is not None and "\n" in evaluation.failure and not debug:
        print(f"\n{evaluation.failure}\n")
    if found.recorded is None:
        print("nothing was recorded of this evaluation that it could be compared with")
        return _SAME
    differences = found.recorded.differences(now)
    if differences:
        print(f"differs: {'; '.join(differences)}")
        print("topoevo verify says whether this machine computes what that of the run did")
        return _DIFFERS
    print("reproduced: the outcome is the recorded one")
    return _SAME
