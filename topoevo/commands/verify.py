"""Finding out whether a run can be repeated here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from topoevo.commands.earlier_run import add_run_flags, load_run
from topoevo.commands.parser import Parser
from topoevo.commands.signals import exit_code, stopped_by_signals
from topoevo.errors import CheckpointError, ParamsError, TopoevoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from topoevo.experiment.founder import Founder
    from topoevo.experiment.params import Params
    from topoevo.experiment.verification import Comparison, Verification
    from topoevo.reporting.run_directory import RunDirectory
    from topoevo.tasks.environments.environment import Environment
    from topoevo.tasks.task import Task

_SAME, _DIFFERS = 0, 1
_DEFAULT_COUNT = 3


def verify_command(words: list[str], prog: str) -> int:
    """``topoevo verify RUN``: repeat some generations or epochs of a run and compare their digests."""
    parser = Parser(
        prog=prog,
        allow_abbrev=False,
        description="Repeat generations of a run, or epochs without evolution: the first ones from the seed, and one "
        "from every checkpoint that is kept. Compares their digests with metrics.csv. Exits with 0 if all are the "
        "same, with 1 if one differs. Nothing is written; the run may be under way.",
    )
    parser.add_argument("run", help="folder of the run")
    parser.add_argument(
        "--generations", "--epochs", dest="count", type=int, default=_DEFAULT_COUNT, metavar="N",
        help=f"how many to repeat from the seed (default {_DEFAULT_COUNT})",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="repeat all of them")
    add_run_flags(parser, "num_workers", "joblib_backend", "scheduler_address")
    given = parser.parse_args(words)
    if given.count < 0:
        raise ParamsError(f"--generations: {given.count} is not allowed, must be at least 0")
    from topoevo.experiment.interruption import Interrupted
    from topoevo.experiment.verification import Verification
    from topoevo.reporting.provenance import recorded_digests
    from topoevo.reporting.run_directory import RunDirectory

    run = RunDirectory.open(Path(given.run).expanduser())
    recorded = recorded_digests(run)
    params, task = load_run(run, given)
    verification = Verification(params, task, recorded, say=_say)
    with stopped_by_signals(verification.stop, say=_say):
        try:
            count = max(recorded, default=0) + 1 if given.all else given.count
            comparisons = list(_printed(_comparisons(verification, run, params, task, count), params))
        except Interrupted as interruption:
            _say("\nInterrupted: nothing was written")
            return exit_code(str(interruption))
    if not comparisons:
        advice = "; try --all" if recorded and not given.all else ""
        raise CheckpointError(f"{run.shown()}: there is nothing in {run.metrics.name} that could be compared{advice}")
    return _conclusion(comparisons, run, params)


def _comparisons(
    verification: Verification, run: RunDirectory, params: Params, task: Task | Environment, count: int
) -> Iterator[Comparison]:
    """All comparisons, as they are made."""
    from topoevo.experiment import checkpoint, training_checkpoint
    from topoevo.experiment.archive import state_files

    try:
        founder = _founder_of(params, task)
    except TopoevoError as error:
        _say(f"warning: what the run began with cannot be read, so checkpoints alone are compared: {error}")
    else:
        yield from verification.from_seed(founder, count)
    prefix = checkpoint.PREFIX if params.evolves else training_checkpoint.PREFIX
    yield from verification.from_checkpoints(state_files(run.checkpoint, prefix))


def _founder_of(params: Params, task: Task | Environment) -> Founder | None:
    """The network that the run has begun with."""
    from topoevo.experiment.founder import make_founder
    from topoevo.trained_network import load_network

    network = None if params.network is None else load_network(Path(params.network).expanduser()).file.genome
    return make_founder(params, task, network)


def _printed(comparisons: Iterator[Comparison], params: Params) -> Iterator[Comparison]:
    """The same comparisons, each printed as a row of a table."""
    unit = "generation" if params.evolves else "epoch"
    header = f"{unit:>10}  {'repeated from':<22}  {'recorded':<16}  {'now':<16}"
    for one in comparisons:
        if header:
            _say(header)
            header = ""
        source = "the seed" if one.source == "seed" else one.source
        mark = "same" if one.is_same else "differs"
        _say(f"{one.number:>10}  {source:<22}  {one.recorded:<16.16}  {one.found or 'diverged':<16}  {mark}")
        yield one


def _conclusion(comparisons: list[Comparison], run: RunDirectory, params: Params) -> int:
    """Say what the comparisons have shown, and return the exit code."""
    from topoevo.reporting.provenance import changes_since

    unit = "generation" if params.evolves else "epoch"
    differing = [one for one in comparisons if not one.is_same]
    if not differing:
        _say(f"{run.shown()}: all {len(comparisons)} repeated {unit}s are the same to the last bit")
        return _SAME
    first = min(differing, key=lambda one: one.number)
    _say(f"{run.shown()}: {unit} {first.number} is the first that differs")
    changes = changes_since(run)
    for change in changes:
        _say(f"  {change}")
    if not changes:
        _say("  versions and processor are those of the run; its files may have been changed")
    return _DIFFERS


def _say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
