"""The best network at each of several sizes: how they are found, finished, and measured together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.islands import Islands
from topoevo.experiment.championship import Score
from topoevo.experiment.finishing import kept_after
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Problem
from topoevo.experiment.records import Champion
from topoevo.genome import Genome
from topoevo.kernels import load_kernel
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Front:
    """The best network of each size so far.

    Parameters
    ----------
    sizes
        Largest numbers of connections, ascending.
    champions
        The best network with no more connections, by size; sizes that have none are left out.
    reference_loss
        What `hypervolume` is measured from: the loss of a network that always says the same.
    num_improved
        Sizes whose network is new since the generation before.
    """

    sizes: tuple[int, ...]
    champions: Mapping[int, Champion] = field(default_factory=dict)
    reference_loss: float = math.inf
    num_improved: int = 0

    @property
    def hypervolume(self) -> float:
        """The area of all (loss, log10 of a size) that some network of the front is not worse than.

        A network counts at the size that it is the best of, however much smaller it is: so the area never falls while
        networks evolve, also where one of fewer connections gives way to a better one. It is bounded by the loss of
        the best constant output and by twice the largest size; nats, or scaled squared units, times decades (Zitzler &
        Thiele 1998; of two objectives a sum of rectangles). Losses are those that networks are compared by: on the
        validation samples if there are any, else on the training samples.
        """
        points = [(-one.selection_reward, math.log10(size)) for size, one in self.champions.items()]
        return hypervolume(points, (self.reference_loss, math.log10(2 * self.sizes[-1])))

    def challenged(self, contenders: Iterable[Champion]) -> Front:
        """Return the front after networks have tried to be on it, each at all sizes that it is not too large for."""
        champions = dict(self.champions)
        for contender in contenders:
            for size in self.sizes:
                holder = champions.get(size)
                fits = contender.individual.genome.complexity.connections <= size
                if fits and (holder is None or contender.selection_reward > holder.selection_reward):
                    champions[size] = contender
        improved = sum(champions[size] is not self.champions.get(size) for size in champions)
        ordered = {size: champions[size] for size in self.sizes if size in champions}
        return replace(self, champions=ordered, num_improved=improved)

    @property
    def networks(self) -> list[Champion]:
        """The different networks of the front, the smallest first."""
        return list({id(one): one for one in self.champions.values()}.values())

    def replaced(self, networks: Mapping[int, Champion]) -> Front:
        """Return the front with other versions of its networks, by their place in `networks`."""
        places = {id(one): place for place, one in enumerate(self.networks)}
        champions = {size: networks.get(places[id(one)], one) for size, one in self.champions.items()}
        return replace(self, champions=champions)


def hypervolume(points: Iterable[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Return the area that points dominate within a reference point, both coordinates being minimized.

    Parameters
    ----------
    points
        Of any order; those that are not below the reference in both coordinates add nothing.
    reference
        The worst of both.
    """
    area, top = 0.0, reference[1]
    for first, second in sorted(points):
        if first < reference[0] and second < top:
            area += (reference[0] - first) * (top - second)
            top = second
    return area


def constant_loss(task: Task) -> float:
    """Return the least loss on the training samples of outputs that are the same for all of them.

    Parameters
    ----------
    task
        Classes, whose frequencies are then the best answer, or a regression, where it is the mean of the targets.
    """
    targets = task.train.targets
    if task.kind == "regression":
        best = targets.mean(axis=0, dtype=np.float64)
    else:
        best = np.bincount(targets, minlength=task.num_outputs) / len(targets)
        if task.loss == "cross_entropy":
            # A class that never comes is never asked for, either.
            best = np.log(np.maximum(best, np.finfo(np.float32).tiny))
    outputs = np.broadcast_to(best.astype(np.float32)[:, None], (task.num_outputs, len(targets)))
    return task.score(outputs, targets).loss


