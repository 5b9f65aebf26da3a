"""What mutation operators achieve, and how often each is drawn: credit by rank, and adaptive pursuit.

Thierens 2005, An adaptive pursuit strategy for allocating operator probabilities (GECCO): an estimate of every
operator's success, ``Q = Q + alpha (R - Q)`` for each of its children, and probabilities that pursue the best of K
operators, ``P = P + beta (P_max - P)`` for this one and ``P = P + beta (P_min - P)`` for the others, where
``P_max = 1 - (K - 1) P_min``.

Children mostly gain by learning for longer than their parents, whatever made them, so that a gain says little by
itself. R is the rank of a child's gain among all children of its generation, as in Fialho, Schoenauer & Sebag 2010,
Toward comparison-based adaptive operator selection (GECCO), who add ranks up ("sum of ranks") where this takes their
mean. It does not depend on the scale of rewards, and is 1/2 on average.

Differs from Thierens in that

- R is the mean over an operator's children of one generation, taken as many times as there are children, since their
  order means nothing; an operator without children keeps its estimate, which begins at 1/2;
- operators nearly as good as the best share what it would get: as long as nobody stands out, nothing is pursued;
- P_min and the shares are in proportion to the probabilities that were asked for; with even ones they are the paper's;
- rates are smaller than the paper's .8, since ranks of few children are noisy.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

from topoevo.evolution.population import Individual
from topoevo.variation import MUTATIONS

#: Rates of estimates (alpha) a child, and of probabilities (beta) a generation.
QUALITY_RATE, PURSUIT_RATE = 0.01, 0.1
#: The least probability (P_min), as a part of the one that was asked for.
FLOOR = 0.5
#: An operator whose estimate is that much less than the best one is as good. Estimates of equal operators have a
#: standard deviation of 1 / sqrt(12) sqrt(alpha / (2 - alpha)) = .02.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Credit:
    """What came of an operator.

    Parameters
    ----------
    children
        Individuals that it took part in making, evaluated once.
    improved
        Those among them whose reward exceeds their parent's.
    rank_sum
        Sum of their ranks by what they gain over their parents, among all children of their generation: from 0 of the
        least to 1 of the largest gain.
    """

    children: int = 0
    improved: int = 0
    rank_sum: float = 0.0

    def __add__(self, other: Credit) -> Credit:
        return Credit(self.children + other.children, self.improved + other.improved, self.rank_sum + other.rank_sum)

    @property
    def share(self) -> float | None:
        """The part that is better; None of no children."""
        return self.improved / self.children if self.children else None

    @property
    def rank(self) -> float | None:
        """Mean rank of the children (R), 1/2 where they gain what others gain; None of no children."""
        return self.rank_sum / self.children if self.children else None


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
        Estimated rank of its children (Q).
    """

    probability: float
    credit: Credit = Credit()
    quality: float = 0.5


def operator_names() -> tuple[str, ...]:
    """Return the names of all mutation operators."""
    return tuple(MUTATIONS)


def credits_of(members: Iterable[Individual], generation: int, operators: Iterable[str]) -> dict[str, Credit]:
    """Return what came of operators in one generation, by name.

    A child of several operators counts for each of them once. The reward of a parent is the one that it was chosen
    for, under the conditions of its own generation. Elites, migrants, newcomers and children of parents that have
    failed count for nobody. Who was stopped in a race is not better than its parent, and ranks below those who came
    further; who has failed ranks last.

    Parameters
    ----------
    members
        Evaluated individuals.
    generation
        Number of their generation; those that were born earlier have been counted.
    operators
        Names.
    """
    credits = dict.fromkeys(operators, Credit())
    born = [one for one in members if one.born == generation and one.operators and one.parent_reward is not None]
    for member, rank in zip(born, _ranks([_gain(one) for one in born]), strict=True):
        progress, gain = _gain(member)
        one = Credit(1, int(progress == inf and gain > 0.0), rank)
        credits |= {name: credits[name] + one for name in set(member.operators) & credits.keys()}
    return credits


def _gain(child: Individual) -> tuple[float, float]:
    """How far a child came in learning, and by how much it is better than its parent."""
    assert child.parent_reward is not None
    return child.progress, child.reward - child.parent_reward


def _ranks(values: list[tuple[float, float]]) -> list[float]:
    """The share of all values that each exceeds, where equal ones and the value itself count half."""
    ordered = sorted(values)
    return [(bisect_left(ordered, one) + bisect_right(ordered, one)) / (2 * len(ordered)) for one in values]


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
        name: replace(one, credit=one.credit + credits[name], quality=_estimated(one.quality, credits[name]))
        for name, one in standings.items()
    }


def _estimated(quality: float, credit: Credit) -> float:
    """An estimate after as many steps as there are children."""
    for _ in range(credit.children):
        quality += QUALITY_RATE * (credit.rank_sum / credit.children - quality)
    return quality


def pursued(standings: Mapping[str, Standing], asked: Mapping[str, float]) -> dict[str, Standing]:
    """Return operators with probabilities that are a step nearer to drawing the best of them most.

    Parameters
    ----------
    standings
        With present estimates.
    asked
        Probabilities that operators began with, by name; they add up to 1.
    """
    highest = max((one.quality for one in standings.values()), default=0.0)
    best = {name for name, one in standings.items() if highest - one.quality <= TOLERANCE}
    shared = sum(asked[name] for name in standings if name in best)
    found = {}
    for name, one in standings.items():
        aim = FLOOR * asked[name] + ((1.0 - FLOOR) * asked[name] / shared if name in best else 0.0)
        found[name] = replace(one, probability=one.probability + PURSUIT_RATE * (aim - one.probability))
    return found
