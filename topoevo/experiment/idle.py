"""Settings that say something and have no effect beside the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from topoevo.experiment.contradictions import Contradiction, lack_of_evidence
from topoevo.experiment.params import Params, option_settings
from topoevo.experiment.settings import Settings
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.learning.optimizers import WITH_MOMENTUM, optimizer_remembers
from topoevo.tasks.base import DATASETS, find_dataset
from topoevo.tasks.environments.environment import SIMULATIONS
from topoevo.tasks.environments.find import find_simulation
from topoevo.tasks.task import Task
from topoevo.variation import MUTATIONS

#: Settings of what happens to a gradient, and of feedback weights, with the values that ask for nothing.
_OF_GRADIENTS = {
    "momentum": 0.0,
    "weight_decay": 0.0,
    "max_grad_norm": None,
    "grad_power": 1.0,
    "lr_schedule": "constant",
    "label_smoothing": 0.0,
    "weight_averaging": 0.0,
}
_OF_FEEDBACK = {"feedback_seed": None, "redraw_feedback": False}
#: Settings of samples, and of episodes.
_OF_DATA = (
    "data_dir",
    "test_ratio",
    "input_scaling",
    "task_type",
    "batch_size",
    "batch_size_eval",
    "shuffle",
    "loss",
    "distorted_copies",
    "distortion",
    "distorted_from",
)
_OF_ENVIRONMENTS = ("take_argmax_action", "num_confirmation_trials", "num_test_trials")
#: Settings in which the trainings of a generation differ, or those of one generation from those of another.
_OF_TRAININGS = (
    "initial_epochs",
    "initial_lr",
    "lr_spread",
    "max_connection_epochs",
    "weight_decay_spread",
    "inherit_optimizer_state",
)
#: Settings of evolution, which a training of one network does without.
_OF_EVOLUTION = (
    "front_connections",
    "num_islands",
    "migration_every",
    "adapt_probabilities",
    "train_elites",
    "reward_data",
    "pruning",
    "final_samples",
    "final_decay_factors",
    *_OF_TRAININGS,
)
#: Settings of learning, which a network that is agnostic of its weights does without.
_OF_LEARNING = (
    "learning_rule",
    "distorted_copies",
    "distortion",
    "distorted_from",
    "lr",
    "num_epochs",
    "optimizer",
    "weight_init",
    "evaluation_period",
    "train_only_outputs",
    "inherit_weights",
    "inherit_optimizer_state",
    "initial_epochs",
    "initial_hidden_nodes",
    "initial_lr",
    "lr_spread",
    "max_connection_epochs",
    "p_initial_second_layer",
    "weight_decay_samples",
    "weight_decay_scaling",
    "weight_decay_spread",
    "pruning",
    "pruning_stages",
    "pruning_stop",
    "reward_data",
    "train_elites",
    "racing",
    "racing_rungs",
    *_OF_GRADIENTS,
    *_OF_FEEDBACK,
)


def find_idle(settings: Params) -> list[Contradiction]:
    """Return the settings that say something and have no effect with the learning rule, the task or the operators.

    Whoever gives one as a flag expects something of it; in a parameter file it is left alone, so that a file can be
    run with other rules.

    Parameters
    ----------
    settings
        Values that are legal together.
    """
    found = [*_idle_in_task(settings), *_idle_options(settings)]
    if settings.is_weight_agnostic:
        why = "shared_weights, where nothing is learned"
        # On samples nothing is random, and one trial says all.
        names = _OF_LEARNING if settings.env_name is not None else (*_OF_LEARNING, "num_trials")
        return found + [_idle(name, getattr(settings, name), why) for name in _changed(settings, names)]
    rule = LEARNING_RULES[settings.learning_rule]
    without: dict[str, str] = {}
    if not rule.follows_gradient:
        without |= dict.fromkeys(_OF_GRADIENTS, f"learning_rule {rule.name}, which follows no gradient")
    elif rule.follows_scores:
        without["label_smoothing"] = f"learning_rule {rule.name}, which follows losses, not errors"
    elif settings.loss == "mean_squared_error" or settings.task_type == "regression":
        without["label_smoothing"] = "a squared error, where no class has a probability"
    if not rule.has_feedback:
        without |= dict.fromkeys(_OF_FEEDBACK, f"learning_rule {rule.name}, which has no feedback weights")
    elif settings.train_only_outputs:
        without |= dict.fromkeys(_OF_FEEDBACK, "train_only_outputs, where no error travels back")
    elif not settings.evolves:
        without["redraw_feedback"] = "num_generations 0, where there is one training"
    found += _idle_racing(settings, rule)
    found += _idle_in_search(settings)
    if settings.env_name is not None:
        found += _idle_in_episodes(settings, rule)
    return found + [
        _idle(name, value, reason)
        for name, reason in without.items()
        if (value := getattr(settings, name)) != {**_OF_GRADIENTS, **_OF_FEEDBACK}[name]
    ]


def skipped_operators(settings: Params) -> list[str]:
    """Return which mutations never happen since nothing leads them, in words for the user.

    Parameters
    ----------
    settings
        Values that are legal together.
    """
    reason = lack_of_evidence(settings)
    names = [name for name, p in settings.mutation_probabilities().items() if p > 0 and MUTATIONS[name].needs_evidence]
    if reason is None or not names or not settings.evolves or not settings.num_mutations_per_generation:
        return []
    return [f"skipping {', '.join(names)}: led by what learning saw, and there is nothing of it with {reason}"]


def shared_copies(settings: Params) -> list[str]:
    """Return which sizes of networks have distorted copies only since larger ones do, in words for the user.

    Parameters
    ----------
    settings
        Values that are legal together.
    """
    small = [size for size in settings.front_connections or () if size < settings.distorted_from]
    if not small or not settings.copies_for_size:
        return []
    return [
        f"networks of {', '.join(map(str, small))} connections learn from distorted copies, as larger ones do, though"
        f" distorted_from is {settings.distorted_from}; --max_connections evolves them alone, without"
    ]


def epochs_of_sizes(settings: Params) -> list[str]:
    """Return how long children of each size of networks learn, in words for the user, where that differs.

    Parameters
    ----------
    settings
        Values that are legal together.
    """
    sizes: dict[int, list[str]] = {}
    for size in settings.front_connections or ():
        sizes.setdefault(settings.epochs_for(size), []).append(f"{size}")
    if len(sizes) < 2:
        return []
    parts = [f"{epochs} at {', '.join(those)} connections" for epochs, those in sizes.items()]
    return [f"epochs of children: {'; '.join(parts)}"]


def idle_with_targets(settings: Settings, task: Task) -> list[str]:
    """Return what has no effect with the targets of a task, in words for the user; known when it is loaded.

    Parameters
    ----------
    settings
        Values in which `find_idle` sees nothing that the user has to change.
    task
        The samples.
    """
    if task.kind != "regression" or not settings.label_smoothing:
        return []
    return [_idle("label_smoothing", settings.label_smoothing, f"{task.name}, which has no classes").message]


def _idle_in_task(settings: Settings) -> Iterator[Contradiction]:
    """What belongs to data where there is an environment, and the other way round."""
    if settings.env_name is None:
        for name in _changed(settings, _OF_ENVIRONMENTS):
            yield _idle(name, getattr(settings, name), f"dataset {settings.dataset}, which is no environment")
        if not settings.distorted_copies:
            for name in _changed(settings, ("distortion", "distorted_from")):
                yield _idle(name, getattr(settings, name), "distorted_copies 0, where nothing is distorted")
        elif settings.distorted_from and (settings.largest_size is None or not settings.evolves):
            yield _idle("distorted_from", settings.distorted_from, "no limit to the number of connections")
        elif settings.largest_size is not None and settings.largest_size < settings.distorted_from:
            for name in _changed(settings, ("distorted_copies", "distortion")):
                yield Contradiction(
                    (name,),
                    f"{name} {getattr(settings, name)} has no effect with at most {settings.largest_size} connections,"
                    f" since distorted_from is {settings.distorted_from}; leave it out, or lower distorted_from",
                )
    else:
        for name in _changed(settings, _OF_DATA):
            yield _idle(name, getattr(settings, name), f"env_name {settings.env_name}, which has no samples")
        if settings.kernel_name.startswith("torch"):
            name = next((name for name in ("use_cuda", "use_torch") if getattr(settings, name)), "kernel")
            why = f"env_name {settings.env_name}, where networks act without torch"
            yield _idle(name, getattr(settings, name), why)


def _idle_options(settings: Params) -> Iterator[Contradiction]:
    """Options of operators, rules, data sets and simulations that are not in use."""
    simulation = None if settings.env_name is None else find_simulation(settings.env_name)
    dataset = find_dataset(settings.dataset) if settings.env_name is None else None
    rule = None if settings.is_weight_agnostic else LEARNING_RULES[settings.learning_rule]
    operators = [MUTATIONS[name] for name, p in settings.mutation_probabilities().items() if p > 0]
    used = {name for entry in (simulation, dataset, rule, *operators) for name in option_settings(entry).values()}
    used |= set(Settings.model_fields)
    registries = (MUTATIONS, LEARNING_RULES, DATASETS, SIMULATIONS)
    for owner in (entry for registry in registries for entry in registry.values()):
        for name in _changed(settings, sorted(set(option_settings(owner).values()) - used)):
            yield _idle(name, getattr(settings, name), f"these settings, which make no use of {owner.name}")
    reason = lack_of_evidence(settings)
    for operator in operators:
        if operator.needs_evidence and reason is not None:
            name = f"p_{operator.name}"
            yield _idle(name, getattr(settings, name), reason)
    if (
        settings.evolves
        and settings.adapt_probabilities != "none"
        and (len(operators) < 2 or not settings.num_mutations_per_generation)
    ):
        yield _idle("adapt_probabilities", settings.adapt_probabilities, "fewer than two mutations to choose between")
    if getattr(settings, "grow_node_kind", "bridge") == "split":
        for name in _changed(settings, sorted({"grow_node_fan_in", "grow_node_noise"} & used)):
            yield _idle(name, getattr(settings, name), "grow_node_kind split, which bridges nothing")
    if getattr(settings, "grow_connection_criterion", "gradient") == "random":
        led = {"grow_connection_noise_min", "grow_connection_noise_max", "grow_connection_weight"}
        for name in _changed(settings, sorted(led & used)):
            yield _idle(name, getattr(settings, name), "grow_connection_criterion random, which follows no gradient")


def _idle_racing(settings: Settings, rule: type[LearningRule]) -> Iterator[Contradiction]:
    """Races that do not take place."""
    reason = ""
    if settings.env_name is not None:
        reason = f"env_name {settings.env_name}, where learning cannot pause"
    elif not rule.changes_weights:
        reason = f"learning_rule {rule.name}, where nothing is trained"
    elif not settings.evolves:
        reason = "num_generations 0, where there is one training"
    elif settings.racing == 1:
        reason = "racing 1, where nobody is stopped"
    if reason:
        for name in _changed(settings, ("racing", "racing_rungs")):
            yield _idle(name, getattr(settings, name), reason)


def _idle_in_search(settings: Settings) -> Iterator[Contradiction]:
    """Settings of evolution, pruning and first networks that others leave no say."""
    without: dict[str, str] = {}
    if settings.initial_networks == "sparse":
        names = ("initial_hidden_nodes", "p_initial_second_layer")
        without |= dict.fromkeys(names, "initial_networks sparse, which have no layers")
    else:
        without["p_initial_add_node"] = "initial_networks dense, where no connection is split"
    if settings.pruning == "none":
        without |= dict.fromkeys(("pruning_stages", "pruning_stop"), "pruning none")
    if settings.reward_data != "training":
        without["evaluation_period"] = f"reward_data {settings.reward_data}, which judges weights after training"
    rule = LEARNING_RULES[settings.learning_rule]
    if not rule.follows_gradient:
        of_optimizers = ("inherit_optimizer_state", "initial_lr", "lr_spread", "final_decay_factors")
        without |= dict.fromkeys(of_optimizers, f"learning_rule {rule.name}, which follows no gradient")
    elif not optimizer_remembers(settings.optimizer, settings.momentum):
        momentum = " and momentum 0" if settings.optimizer in WITH_MOMENTUM else ""
        without["inherit_optimizer_state"] = f"optimizer {settings.optimizer}{momentum}, which remembers nothing"
    if settings.weight_decay == 0.0:
        without |= dict.fromkeys(
            ("weight_decay_samples", "weight_decay_scaling", "weight_decay_spread", "final_decay_factors"),
            "weight_decay 0",
        )
    if not settings.final_epochs:
        without["final_decay_factors"] = "final_epochs 0"
    if settings.max_connections is None and settings.front_connections is None:
        without["max_connection_epochs"] = "neither max_connections nor front_connections"
    if settings.num_islands == 1 and settings.front_connections is None:
        without["migration_every"] = "num_islands 1, from which nobody goes"
    if settings.env_name is not None:
        why = f"env_name {settings.env_name}, where all trainings have the same settings"
        without |= dict.fromkeys((*_OF_TRAININGS, "weight_decay_samples", "weight_decay_scaling"), why)
    if not settings.evolves:
        without |= dict.fromkeys(_OF_EVOLUTION, "num_generations 0, where nothing evolves")
        without |= dict.fromkeys(("pruning_stages", "pruning_stop"), "num_generations 0, where nothing is pruned")
    for name in _changed(settings, without):
        yield _idle(name, getattr(settings, name), without[name])


def _idle_in_episodes(settings: Settings, rule: type[LearningRule]) -> Iterator[Contradiction]:
    """Settings of learning that have no say in an environment."""
    without = {"evaluation_period": "an environment, where the reward is that of the weights after learning"}
    if not rule.follows_gradient:
        without["lr"] = f"learning_rule {rule.name}, which follows no gradient"
    if not rule.changes_weights:
        without |= dict.fromkeys(
            ("num_epochs", "train_only_outputs"), f"learning_rule {rule.name}, which takes no step"
        )
    for name in _changed(settings, without):
        yield _idle(name, getattr(settings, name), without[name])


def _changed(settings: Settings, names: Iterable[str]) -> list[str]:
    """Those settings that say something else than by default."""
    return [name for name in names if getattr(settings, name) != type(settings).model_fields[name].default]


def _idle(name: str, value: object, reason: str) -> Contradiction:
    """A setting that nothing follows from."""
    words = str(value).lower() if isinstance(value, bool) else str(list(value) if isinstance(value, tuple) else value)
    return Contradiction((name,), f"{name} {words} has no effect with {reason}; leave it out")
