"""Types and limits of what a network file may contain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from topoevo.foreign_files import has_controls


def _printable(text: str) -> str:
    """Text that does not steer the terminal that it is shown on."""
    if has_controls(text):
        raise ValueError("contains control characters")
    return text


def _single(number: float) -> float:
    """A number of single precision."""
    with np.errstate(over="ignore"):
        if np.isinf(np.float32(number)):
            raise ValueError("is too large for single precision")
    return number


Identity = Annotated[int, Field(ge=0, le=2**31 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
#: A number that is used in single precision.
Single = Annotated[Number, AfterValidator(_single)]
#: Of a column, a class, a data set: as long as tables may have them.
Name = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]
#: Of a file or folder.
PathText = Annotated[str, Field(min_length=1, max_length=5000), AfterValidator(_printable)]


class _Checked(BaseModel):
    """Values of exactly the right type; keys that later versions add are kept."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class Node(_Checked):
    """One node gene; its layer follows from the connections and is not read."""

    id: Identity
    role: Literal["input", "bias", "hidden", "output"]
    activation: str
    feedback: list[Number] | None = None


class Edge(_Checked):
    """One connection gene."""

    source: Identity
    target: Identity
    weight: Number | None
    innovation: Identity
    enabled: bool
    feedback: Number | None = None


class TaskFacts(_Checked):
    """What a network was trained on, as far as using it on raw data needs to know.

    Notes
    -----
    A scaled input is ``(raw - input_offset) / input_scale``, and the same for the targets of a regression.
    """

    name: Name
    kind: Literal["classification", "regression", "environment"]
    loss: Literal["cross_entropy", "mean_squared_error", "class_squared_error"] | None
    input_names: list[Name]
    output_names: list[Name]
    input_offset: list[Single]
    input_scale: list[Single]
    target_offset: list[Single]
    target_scale: list[Single]

    @model_validator(mode="after")
    def _check_lengths(self) -> TaskFacts:
        """Refuse scaling that does not fit the names, and samples without a loss."""
        if (self.loss is None) != (self.kind == "environment"):
            raise ValueError(f"loss is {self.loss}, kind is {self.kind}")
        columns = len(self.output_names) if self.kind == "regression" else 0
        for name, expected in (("input", len(self.input_names)), ("target", columns)):
            for part in ("offset", "scale"):
                found = len(getattr(self, f"{name}_{part}"))
                if found != expected:
                    raise ValueError(f"{name}_{part} has {found} numbers, expected {expected}")
            # Numbers that single precision takes for 0 divide as 0 does.
            if not np.array(getattr(self, f"{name}_scale"), np.float32).all():
                raise ValueError(f"{name}_scale contains 0")
        return self


class EnvironmentSettings(_Checked):
    """The environment that a network was made for: arguments of `topoevo.tasks.environments.find.find_environment`."""

    env_name: Annotated[Name, Field(min_length=1)]
    take_argmax_action: bool | None = None
    options: dict[str, Any] = {}


class DataFacts(_Checked):
    """The samples that a network was trained on: settings of `topoevo.tasks.base.DataSettings`, and options."""

    dataset: PathText
    data_dir: PathText | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    validation_ratio: Number = 0.0
    test_ratio: Number = 0.25
    input_scaling: Name = "default"
    target_column: Name | None = None
    test_file: PathText | None = None
    task_type: Name = "auto"
    distorted_copies: Annotated[int, Field(ge=0)] = 0
    distortion: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    options: dict[str, Any] = {}


class Provenance(_Checked):
    """Where a network comes from, as far as it is read."""

    generation: Annotated[int, Field(ge=0)] | None = None


class Graph(_Checked):
    """Attributes of the graph."""

    format: Literal["topoevo-network"]
    version: Annotated[int, Field(ge=1)]
    task: TaskFacts | None = None
    environment_settings: EnvironmentSettings | None = None
    data_settings: DataFacts | None = None
    #: The limit of the setting: sums of inputs times a larger weight leave the range of single precision.
    shared_weights: (
        Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=1, max_length=1000)] | None
    ) = None
    scores: dict[str, dict[str, Number | None] | None] = {}
    provenance: Provenance = Provenance()


class Document(_Checked):
    """A whole network file."""

    directed: Literal[True]
    multigraph: Literal[False]
    graph: Graph
    nodes: Annotated[list[Node], Field(min_length=2, max_length=200_000)]
    edges: Annotated[list[Edge], Field(max_length=1_000_000)]

    @model_validator(mode="before")
    @classmethod
    def _name_old_key(cls, content: Any) -> Any:
        """Accept ``links``, which networkx before version 3.4 writes instead of ``edges``."""
        if isinstance(content, dict) and "links" in content and "edges" not in content:
            return {("edges" if key == "links" else key): value for key, value in content.items()}
        return content
