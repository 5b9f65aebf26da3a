"""Reproduction in the course of a run: what its operators have achieved, and how often each is drawn therefore."""

from __future__ import annotations

from collections.abc import Mapping

from topoevo.evolution import Population
from topoevo.evolution.credit import Credit, Standing, credited, credits_of, pursued, standings_of
from topoevo.evolution.reproduction import Reproduction
from topoevo.experiment.params import Params


class Breeding:
    """How generations follow each other.

    Parameters
    ----------
    params
        Settings.
    reproduction
        As the settings describe it.
    standings
        Of a checkpoint, by name of the operator; empty where a run begins.

    Attributes
    ----------
    reproduction
        With operators as they are drawn now.
    standings
        What they have achieved so far.
    """

    def __init__(self, params: Params, reproduction: Reproduction, standings: Mapping[str, Standing]) -> None:
        known = standings_of(params.mutation_probabilities())
        self.standings = {name: standings.get(name, one) for name, one in known.items()}
        self._asked = {name: one.probability for name, one in known.items()}
        self.reproduction = reproduction
        self._adapts = params.adapt_probabilities != "none"
        self._draw()

    @property
    def probabilities(self) -> dict[str, float]:
        """With which operators are drawn now, by name; empty where these never change."""
        return {name: one.probability for name, one in self.standings.items()} if self._adapts else {}

    def learn(self, population: Population) -> dict[str, Credit]:
        """Return what came of each operator in an evaluated generation, having drawn conclusions from it."""
        credits = credits_of(population.members, population.generation, self.standings)
        self.standings = credited(self.standings, credits)
        if self._adapts:
            self.standings = pursued(self.standings, self._asked)
            self._draw()
        return credits

    def _draw(self) -> None:
        """Have operators drawn as they stand."""
        if self._adapts:
            self.reproduction = self.reproduction.drawing(self.probabilities)
