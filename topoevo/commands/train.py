"""Tuning the weights of a given network, without evolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from topoevo.commands.evaluate import Ticker, say
from topoevo.commands.loading import load_named
from topoevo.commands.signals import exit_code, stopped_by_signals
from topoevo.errors import ParamsError
from topoevo.experiment.flags import FlagParser, add_flags, parse_flags
from topoevo.experiment.params import load_params, option_settings
from topoevo.tasks.base import find_dataset
from topoevo.tasks.environments.environment import Environment
from topoevo.trained_network import TrainedNetwork

if TYPE_CHECKING:
    from topoevo.experiment.report_episodes import EpisodesJudge

_DESCRIPTION = (
    "Tune the weight of every connection of a network, and write the result as a network file: on samples by gradient "
    "(any learning rule), in an environment by CMA-ES. What is trained on is what the file says, or --dataset or "
    "--env_name."
)
_USAGE = "%(prog)s NETWORK.json|RUN|NETWORK.out [--out FILE] [--<setting> <value> ...]"
_OUT = "trained.json"
#: Settings of a training on samples, where the user gives no others.
_DEFAULTS = {"learning_rule": "backprop", "optimizer": "adam", "lr": 0.02, "lr_schedule": "cosine", "num_epochs": 30,
             "batch_size": 64}  # fmt: skip
#: Settings that a search in an environment knows.
_OF_SEARCH = (
    "env_name", "num_inputs", "num_outputs", "num_generations", "population_size", "num_trials", "num_test_trials",
    "seed",
)  # fmt: skip


def train_command(words: list[str], prog: str) -> int:
    """``topoevo train``: tune the weights of a network and write it as a new file."""
    parser = FlagParser(description=_DESCRIPTION, prog=prog)
    parser.usage = _USAGE
    parser.add_argument("network_file", help="network file, run directory (then its champion), or published .out file")
    parser.add_argument("--out", help=f"network file to write (default {_OUT})")
    add_flags(parser)
    namespace, overrides = parse_flags(parser, words)
    out = _checked_out(namespace.out)
    ends: dict[str, Any] = {name: overrides.get(name) for name in ("num_inputs", "num_outputs")}
    if "env_name" in overrides and "dataset" in overrides:
        raise ParamsError("--env_name and --dataset: an environment or a data set, not both")
    acting: Any = overrides.get("env_name")
    network = load_named(namespace.network_file, env_name=acting, **ends)
    recorded = network.file.facts
    if "env_name" in overrides or ("dataset" not in overrides and "environment_settings" in recorded):
        return _train_in_environment(network, overrides, out)
    if "dataset" not in overrides and "data_settings" not in recorded:
        raise ParamsError(
            f"{namespace.network_file}: does not say what the network was made for: give --env_name or --dataset"
        )
    return _train_on_samples(network, namespace.network_file, overrides, out)


def _checked_out(given: str | None) -> Path:
    """The file to write, which must be possible."""
    out = Path(given or _OUT).expanduser()
    if given is None and out.exists():
        raise ParamsError(f"{_OUT} is there already; name another file with --out")
    if out.suffix != ".json":
        raise ParamsError(f"--out: {given!r} must end in .json")
    if not out.parent.is_dir():
        raise ParamsError(f"--out: there is no folder {out.parent}")
    return out


# -- samples ----------------------------------------------------------------------------------------------------


def _train_on_samples(network: TrainedNetwork, path: str, overrides: dict[str, Any], out: Path) -> int:
    """A training without evolution that begins with the file's weights."""
    from topoevo.experiment.data import check_task, load_samples_of
    from topoevo.experiment.founder import make_founder
    from topoevo.experiment.idle import find_idle, idle_with_targets
    from topoevo.experiment.learning_facts import adopt_feedback, feedback_of
    from topoevo.experiment.training import Training
    from topoevo.reporting import ConsoleObserver
    from topoevo.reporting.network_facts import facts_of
    from topoevo.reporting.network_file import write_network

    fixed = {"num_generations": 0, "network": path, "inherit_weights": True}
    problems = [
        f"--{name}: is {value} here, a training without evolution" for name, value in fixed.items() if name in overrides
    ]
    if problems:
        raise ParamsError("\n".join(problems))
    recorded = _data_flags(network.file.facts)
    if overrides.get("dataset", recorded.get("dataset")) != recorded.get("dataset"):
        # Another data set may have nothing to distort.
        recorded = {name: value for name, value in recorded.items() if name not in ("distorted_copies", "distortion")}
    params = load_params(None, {**_DEFAULTS, **recorded, **overrides, **fixed})
    problems = [f"--{one.message}" for one in find_idle(params) if one.settings[0] in overrides]
    if problems:
        raise ParamsError("\n".join(problems))
    console = ConsoleObserver()
    console.on_message(f"loading {params.dataset} ...")
    task = load_samples_of(params, console.on_message)
    check_task(params, task)
    for words in idle_with_targets(params, task):
        console.on_message(words)
    founder = make_founder(params, task, network.file.genome)
    params, words = adopt_feedback(params, network.file.genome, network.file.facts, network.file.feedback)
    if words:
        console.on_message(words)
    training = Training(params, task, founder=founder, observers=[console])
    with stopped_by_signals(training.stop, say=console.on_message):
        try:
            outcome = training.run()
        finally:
            console.close()
    if outcome.champion is not None:
        genome = outcome.champion.individual.genome
        facts = facts_of(outcome.champion, params, task)
        write_network(out, genome, facts=facts, feedback=feedback_of(genome, params))
        print(f"\n{out}")
    if outcome.status == "interrupted":
        return exit_code(outcome.reason)
    return 0 if outcome.status == "finished" else 1


