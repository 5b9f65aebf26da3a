"""Racing: trainings of one generation run side by side, and at every rung the worse part of them is stopped.

Successive halving (Karnin, Koren & Somekh 2013, algorithm 3; Jamieson & Talwalkar 2016, figure 3), with rungs at a
geometric series of training lengths (Li et al. 2018, Hyperband, algorithm 1, one bracket). Differs in that whoever
comes further goes on with the weights that it has, instead of beginning anew, and in that every island has its own
race.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topoevo.evolution.islands import Islands
from topoevo.evolution.population import Population
from topoevo.evolution.selection import ranking


@dataclass(frozen=True)
class Racing:
    """Who races, how far, and who goes on.

    Parameters
    ----------
    rate
        One in so many goes on at each rung.
    num_rungs
        Parts of a training, the last of which ends with it.
    islands
        Who lives where, and who goes on from generation to generation unchanged: these do not race.
    num_newcomers
        Individuals in the last places that do not race, either: they would always lose to those who have inherited.
    """

    rate: int
    num_rungs: int
    islands: Islands
    num_newcomers: int = 0

    def stops(self, num_steps: int) -> list[int]:
        """Return after how many steps of a training each rung ends, ascending; rungs that would be empty are left out.

        Parameters
        ----------
        num_steps
            Of the whole training, at least 1.
        """
        return sorted({-(-num_steps // self.rate**power) for power in range(self.num_rungs)})

    def rungs(self, num_steps: Sequence[int]) -> list[tuple[int, ...]]:
        """Return after how many steps each rung ends, for trainings of several lengths.

        Parameters
        ----------
        num_steps
            Of each whole training. One that has fewer rungs than others is at its end before them.
        """
        each = [self.stops(one) for one in num_steps]
        most = max(len(stops) for stops in each)
        return list(zip(*(stops + stops[-1:] * (most - len(stops)) for stops in each), strict=True))

    def racers(self, generation: int) -> list[int]:
        """Return the places of those who race in a generation, ascending."""
        size = self.islands.num_islands * self.islands.size
        return list(range(0 if generation == 0 else self.islands.total_elites, size - self.num_newcomers))

    def stopped(
        self, generation: int, started: Collection[int], passed: Collection[int], rewards: Mapping[int, float]
    ) -> list[int]:
        """Return the places of those who are stopped at the end of a rung, ascending.

        On each island the better ``1 / rate`` of those who have started the rung go on, at least one of them. In
        generation 0 at least as many go on as there will be elites; later there are elites who have not raced.

        Parameters
        ----------
        generation
            Its number.
        started
            Places of all who have started the rung.
        passed
            Those of them who are known to have gone on, from an earlier process.
        rewards
            Of the others, but for those who have failed; of equal ones the first is better.
        """
        islands = self.islands
        least = max(1, islands.num_elites) if generation == 0 else 1
        found = []
        for island in range(islands.num_islands):
            here = set(islands.members(generation, island))
            num_going_on = max(least, len(here.intersection(started)) // self.rate)
            ranked = sorted(here.intersection(rewards), key=lambda place: (-rewards[place], place))
            found += ranked[max(num_going_on - len(here.intersection(passed)), 0) :]
        return sorted(found)


@dataclass(frozen=True)
class Saving:
    """What racing has saved.

    Parameters
    ----------
    num_steps
        Steps of learning without it, over all trainings: one that diverged has only those before that.
    num_saved
        Those of them that were not taken, since trainings were stopped.
    """

    num_steps: int = 0
    num_saved: int = 0

    def __add__(self, other: Saving) -> Saving:
        return Saving(self.num_steps + other.num_steps, self.num_saved + other.num_saved)

    @property
    def share(self) -> float | None:
        """The part that was saved; None of nothing."""
        return self.num_saved / self.num_steps if self.num_steps else None


def ranking_by_progress(population: Population, objectives: NDArray[np.float64], *, crowding: str) -> NDArray[np.int64]:
    """Return the individuals from best to worst, int64 [num_individuals]: those first who came furthest in learning.

    What was stopped is no match for what was trained to the end, whatever its reward; those who came equally far are
    ranked by `ranking`, and those who have failed are the last.

    Parameters
    ----------
    population
        Evaluated individuals.
    objectives, crowding
        See `topoevo.evolution.selection.ranking`.
    """
    progress = np.array([member.progress for member in population.members])
    groups = [np.flatnonzero(progress == value) for value in np.unique(progress)[::-1]]
    return np.concatenate([group[ranking(objectives[group], crowding=crowding)] for group in groups])
