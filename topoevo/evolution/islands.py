"""Islands: parts of a population that breed apart, so that not all descend from the first network that works.

Cantú-Paz 1998, A survey of parallel genetic algorithms: multiple demes on a ring. Differs in that a migrant is a copy
that joins the children of the next island, and in that an island may have a goal of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from topoevo.errors import ParamsError


@dataclass(frozen=True)
class Islands:
    """Who of a population lives where: a function of the place in it alone.

    Every generation but the first has the elites of all islands first, island by island, then their children.

    Parameters
    ----------
    num_islands
        How many there are; 1 is a population that is not divided.
    size
        Individuals on each.
    num_elites
        Of these, how many go on unchanged.
    migration_every
        Generations between migrations; 0 keeps islands apart for ever.
    """

    num_islands: int
    size: int
    num_elites: int
    migration_every: int = 0

    @staticmethod
    def of(population_size: int, num_islands: int, elite_ratio: float, migration_every: int = 0) -> Islands:
        """Return equal parts of a population.

        Raises
        ------
        ParamsError
            If it cannot be divided evenly.
        """
        size, rest = divmod(population_size, num_islands)
        if rest:
            raise ParamsError(f"population_size {population_size} is no multiple of {num_islands} islands")
        return Islands(num_islands, size, fraction_of(size, elite_ratio), migration_every)

    @property
    def total_elites(self) -> int:
        """Individuals that go on unchanged, on all islands together; they have the first places."""
        return self.num_islands * self.num_elites

    def island(self, generation: int, place: int) -> int:
        """Return on which island an individual lives.

        Parameters
        ----------
        generation, place
            Number of its generation, and its place in it.
        """
        if generation == 0:
            return place // self.size
        if place < self.total_elites:
            return place // self.num_elites
        return (place - self.total_elites) // (self.size - self.num_elites)

    def members(self, generation: int, island: int) -> list[int]:
        """Return the places of those who live on an island, ascending."""
        if generation == 0:
            return list(range(island * self.size, (island + 1) * self.size))
        num_children, first = self.size - self.num_elites, self.total_elites
        elites = range(island * self.num_elites, (island + 1) * self.num_elites)
        return [*elites, *range(first + island * num_children, first + (island + 1) * num_children)]

    def origin(self, generation: int, place: int) -> int | None:
        """Return from which island a child is a migrant, or None if it is none.

        The first child of every island is one where it is time. Islands lie on a ring, on which migrants go in one
        direction and the other by turns.

        Parameters
        ----------
        generation, place
            See `island`.
        """
        if self.num_islands == 1 or not self.migration_every or generation % self.migration_every:
            return None
        island, rank = divmod(place - self.total_elites, self.size - self.num_elites)
        direction = 1 if generation // self.migration_every % 2 else -1
        return None if rank else (island + direction) % self.num_islands


def fraction_of(size: int, ratio: float) -> int:
    """Return the whole individuals in a fraction of a population: 29 for .29 of 100, although .29 * 100 < 29."""
    return int(ratio * size + 1e-9)
