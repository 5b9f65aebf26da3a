"""Time ranking and reproduction: what a generation costs besides evaluation.

python benchmarks/evolution.py --population_sizes 180 960 --num_connections 1201 --num_mutations 5
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from training import random_genome

from topoevo.evolution import Evaluation, Individual, Population
from topoevo.evolution.reproduction import Reproduction
from topoevo.evolution.selection import ranking
from topoevo.genome import Genome, InnovationTracker
from topoevo.variation import MUTATIONS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population_sizes", nargs="+", type=int, default=[180, 960])
    parser.add_argument("--num_connections", type=int, default=1201)
    parser.add_argument("--num_mutations", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the rows")
    given = parser.parse_args()
    genome = random_genome(256, 10, given.num_connections)
    reproduction = Reproduction(
        mutations={MUTATIONS["add_connection"](): 0.8, MUTATIONS["add_node"](): 0.2},
        cull_ratio=0.2,
        elite_ratio=0.2,
        tournament_size=32,
        num_mutations=given.num_mutations,
        inherit_weights=False,
    )
    rows = []
    print(f"{'population':>10}{'ranking ms':>12}{'reproduction ms':>17}")
    for size in given.population_sizes:
        rankings, reproductions = [], []
        for _ in range(given.repeats):
            population = evaluated(genome, size)
            started = time.perf_counter()
            order = ranking(population.objectives("reward", "simplicity"))
            ranked = time.perf_counter()
            tracker = InnovationTracker(10**6, 10**6)
            reproduction.next_generation(population, order, tracker=tracker, seed=0, next_id=size)
            rankings.append(ranked - started)
            reproductions.append(time.perf_counter() - ranked)
        rows.append(
            {
                "population_size": size,
                "num_connections": given.num_connections,
                "num_mutations": given.num_mutations,
                "ranking_seconds": min(rankings),
                "reproduction_seconds": min(reproductions),
            }
        )
        print(f"{size:>10}{1e3 * min(rankings):>12.1f}{1e3 * min(reproductions):>17.1f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def evaluated(genome: Genome, size: int) -> Population:
    """A population of networks that nothing is known of yet, with different rewards."""
    rewards = np.random.default_rng(0).normal(size=size)
    return Population(
        0,
        tuple(
            Individual(
                index,
                (),
                0,
                (),
                Genome(genome.nodes, genome.connections),
                Evaluation(float(reward), float(reward), None, None, 0.0),
            )
            for index, reward in enumerate(rewards)
        ),
    )


if __name__ == "__main__":
    main()