def _data_flags(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a network file says about its data, as settings."""
    recorded = facts.get("data_settings")
    if not isinstance(recorded, dict):
        return {}
    flags = {name: value for name, value in recorded.items() if name != "options" and value is not None}
    names = option_settings(find_dataset(str(recorded.get("dataset"))))
    flags |= {names[option]: value for option, value in recorded.get("options", {}).items() if option in names}
    loss = (facts.get("task") or {}).get("loss")
    return flags | ({"loss": "mean_squared_error"} if loss == "class_squared_error" else {})


# -- environments -----------------------------------------------------------------------------------------------


def _train_in_environment(network: TrainedNetwork, overrides: dict[str, Any], out: Path) -> int:
    """A search by CMA-ES that begins with the file's weights, or with the best shared weight."""
    from topoevo.experiment.tuning import require_cma
    from topoevo.reporting.network_file import write_network

    idle = [f"--{name}: has no effect on CMA-ES in an environment" for name in overrides if name not in _OF_SEARCH]
    if idle:
        raise ParamsError("\n".join(idle))
    # For the checks of types and ranges alone.
    params = load_params(None, {"env_name": "CartPoleSwingUp", "tournament_size": 1, **overrides}, family="wann")
    if params.num_generations < 1 and "num_generations" in overrides:
        raise ParamsError("--num_generations: 0 is not allowed, must be at least 1")
    require_cma()
    environment = network.load_environment(overrides.get("env_name"), on_progress=say)
    names = {
        "num_generations": "num_generations",
        "population_size": "population_size",
        "num_trials": "num_tuning_trials",
    }
    lengths = {argument: getattr(params, name) for name, argument in names.items() if name in overrides}
    judge: Any = network.judge(
        environment, seed=params.seed, tell=Ticker(), num_trials=params.num_test_trials, **lengths
    )
    judge.prepare(say)
    start, words = _start(network, judge)
    say(f"tuning {network.network.num_edges} weights in {environment.name}, from {words}")
    tuned = judge.tune(start)
    measured = judge.measure(np.concatenate([start[np.newaxis], tuned]))["reward"]
    genes = network.file.genome.connections["weight"].copy()
    genes[network.network.gene] = tuned[0]
    genome = network.file.genome.with_weights(genes)
    write_network(out, genome, facts=_facts(network, environment, judge, measured[1], genome.digest))
    for name, returns in zip(("before", "after"), measured, strict=True):
        print(f"{name:<8}{returns.mean():>10.1f} ± {returns.std():.1f} in {len(returns)} fresh episodes")
    print(out)
    return 0


def _start(network: TrainedNetwork, judge: EpisodesJudge) -> tuple[np.ndarray[Any, np.dtype[np.float32]], str]:
    """Where the search begins, float32 [num_edges], and in words."""
    from topoevo.experiment.tuning import tune_shared_weight

    own = network.network.weight
    if not network.is_weight_agnostic and not np.isnan(own).any():
        return np.array(own), "its own weights"
    best = tune_shared_weight(judge.score)
    return np.full(len(own), best, np.float32), f"the best shared weight, {best:g}"


def _facts(
    network: TrainedNetwork, environment: Environment, judge: EpisodesJudge, returns: Any, digest: str
) -> dict[str, Any]:
    """What the new file says besides its genes."""
    from topoevo import __version__
    from topoevo.reporting.network_facts import task_facts

    before = network.file.facts
    settings = before.get("environment_settings")
    if not isinstance(settings, dict) or environment.name != (before.get("task") or {}).get("name"):
        params = load_params(
            None, {"env_name": environment.provenance.get("environment_id", environment.name)}, family="wann"
        )
        told = task_facts(params, environment)
    else:
        told = {name: before[name] for name in ("task", "environment_settings")}
    kept = {name: before[name] for name in ("complexity",) if name in before}
    origin = {**before.get("provenance", {}), "program": f"topoevo {__version__}", "digest": digest}
    score = {"reward": float(returns.mean()), "accuracy": None, "reward_sd": float(returns.std())}
    return {
        **told,
        "tuning": {"method": "cma-es", **asdict(judge.cma), "seed": judge.seed},
        **kept,
        "scores": {"test": score},
        "provenance": {name: value for name, value in origin.items() if name != "format"},
    }
