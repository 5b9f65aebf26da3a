"""All settings of an experiment: validated, complete, reloadable.

`Params` joins the settings of `topoevo.experiment.settings` with those that registered entries bring along:

- ``p_<mutation>`` for every mutation operator,
- the `topoevo.registry.option` fields of every operator, learning rule, data set and environment: a field whose name is
  a setting takes its value, any other becomes ``<entry>_<field>``.

A flag beats the parameter file, which beats the default. Every problem is told in one message.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import AllowInfNan, ValidationError, create_model

from topoevo.activations import ACTIVATIONS_BY_CODE
from topoevo.errors import ParamsError, did_you_mean
from topoevo.experiment.contradictions import Contradiction, find_source_contradictions
from topoevo.experiment.setting import GROUPS, Setting, setting
from topoevo.experiment.settings import Settings
from topoevo.experiment.yaml_file import Entry, YamlFile, format_value, read_yaml
from topoevo.foreign_files import plain
from topoevo.learning import LEARNING_RULES
from topoevo.tasks.base import DATASETS
from topoevo.tasks.environments.environment import SIMULATIONS
from topoevo.variation import MUTATIONS

#: Defaults that differ between families of networks: ``wlnn`` learns weights, ``wann`` is agnostic of them.
FAMILY_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "wlnn": {},
    "wann": {
        "shared_weights": (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0),
        "activations": tuple(one.name for one in ACTIVATIONS_BY_CODE),
        "batch_size": 1000,
        "bias": True,
        "bias_connections": "evolved",
        "output_connections": True,
        "p_add_connection": 0.2,
        "p_add_node": 0.25,
        "p_change_activation": 0.5,
        "p_complexity_objective": 0.8,
        "p_enable_connection": 0.05,
        "p_initial_add_node": 0.0,
    },
}

#: What is told at once of a file that is none.
_MAX_PROBLEMS = 50

_OPTION_GROUPS = (
    (MUTATIONS, "evolution"),
    (LEARNING_RULES, "training"),
    (DATASETS, "task"),
    (SIMULATIONS, "task"),
)


class _CompleteSettings(Settings):
    """What can be done with a complete set of settings, whatever entries are registered."""

    def mutation_probabilities(self) -> dict[str, float]:
        """Return the settings ``p_<name>`` by name of the mutation operator, not normalized."""
        return {name: getattr(self, f"p_{name}") for name in MUTATIONS}

    @property
    def asks_for_evidence(self) -> bool:
        """Whether a mutation that can be drawn needs to know what learning saw."""
        return any(p > 0 and MUTATIONS[name].needs_evidence for name, p in self.mutation_probabilities().items())

    def options_of(self, entry: Any) -> dict[str, Any]:
        """Return the values of an entry's options.

        Parameters
        ----------
        entry
            Class from the registry of mutations, learning rules, data sets or environments.

        Returns
        -------
        dict
            Keyword arguments to create the entry with.
        """
        found = {option: getattr(self, name) for option, name in option_settings(entry).items()}
        if "pruning" in found and self.is_weight_agnostic:
            # Without learning nothing is pruned, and operators may not rely on it.
            found["pruning"] = "none"
        return found

    def to_yaml(self) -> str:
        """Return a parameter file that reads back equal: every setting, but no data set beside an environment."""
        by_group: dict[str, list[str]] = {group: [] for group in GROUPS}
        for one in all_settings():
            if one.name == "dataset" and self.env_name is not None:
                continue
            by_group[one.group].append(f"{one.name}: {format_value(getattr(self, one.name))}\n")
        return "\n".join(f"# {group}\n" + "".join(lines) for group, lines in by_group.items())


def option_settings(entry: Any) -> dict[str, str]:
    """Return the names of the settings that the options of a registered entry take their values from, by option."""
    return {field.name: _setting_name(entry.name, field.name) for field in _option_fields(entry)}


def _option_fields(entry: Any) -> Iterator[dataclasses.Field[Any]]:
    """Yield the fields of a registered class that users may set."""
    if isinstance(entry, type) and dataclasses.is_dataclass(entry):
        yield from (field for field in dataclasses.fields(entry) if "help" in field.metadata)


def _setting_name(entry: str, field: str) -> str:
    """Name of the setting for an option of a registered entry."""
    return field if field in Settings.model_fields else f"{entry}_{field}".replace("-", "_").lower()


def _registered_settings() -> dict[str, Any]:
    """Return type and declaration of the settings that registered entries bring along, as pydantic takes them."""
    found: dict[str, Any] = {}
    for name, mutation in MUTATIONS.items():
        words = name.replace("_", " ")
        found[f"p_{name}"] = (
            float,
            setting(
                mutation.default_probability,
                f"how often a mutation is {words}, relative to the other operators",
                group="evolution",
                ge=0,
            ),
        )
    for registry, group in _OPTION_GROUPS:
        for entry in registry.values():
            for field in _option_fields(entry):
                name = _setting_name(entry.name, field.name)
                if name in Settings.model_fields:
                    continue
                if name in found:
                    raise ValueError(f"option {field.name!r} of {entry.name!r}: there is already a setting {name!r}")
                bounds = dict(field.metadata)
                help = bounds.pop("help")
                hint = get_type_hints(entry, include_extras=True)[field.name]
                if isinstance(field.default, float) and math.isinf(field.default):
                    hint = Annotated[hint, AllowInfNan(True)]
                found[name] = (hint, setting(field.default, help, group=group, **bounds))
    return found


if TYPE_CHECKING:

    class Params(_CompleteSettings):
        """All settings of an experiment, those of the registered entries included. Immutable."""

else:
    Params = create_model(
        "Params",
        __base__=_CompleteSettings,
        __module__=__name__,
        __doc__="All settings of an experiment, those of the registered entries included. Immutable.",
        **_registered_settings(),
    )


@functools.cache
def all_settings(family: str = "wlnn") -> tuple[Setting, ...]:
    """Return every setting with the defaults of a family, group by group.

    Parameters
    ----------
    family
        ``wlnn`` or ``wann``.
    """
    defaults = FAMILY_DEFAULTS[family]
    fields = Params.model_fields.items()
    found = [Setting.from_field(name, field, defaults.get(name, field.default)) for name, field in fields]
    return tuple(sorted(found, key=lambda one: GROUPS.index(one.group)))


#: Flags that say what other settings of a file say in another way, which they replace.
_SAYS_OTHERWISE = {"front_connections": ("max_connections", "num_islands"), "max_connections": ("front_connections",)}


def load_params(path: str | Path | None, overrides: Mapping[str, object], *, family: str = "wlnn") -> Params:
    """Return the settings of a parameter file and of flags.

    Parameters
    ----------
    path
        Parameter file, or None for defaults alone.
    overrides
        Settings given as flags: they beat the file. Messages cite them as ``--<name>``.
    family
        ``wlnn`` or ``wann``: whose defaults hold for what is given in neither.

    Raises
    ------
    ParamsError
        With every problem that was found, one line each: what, the value received, what is allowed, and where.
    """
    file = YamlFile("", {}, []) if path is None else read_yaml(path)
    by_name = {one.name: one for one in all_settings(family)}
    values = {name: _typed(entry, by_name.get(name)) for name, entry in file.entries.items()}
    for flag, others in _SAYS_OTHERWISE.items():
        if overrides.get(flag) is not None:
            values = {name: value for name, value in values.items() if name not in others}
    for name, value in overrides.items():
        is_list = name in by_name and by_name[name].is_list
        values[name] = (
            (value,) if is_list and isinstance(value, str) else tuple(value) if isinstance(value, list) else value
        )
    defaults = {name: value for name, value in FAMILY_DEFAULTS[family].items() if name not in values}

    report = _Report(file, overrides)
    contradictions = find_source_contradictions(None if path is None else Path(path), overrides)
    params: Params | None = None
    right: dict[str, object] = {}
    try:
        params = Params.model_validate(defaults | values)
    except ValidationError as error:
        wrong = report.add_wrong_values(error, by_name)
        # Values that are fine by themselves are compared even if others are wrong, so that one message has it all.
        right = {**FAMILY_DEFAULTS[family], **{name: value for name, value in values.items() if name not in wrong}}
        found = _contradictions(right)
        contradictions += [one for one in found if not wrong & set(one.settings)]
    for one in contradictions:
        report.add_contradiction(one)
    if params is None or report.problems:
        raise ParamsError(report.text(), usable=params or _usable(right))
    return params


def family_table(family: str) -> str:
    """Return a markdown table of the defaults in which a family differs from ``wlnn``."""
    lines = ["| name | default |", "|---|---|"]
    lines += [f"| `{name}` | `{format_value(value)}` |" for name, value in FAMILY_DEFAULTS[family].items()]
    return "\n".join(lines) + "\n"


def settings_table(family: str = "wlnn") -> str:
    """Return a markdown table of all settings.

    Parameters
    ----------
    family
        ``wlnn`` or ``wann``: whose defaults to show.
    """
    lines = ["| group | name | type | default | range | help |", "|---|---|---|---|---|---|"]
    for one in all_settings(family):
        kind = {int: "integer", float: "number", bool: "true or false", str: "text"}[one.base]
        kind = "name" if one.names is not None else kind
        kind = ("list of " + kind + "s" if one.is_list else kind) + (" or null" if one.is_optional else "")
        limits = ", ".join(f"`{name}`" for name in one.names) if one.names is not None else one.range
        cells = (one.group, f"`{one.name}`", kind, f"`{format_value(one.default)}`", limits, one.help)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _typed(entry: Entry, one: Setting | None) -> object:
    """Return the value of a file as the setting wants it: a list as tuple, an unquoted number as text."""
    if one is None:
        return entry.value
    if isinstance(entry.value, list):
        return tuple(entry.value)
    is_number = isinstance(entry.value, (int, float)) and not isinstance(entry.value, bool)
    if one.is_free_text and is_number and entry.text is not None:
        return entry.text
    is_item = one.is_list and (isinstance(entry.value, str) or is_number)
    return (entry.value,) if is_item else entry.value


def _contradictions(values: Mapping[str, object]) -> list[Contradiction]:
    """Return the contradictions among values that are legal by themselves."""
    try:
        Params.model_validate(values)
    except ValidationError as error:
        return [found for one in error.errors() for found in one.get("ctx", {}).get("found", ())]
    return []


def _usable(values: Mapping[str, object]) -> Params | None:
    """Return settings of values that are legal by themselves, if they are legal together."""
    try:
        return Params.model_validate(values)
    except ValidationError:
        return None


class _Report:
    """Problems with the place that each comes from: lines of the file in order, then flags."""

    def __init__(self, file: YamlFile, overrides: Mapping[str, object]) -> None:
        self._path = file.path
        self._lines = {name: entry.line for name, entry in file.entries.items() if name not in overrides}
        self._flags = frozenset(overrides)
        self.problems: list[tuple[float, str]] = []
        for line, sentence in file.problems:
            self._add(line, sentence)

    def add_wrong_values(self, error: ValidationError, by_name: Mapping[str, Setting]) -> set[str]:
        """Add what is wrong with single settings, and return their names."""
        wrong: set[str] = set()
        for one in error.errors(include_url=False):
            if one["type"] == "contradictions":
                continue
            name = str(one["loc"][0])
            wrong.add(name)
            if name in by_name:
                sentence = by_name[name].problem(one)
            else:
                hint = did_you_mean(name, by_name) if len(self.problems) < _MAX_PROBLEMS else ""
                sentence = f"there is no such setting{hint}"
            self._add(self._lines.get(name), f"{'--' if name in self._flags else ''}{plain(name)}: {sentence}")
        return wrong

    def add_contradiction(self, found: Contradiction) -> None:
        """Add a contradiction, cited at the first of its settings that the user gave."""
        name = next((name for name in found.settings if name in self._flags or name in self._lines), "")
        dashes = "--" if name in self._flags else ""
        is_subject = found.message.startswith(f"{name} ")
        self._add(self._lines.get(name), dashes + (found.message if is_subject else f"{name}: {found.message}"))

    def text(self) -> str:
        """Return one line for each problem, as long as they are not too many to be read."""
        lines = [sentence for _, sentence in sorted(self.problems, key=lambda problem: problem[0])]
        more = len(lines) - _MAX_PROBLEMS
        return "\n".join(lines if more <= 0 else [*lines[:_MAX_PROBLEMS], f"and {more} more problems"])

    def _add(self, line: int | None, sentence: str) -> None:
        """Note a problem, with its place if that is known."""
        place = "" if line is None else f"{self._path}:{line}: "
        self.problems.append((math.inf if line is None else line, place + sentence))
