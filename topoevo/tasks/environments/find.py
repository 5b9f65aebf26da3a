"""From the setting ``env_name`` to an environment."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from topoevo.errors import TaskError, did_you_mean, in_one_line
from topoevo.tasks.environments.environment import SIMULATIONS, Environment, Simulation
from topoevo.tasks.environments.gymnasium_environment import GymnasiumEnvironment, describe

#: Old versions that Gymnasium still has, of which published settings mean the successor.
_OUTDATED = ("CartPole-v0",)

#: The extra that an environment of Gymnasium's own needs, by the package that it lies in.
_EXTRAS = {
    "gymnasium.envs.box2d": "topoevo[box2d]",
    "gymnasium.envs.mujoco": "gymnasium[mujoco]",
    "gymnasium.envs.toy_text": "gymnasium[toy-text]",
    "gymnasium.envs.classic_control": "gymnasium[classic-control]",
}


def find_environment(
    env_name: str,
    *,
    take_argmax_action: bool | None = None,
    options: Mapping[str, Any] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Environment:
    """Return the environment that a name stands for.

    Parameters
    ----------
    env_name
        ``CartPoleSwingUp``, ``Snake``, an id of Gymnasium, or ``module:Id``, where the module registers the id.
    take_argmax_action
        Whether one of several actions is taken; None: as the environment wants it.
    options
        Values of the `option` fields of a simulation.
    on_notice
        Told in a sentence how the name was taken if not literally.

    Raises
    ------
    TaskError
        If there is no such environment, something for it is not installed, or it does not fit networks or settings.
    """
    simulation = find_simulation(env_name)
    if simulation is not None:
        _check_actions(simulation.name, simulation.actions.kind, take_argmax_action)
        chosen = dict(options or {})
        _check_options(simulation, chosen)
        return simulation(**chosen, provenance={"environment_id": simulation.name, **chosen})
    if options:
        raise TaskError(f"env_name: {env_name} has no options, but was given {', '.join(options)}")
    environment = _find_gymnasium(env_name, take_argmax_action)
    for notice in environment.notices:
        if on_notice:
            on_notice(notice)
    return environment


def find_simulation(env_name: str) -> type[Simulation] | None:
    """Return our own simulation of this name, or None.

    Upper and lower case are the same, and the id in Gymnasium, ``topoevo/<name>-v0``, is a name too.
    """
    known = {name.casefold(): entry for name, entry in SIMULATIONS.items()}
    match = re.fullmatch(r"(?:topoevo\.gymnasium_api:)?(?:topoevo/)?(\w+?)(?:-v0)?", env_name, re.IGNORECASE)
    return known.get(match[1].casefold()) if match else None


def module_of(env_name: str) -> str:
    """Return the module that looking for an environment imports, that of ``module:Id``; empty if there is none."""
    return "" if find_simulation(env_name) is not None else env_name.rpartition(":")[0]


def _check_options(simulation: type[Simulation], options: Mapping[str, Any]) -> None:
    """Refuse what is no option, such as other fields of the class, on which its compiled code relies."""
    known = [field.name for field in dataclasses.fields(simulation) if "help" in field.metadata]
    unknown = [f"{name!r}{did_you_mean(name, known)}" for name in options if name not in known]
    if unknown:
        raise TaskError(
            f"env_name: {simulation.name} has no option {', '.join(unknown)} (known: {', '.join(known) or 'none'})"
        )


def _check_actions(name: str, kind: str, take_argmax_action: bool | None) -> None:
    """Refuse a setting that contradicts the kind of actions."""
    if take_argmax_action is not None and take_argmax_action != (kind == "discrete"):
        raise TaskError(
            f"take_argmax_action: {take_argmax_action} is not possible in {name}, whose actions are {kind}; "
            f"use {not take_argmax_action} or leave it out"
        )


def _find_gymnasium(env_name: str, take_argmax_action: bool | None) -> GymnasiumEnvironment:
    """The environment of Gymnasium of this name, made once and begun once."""
    module, _, name = env_name.rpartition(":")
    try:
        import gymnasium
    except ImportError:
        raise TaskError(
            f"env_name: {env_name!r} is none of {', '.join(SIMULATIONS)}; "
            "environments of Gymnasium need a package that is not installed: pip install 'topoevo[rl]'"
        ) from None
    if module:
        _import(env_name, module)
    name, notices = _registered(name, gymnasium.registry, module)
    environment_id = f"{module}:{name}" if module else name
    sample = _made(environment_id, gymnasium.spec(name))
    try:
        environment = describe(environment_id, sample, take_argmax_action=take_argmax_action, notices=notices)
        _begin(environment, sample)
    finally:
        sample.close()
    return environment


def _import(env_name: str, module: str) -> None:
    """Import the module that registers an environment."""
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"env_name: {env_name!r}: module {module!r} cannot be imported ({in_one_line(error)}); is it "
            "installed, or its folder in PYTHONPATH?"
        ) from error


def _registered(name: str, registry: Mapping[str, Any], module: str) -> tuple[str, tuple[str, ...]]:
    """The id that a name stands for, and a notice where that is a successor."""
    stem, _, version = name.partition("-v")
    versions = sorted(spec.version for key, spec in registry.items() if re.fullmatch(re.escape(stem) + r"-v\d+", key))
    old = not version or (version.isdecimal() and versions and int(version) < versions[-1])
    if versions and old and (name not in registry or name in _OUTDATED):
        successor = f"{stem}-v{versions[-1]}"
        return successor, (f"env_name: {name} is an old or incomplete id, {successor} is taken",)
    if name not in registry:
        known = (*SIMULATIONS, *registry)
        if module:
            raise TaskError(f"env_name: module {module!r} registers no environment {name!r}{did_you_mean(name, known)}")
        raise TaskError(
            f"env_name: unknown environment {name!r}{did_you_mean(name, known)} (known: {', '.join(SIMULATIONS)} and "
            "those of Gymnasium; for one of another package write module:Id)"
        )
    return name, ()


def _made(environment_id: str, spec: Any) -> Any:
    """A sample of an environment."""
    import gymnasium

    entry = spec.entry_point if isinstance(spec.entry_point, str) else ""
    try:
        return gymnasium.make(environment_id, disable_env_checker=True)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        extra = next((extra for package, extra in _EXTRAS.items() if entry.startswith(package)), None)
        advice = f": pip install '{extra}'" if extra else ""
        raise TaskError(
            f"env_name: {environment_id} needs a package that is not installed{advice} ({in_one_line(error)})"
        ) from error
    except (Exception, SystemExit) as error:
        advice = (
            "; one that needs arguments can be registered under an id of its own, with kwargs"
            if isinstance(error, TypeError)
            else ""
        )
        raise TaskError(f"env_name: {environment_id} cannot be made ({in_one_line(error)}){advice}") from error


def _begin(environment: GymnasiumEnvironment, sample: Any) -> None:
    """Look at a first observation."""
    try:
        observation, _ = sample.reset(seed=0)
        inputs = environment.inputs_of(np.asarray(observation)[None])
    except (Exception, SystemExit) as error:
        raise TaskError(f"env_name: {environment.name} cannot be begun ({in_one_line(error)})") from error
    if np.shape(observation) != sample.observation_space.shape:
        raise TaskError(
            f"env_name: the first observation of {environment.name} has the shape {np.shape(observation)}, its "
            f"observation space is {sample.observation_space}"
        )
    if not np.isfinite(inputs).all():
        raise TaskError(f"env_name: the first observation of {environment.name} has a number that is not finite")
