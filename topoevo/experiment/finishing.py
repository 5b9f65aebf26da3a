"""The final training, a stage of its own after evolution: its weight decay, and which weights are kept.

Children draw their weight decay, and the one that suits a size best is often not the middle of what they draw. Without
a trial, the final training would lead the champion's weights away from where they are good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

from topoevo.evolution import Evaluation
from topoevo.experiment.records import Champion
from topoevo.genome import Genome


def best_factors(
    genomes: Sequence[Genome],
    tried: Mapping[float, Sequence[Evaluation]],
    reward: Callable[[Genome], float],
) -> list[float | None]:
    """Return the factor of the weight decay that suits each genome, None where all trainings have failed.

    Parameters
    ----------
    genomes
        Before the final training.
    tried
        By factor, what training with it on the training samples alone has led to, in the order of `genomes`.
    reward
        Of a genome with weights, on samples that it has not learned from; of equal ones the first is taken.
    """
    best: list[tuple[float, float | None]] = [(-inf, None)] * len(genomes)
    for factor, evaluations in tried.items():
        for place, (genome, evaluation) in enumerate(zip(genomes, evaluations, strict=True)):
            if evaluation.weights is None:
                continue
            found = reward(genome.with_weights(evaluation.weights))
            if found > best[place][0]:
                best[place] = found, factor
    return [factor for _, factor in best]


def kept_after(before: Champion, after: Champion, *, with_all: bool) -> Champion:
    """Return a network with the weights that it has after its final training.

    Parameters
    ----------
    before, after
        With scores.
    with_all
        Whether it has learned from the validation samples, too: then nothing is left that could tell, it has the new
        weights, and the validation score is that of the earlier ones. Else it keeps the earlier weights unless the new
        ones are better.
    """
    if with_all:
        return replace(after, validation=before.validation, knows_validation=before.validation is not None)
    return after if after.selection_reward > before.selection_reward else before
