"""Types and limits of what a network file may contain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Identity = Annotated[int, Field(ge=0, le=2**31 - 1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


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

    name: str
    kind: Literal["classification", "regression", "environment"]
    loss: Literal["cross_entropy", "mean_squared_error", "class_squared_error"] | None
    input_names: list[str]
    output_names: list[str]
    input_offset: list[Number]
    input_scale: list[Number]
    target_offset: list[Number]
    target_scale: list[Number]

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
            if 0.0 in getattr(self, f"{name}_scale"):
                raise ValueError(f"{name}_scale contains 0")
        return self


class EnvironmentSettings(_Checked):
    """The environment that a network was made for: arguments of `topoevo.tasks.environments.find.find_environment`."""

    env_name: Annotated[str, Field(min_length=1, max_length=1000)]
    take_argmax_action: bool | None = None
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
