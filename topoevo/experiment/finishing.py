"""The final training, a stage of its own after evolution: how strongly weights are pulled to zero in it.

Children draw their weight decay, and the one that suits a size best is often not the middle of what they draw. Without
a trial, the final training would lead the champion's weights away from where they are good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

from topoevo.evolution import Evaluation
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
