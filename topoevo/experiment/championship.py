"""The best network so far: how it is found in a generation, confirmed, and finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, Protocol

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.moments import Moments
from topoevo.experiment.finishing import kept_after
from topoevo.experiment.params import Params
from topoevo.experiment.problem import Problem
from topoevo.experiment.records import Champion, Failure, TaskScore
from topoevo.genome import Genome
from topoevo.kernels import load_kernel
from topoevo.learning import LEARNING_RULES
from topoevo.seeds import Stream

#: Addresses within the stream of confirmations; 0 is that of the minibatches.
CONFIRMING, FINAL = 1, 2


class Confirm(Protocol):
    """Evaluates one genome on fresh random numbers of the stream of confirmations."""

    def __call__(
        self,
        genome: Genome,
        shared: Any,
        *,
        generation: int,
        index: int,
        num_epochs: int = 0,
        moments: Moments | None = None,
        decay_factor: float = 1.0,
    ) -> Evaluation:
        """Return the evaluation.

        Parameters
        ----------
        genome, shared
            What, and on what.
        generation, index
            Address within the stream.
        num_epochs
            Of a training that has another length than those of a generation; else 0.
        moments
            What the optimizer begins with; None is nothing.
        decay_factor
            Times the weight decay of the settings.
        """


#: Returns the score of a genome on ``train`` or ``test``.
Score = Callable[[str, Genome], TaskScore]


class Championship:
    """Who is champion, and whose turn it was to become it.

    Parameters
    ----------
    params, problem
        Settings, and what scores networks.
    champion, confirmed
        What a checkpoint has of these two.
    passed_on
        Gives the genome that an individual hands to the next generation.
    announce, announce_failure
        Told of every new champion, of its test, and of a confirmation that has failed.

    Attributes
    ----------
    champion
        Best network so far, or None.
    confirmed
        Digests of the genomes that were candidates and may become candidates again.
    """

    def __init__(
        self,
        params: Params,
        problem: Problem,
        *,
        champion: Champion | None,
        confirmed: frozenset[str],
        passed_on: Callable[[Individual], Genome],
        announce: Callable[[Champion], None],
        announce_failure: Callable[[Failure], None],
    ) -> None:
        self.champion = champion
        self.confirmed = confirmed
        self._params = params
        self._problem = problem
        self._passed_on = passed_on
        self._announce = announce
        self._announce_failure = announce_failure

    def hold(self, population: Population, confirm: Confirm) -> None:
        """Train the generation's best once more on fresh random numbers; crown it if it is still better.

        Without the second training, the champion would be the luckiest instead of the best. Where weights evolve and
        nothing is learned, the candidate keeps its weights. Where samples that are held out have made its reward, it is
        crowned with the weights that were judged. Who was stopped in a race is no candidate.

        Parameters
        ----------
        population
            Evaluated.
        confirm
            Trains.
        """
        candidate = max(population.members, key=lambda member: member.merit)
        evaluation = candidate.evaluation
        if self._weights_evolve:
            candidate = replace(candidate, genome=self._passed_on(candidate))
        # Whoever has left the population does not come back; remembering the others is enough.
        self.confirmed &= {member.genome.digest for member in population.members}
        if evaluation is None or candidate.progress < inf or candidate.genome.digest in self.confirmed:
            return
        self.confirmed |= {candidate.genome.digest}
        generation = population.generation
        if self._params.rewards_held_out:
            assert evaluation.weights is not None
            self._challenge(replace(candidate, genome=candidate.genome.with_weights(evaluation.weights)), generation)
            return
        shared = self._problem.shared(Stream.CONFIRMATION, generation)
        again = confirm(candidate.genome, shared, generation=generation, index=CONFIRMING, moments=candidate.moments)
        if again.failure or again.weights is None:
            failed = candidate.evaluated(again)
            self._announce_failure(Failure(failed, Stream.CONFIRMATION, generation, CONFIRMING))
            return
        trained = replace(candidate, genome=candidate.genome.with_weights(again.weights))
        score = self._problem.confirmed(trained.genome, again, load_kernel(self._params.kernel_name))
        self._challenge(trained, generation, score)

    def _challenge(self, trained: Individual, generation: int, score: TaskScore | None = None) -> None:
        """Crown an individual if it is better than the champion; without a score, it is scored on training samples."""
        if score is None:
            score = self._problem.score("train", trained.genome, load_kernel(self._params.kernel_name))
        contender = self._scored(Champion(trained, generation, train=score))
        if self.champion is None or contender.selection_reward > self.champion.selection_reward:
            self.champion = contender
            self._announce(contender)

    def train_to_the_end(self, confirm: Confirm, score: Score, *, decay_factor: float = 1.0) -> Evaluation | None:
        """Train the champion for ``final_epochs``; `kept_after` says which weights it has then.

        Parameters
        ----------
        confirm, score
            Trains, and scores on ``train``.
        decay_factor
            Times the weight decay of the settings.

        Returns
        -------
        Evaluation or None
            Of the training, which may have failed; None without a champion.
        """
        champion = self.champion
        if champion is None:
            return None
        generation, num_epochs = self._params.num_generations, self._params.final_epochs
        shared = self._problem.shared(Stream.CONFIRMATION, generation, num_epochs=num_epochs)
        genome = champion.individual.genome
        again = confirm(
            genome, shared, generation=generation, index=FINAL, num_epochs=num_epochs, decay_factor=decay_factor
        )
        if again.weights is None:
            return again
        trained = replace(champion.individual, genome=genome.with_weights(again.weights))
        train = score("train", trained.genome)
        contender = self._scored(Champion(trained, champion.generation, train=train, decay_factor=decay_factor))
        self.champion = kept_after(champion, contender, with_all=self._params.final_samples == "all")
        return again

    def test(self, score: Score) -> None:
        """Score the champion on the test samples, unless that was done."""
        if self.champion is None or self.champion.test is not None:
            return
        self.champion = replace(self.champion, test=score("test", self.champion.individual.genome))
        self._announce(self.champion)

    def _scored(self, champion: Champion) -> Champion:
        """The champion with its score on the validation samples, if there are any."""
        if not self._problem.has_validation:
            return champion
        genome = champion.individual.genome
        score = self._problem.score("validation", genome, load_kernel(self._params.kernel_name))
        return replace(champion, validation=score)

    @property
    def _weights_evolve(self) -> bool:
        """Whether the weights of an individual are its own, like its topology."""
        learns = LEARNING_RULES[self._params.learning_rule].changes_weights
        return self._params.inherit_weights and not learns and not self._params.is_weight_agnostic