class FrontKeeper:
    """Who is on the front.

    Parameters
    ----------
    problem
        What scores networks.
    islands
        Who lives where.
    kernel_name
        Backend.
    front
        Until now.

    Attributes
    ----------
    front
        The best network of each size so far.

    Notes
    -----
    Networks are compared with the weights that their evaluation has left: these are kept, so that no luck of a training
    is in the score.
    """

    def __init__(self, problem: Problem, islands: Islands, kernel_name: str, front: Front) -> None:
        self.front = front
        self._problem = problem
        self._islands = islands
        self._kernel_name = kernel_name
        #: Individuals that were scored, with the digest of their genome: those who stay as they are, are not again.
        self._scored: dict[int, str] = {}

    @staticmethod
    def from_params(
        params: Params, task: Task | Environment, problem: Problem, front: Front | None
    ) -> FrontKeeper | None:
        """Return the keeper that the settings ask for, if they do.

        Parameters
        ----------
        params, task, problem
            Settings, samples, and what scores networks.
        front
            Of a checkpoint; None where a run begins.
        """
        if params.front_connections is None or not isinstance(task, Task):
            return None
        front = front or Front(params.front_connections, reference_loss=constant_loss(task))
        return FrontKeeper(problem, params.islands, params.kernel_name, front)

    @property
    def genomes(self) -> tuple[Genome, ...]:
        """Those of `Front.networks`."""
        return tuple(one.individual.genome for one in self.front.networks)

    def hold(self, population: Population) -> None:
        """Let the best of every island try. Who was stopped in a race is no candidate.

        Parameters
        ----------
        population
            Evaluated.
        """
        scored: dict[int, str] = {}
        contenders = []
        for island in range(self._islands.num_islands):
            members = [population.members[place] for place in self._islands.members(population.generation, island)]
            best = max(members, key=lambda member: member.merit)
            evaluation = best.evaluation
            if best.progress < math.inf or evaluation is None or evaluation.weights is None:
                continue
            trained = replace(best, genome=best.genome.with_weights(evaluation.weights), evaluation=None)
            scored[best.id] = trained.genome.digest
            if self._scored.get(best.id) != trained.genome.digest:
                contenders.append(self._contender(trained, population.generation, self._score))
        self._scored = scored
        self.front = self.front.challenged(contenders)

    def finish(
        self,
        evaluations: Sequence[Evaluation],
        score: Score,
        *,
        decay_factors: Sequence[float],
        with_all: bool = False,
    ) -> None:
        """Give the networks the weights of further training, as `kept_after` says.

        Parameters
        ----------
        evaluations
            Of `Front.networks`, in their order.
        score
            Scores genomes.
        decay_factors
            Times the weight decay of the settings, in each training.
        with_all
            Whether they have learned from the validation samples, too.
        """
        finished = {}
        parts = zip(self.front.networks, evaluations, decay_factors, strict=True)
        for place, (before, evaluation, factor) in enumerate(parts):
            if evaluation.weights is None:
                continue
            genome = before.individual.genome.with_weights(evaluation.weights)
            trained = replace(before.individual, genome=genome)
            after = replace(self._contender(trained, before.generation, score), decay_factor=factor)
            finished[place] = kept_after(before, after, with_all=with_all)
        front = self.front.replaced(finished)
        # A network that has gained more may be better than larger ones now.
        self.front = front.challenged(front.networks)

    def test(self, score: Score) -> None:
        """Score the networks on the test samples, each once."""
        tested = {
            place: replace(one, test=score("test", one.individual.genome))
            for place, one in enumerate(self.front.networks)
            if one.test is None
        }
        self.front = self.front.replaced(tested)

    def _contender(self, trained: Individual, generation: int | None, score: Score) -> Champion:
        """An individual with scores of its weights."""
        genome = trained.genome
        validation = score("validation", genome) if self._problem.has_validation else None
        return Champion(trained, generation, score("train", genome), validation)

    @property
    def _score(self) -> Score:
        """Scores a genome here."""
        return lambda part, genome: self._problem.score(part, genome, load_kernel(self._kernel_name))
