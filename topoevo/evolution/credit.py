"""What mutation operators achieve, and how often each is drawn: credit, and adaptive pursuit.

Thierens 2005, An adaptive pursuit strategy for allocating operator probabilities (GECCO): an estimate of every
operator's success, ``Q = Q + alpha (R - Q)``, and probabilities that pursue the best of K operators,
``P = P + beta (P_max - P)`` for this one and ``P = P + beta (P_min - P)`` for the others, where
``P_max = 1 - (K - 1) P_min``. Differs from the paper in that

- R is the share of an operator's children of one generation that are better than their parents, so that there is one
  step a generation; an operator without children keeps its estimate;
- estimates begin at 0, so that an operator that never finds a legal place is not pursued, and nothing moves before the
  first success;
- several operators that are equally good share what the best one would get;
- rates are smaller than the paper's .8, since shares of few children are noisy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

from topoevo.evolution.population import Individual
from topoevo.variation import MUTATIONS

#: Rates of estimates (alpha) and probabilities (beta) a generation.
QUALITY_RATE, PURSUIT_RATE = 0.2, 0.1
#: The least probability (P_min), of an even one.
FLOOR = 0.5


@dataclass(frozen=True)
class Credit:
    """What came of an operator.

    Parameters
    ----------
    children
        Individuals that it took part in making, evaluated once.
    improved
        Those among them whose reward exceeds their parent's.
    """

    children: int = 0
    improved: int = 0

    def __add__(self, other: Credit) -> Credit:
        return Credit(self.children + other.children, self.improved + other.improved)

    @property
    def share(self) -> float | None:
        """The part that is better; None of no children."""
        return self.improved / self.children if self.children else None


@dataclass(frozen=True)
class Standing:
    """An operator in the course of a run.

    Parameters
    ----------
    probability
        With which it is drawn; those of all operators add up to 1.
    credit
        In all generations so far.
    quality
        Estimated share of its children that are better (Q).
    """

    probability: float
    credit: Credit = Credit()
    quality: float = 0.0


def operator_names() -> tuple[str, ...]:
    """Return the names of all mutation operators."""
    return tuple(MUTATIONS)


def credits_of(members: Iterable[Individual], generation: int, operators: Iterable[str]) -> dict[str, Credit]:
    """Return what came of operators in one generation, by name.

    A child of several operators counts for each of them once. The reward of a parent is the one that it was chosen
    for, under the conditions of its own generation. Children of parents that have failed count for nobody; who was
    stopped in a race is not better than anybody.

    Parameters
    ----------
    members
        Evaluated individuals.
    generation
        Number of their generation; those that were born earlier have been counted.
    operators
        Names.
    """
    children = dict.fromkeys(operators, 0)
    improved = dict.fromkeys(children, 0)
    for member in members:
        if member.born != generation or member.parent_reward is None:
            continue
        is_better = member.reward > member.parent_reward and member.progress == inf
        for name in set(member.operators):
            if name in children:
                children[name] += 1
                improved[name] += is_better
    return {name: Credit(children[name], improved[name]) for name in children}


def standings_of(probabilities: Mapping[str, float]) -> dict[str, Standing]:
    """Return the operators before the first generation; those with probability 0 are left out.

    Parameters
    ----------
    probabilities
        Of any sum, by name.
    """
    total = sum(probabilities.values())
    return {name: Standing(p / total) for name, p in probabilities.items() if p > 0}


def credited(standings: Mapping[str, Standing], credits: Mapping[str, Credit]) -> dict[str, Standing]:
    """Return operators after a generation, drawn as before.

    Parameters
    ----------
    standings
        Before it.
    credits
        What came of each of them in it.
    """
    return {
        name: replace(
            one,
            credit=one.credit + credits[name],
            quality=one.quality
            if (share := credits[name].share) is None
            else one.quality + QUALITY_RATE * (share - one.quality),
        )
        for name, one in standings.items()
    }


def pursued(standings: Mapping[str, Standing]) -> dict[str, Standing]:
    """Return operators with probabilities that are a step nearer to drawing the best of them most.

    Parameters
    ----------
    standings
        With present estimates.
    """
    highest = max((one.quality for one in standings.values()), default=0.0)
    if highest <= 0.0:
        return dict(standings)
    best = [name for name, one in standings.items() if one.quality == highest]
    least = FLOOR / len(standings)
    most = (1.0 - (len(standings) - len(best)) * least) / len(best)
    return {
        name: replace(
            one, probability=one.probability + PURSUIT_RATE * ((most if name in best else least) - one.probability)
        )
        for name, one in standings.items()
    }
