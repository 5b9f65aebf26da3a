"""What the JSON of a checkpoint says, and may say: models of everything that is not an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from topoevo.errors import CheckpointError
from topoevo.evolution import Individual
from topoevo.experiment.front import Front
from topoevo.experiment.records import Champion, TaskScore

Count = Annotated[int, Field(ge=0, le=2**62)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Checked(BaseModel):
    """Values of exactly the right type; keys that later versions add are passed over."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Origin(Checked):
    """What must be the same when a run goes on; compared, never used."""

    settings: dict[str, Any]
    data: dict[str, Any]


class ScoreFields(Checked):
    """A score."""

    reward: float
    accuracy: float | None
    rmse: float | None = None
    best_reward: float | None = None
    measures: dict[str, float] = {}


class ChampionFields(Checked):
    """Where the champion, whose genes are the last, comes from."""

    generation: Count
    train: ScoreFields
    validation: ScoreFields | None
    test: ScoreFields | None


class PlaceFields(ChampionFields):
    """A network of the front, whose genes come after the champion's, and the sizes that it is the best of."""

    sizes: Annotated[list[Count], Field(min_length=1)]


class FrontFields(Checked):
    """The best networks of several sizes."""

    sizes: Annotated[list[Annotated[int, Field(ge=1, le=2**62)]], Field(min_length=1)]
    reference_loss: float
    networks: list[PlaceFields]


class CreditFields(Checked):
    """What came of an operator."""

    children: Count
    improved: Count
    rank_sum: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class StandingFields(Checked):
    """An operator so far."""

    probability: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    credit: CreditFields
    quality: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class SavingFields(Checked):
    """What racing has saved."""

    num_steps: Count
    num_saved: Count


class IndividualFields(Checked):
    """An individual without its genes."""

    id: Count
    parents: list[Count]
    born: Count
    operators: list[str]
    founded: Count = 0
    parent_reward: float | None = None
    ancestor: Count | None = None


class Meta(Checked):
    """All that is not an array."""

    generation: Count
    activations: list[str]
    next_node: Annotated[int, Field(ge=0, le=2**31)]
    next_innovation: Annotated[int, Field(ge=0, le=2**31)]
    num_evaluations: Count
    seconds: Seconds
    digest: str
    origin: Origin
    confirmed: list[str]
    has_founder: bool = False
    champion: ChampionFields | None
    front: FrontFields | None = None
    standings: dict[str, StandingFields] = {}
    saving: SavingFields | None = None
    sample_passes: Count | None = None
    individuals: list[IndividualFields]


_Model = TypeVar("_Model", bound=BaseModel)


def checked(model: type[_Model], content: Mapping[str, Any]) -> _Model:
    """Return JSON values as a model.

    Raises
    ------
    CheckpointError
        If they are none; names the first that is wrong.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"has no valid {place or 'content'}: {first['msg']}") from None


def champion_fields(champion: Champion) -> dict[str, Any]:
    """Return a champion without its genes as JSON values."""
    scores = {part: _score_fields(getattr(champion, part)) for part in ("train", "validation", "test")}
    return {"generation": champion.generation, **scores}


def champion_of(fields: ChampionFields, individual: Individual) -> Champion:
    """Return the champion with these scores and genes."""
    train, validation, test = (
        None if score is None else TaskScore(**score.model_dump())
        for score in (fields.train, fields.validation, fields.test)
    )
    assert train is not None
    return Champion(individual, fields.generation, train, validation, test)


def front_fields(front: Front) -> dict[str, Any]:
    """Return a front without genes as JSON values."""
    networks = [
        {**champion_fields(one), "sizes": [size for size, holder in front.champions.items() if holder is one]}
        for one in front.networks
    ]
    return {"sizes": front.sizes, "reference_loss": front.reference_loss, "networks": networks}


def front_of(fields: FrontFields, individuals: Sequence[Individual]) -> Front:
    """Return the front with these scores and genes.

    Parameters
    ----------
    fields
        From `front_fields`.
    individuals
        Of its networks, in their order.
    """
    networks = [champion_of(*pair) for pair in zip(fields.networks, individuals, strict=True)]
    holders = {size: one for place, one in zip(fields.networks, networks, strict=True) for size in place.sizes}
    champions = {size: holders[size] for size in fields.sizes if size in holders}
    return Front(tuple(fields.sizes), champions, fields.reference_loss)


def _score_fields(score: TaskScore | None) -> dict[str, Any] | None:
    """A score as JSON."""
    return None if score is None else asdict(score)
