"""Compare the published settings of each learning rule on MNIST with the improved ones, at the same budget.

    python benchmarks/improved_settings.py --data_dir DIR --seeds 0 1 2
    python benchmarks/improved_settings.py --data_dir DIR --seeds 0 --as_shipped

For each rule and seed, first ``params/wlnn/mnist-<rule>.yaml``, then ``mnist-<rule>-best.yaml``, both with 40
individuals, 100 generations, 2 epochs of 10,000 training samples, 10 epochs of 55,000 for the champion, and 5,000
samples held out to choose it. The improved run may grow no network larger than the published run's champion. Since
improved networks inherit weights and published ones do not, the table also has the mean test accuracy of both
champions' topologies trained from new weights for as many epochs as the champion in the end (``--control random``),
and that of random networks of their sizes.

``--as_shipped`` runs the improved files with their own budget, and compares with the figures published for full runs.

Ends with status 1 if an improved run is not better, or larger.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import topoevo
from topoevo.network import compile_network

ROOT = Path(__file__).resolve().parents[1]
#: Test accuracy and connections of the champions of Rieke 2020.
PUBLISHED = {
    "backprop": (0.89884, 854),
    "feedback_alignment": (0.88802, 1767),
    "hebbian": (0.77464, 362),
    "last_layer": (0.67418, 355),
}
BUDGET = {
    "population_size": 40,
    "num_generations": 100,
    "num_samples": 10_000,
    "num_epochs": 2,
    "final_epochs": 10,
    "validation_ratio": 0.0833334,
}
#: The published 32 of 180 individuals, in a population of 40.
PUBLISHED_TOURNAMENT = 7


@dataclass(frozen=True)
class Row:
    """One run."""

    rule: str
    settings: str
    seed: int
    test_accuracy: float
    connections: int
    into_outputs: int
    hidden_nodes: int
    from_new_weights: float
    random_of_its_size: float
    seconds: float


def main() -> None:
    """Run all rules and seeds, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--rules", nargs="+", default=list(PUBLISHED), choices=PUBLISHED)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--num_controls", type=int, default=5, help="trainings from new weights")
    parser.add_argument("--as_shipped", action="store_true", help="improved files alone, with their own budget")
    parser.add_argument("--json", type=Path, help="file for the rows")
    given = parser.parse_args()
    computation = {
        "data_dir": given.data_dir,
        "num_workers": given.num_workers,
        "test_every": 0,
        "control": "random",
        "num_controls": given.num_controls,
    }
    print(
        f"{'rule':<20}{'settings':<11}{'seed':>4}{'test':>8}{'connections':>13}{'into outputs':>14}"
        f"{'hidden nodes':>14}{'new weights':>13}{'random':>8}{'seconds':>9}"
    )
    rows = []
    for rule in given.rules:
        for seed in given.seeds:
            flags = computation | {"seed": seed}
            if not given.as_shipped:
                tournament = {"tournament_size": PUBLISHED_TOURNAMENT}
                published = run(rule, "published", flags | BUDGET | tournament)
                rows.append(published)
                flags |= BUDGET | {"max_connections": published.connections}
            rows.append(run(rule, "improved", flags))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    sys.exit(0 if judge(rows) else 1)


def run(rule: str, settings: str, flags: Mapping[str, object]) -> Row:
    """Run one parameter file, and print its row."""
    file = ROOT / "params" / "wlnn" / f"mnist-{rule}{'-best' if settings == 'improved' else ''}.yaml"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = [word for name, value in {**flags, "out_dir": out}.items() for word in (f"--{name}", str(value))]
        subprocess.run([sys.executable, ROOT / "run_wlnn.py", file, *words], check=True, stdout=subprocess.DEVNULL)
        result = json.loads((out / "result.json").read_text())
        champion = topoevo.load_network(out).file.genome
        controls = json.loads((out / "controls-random.json").read_text())
    network = compile_network(champion)
    row = Row(
        rule=rule,
        settings=settings,
        seed=result["seed"],
        test_accuracy=result["champion"]["test_accuracy"],
        connections=result["champion"]["connections"],
        into_outputs=int(np.count_nonzero(network.into_output & ~network.from_bias)),
        hidden_nodes=champion.complexity.hidden,
        from_new_weights=controls["champion"]["retrained"]["mean"],
        random_of_its_size=controls["controls"]["trained"]["mean"],
        seconds=result["seconds"],
    )
    print(
        f"{rule:<20}{settings:<11}{row.seed:>4}{row.test_accuracy:>8.4f}{row.connections:>13}{row.into_outputs:>14}"
        f"{row.hidden_nodes:>14}{row.from_new_weights:>13.4f}{row.random_of_its_size:>8.4f}{row.seconds:>9.0f}",
        flush=True,
    )
    return row


def judge(rows: Iterable[Row]) -> bool:
    """Print means over seeds and whether every improved run is better and no larger; return whether all are."""
    print()
    verdicts = []
    rows = list(rows)
    for rule in dict.fromkeys(row.rule for row in rows):
        improved = [row for row in rows if (row.rule, row.settings) == (rule, "improved")]
        published = {
            row.seed: (row.test_accuracy, row.connections)
            for row in rows
            if (row.rule, row.settings) == (rule, "published")
        }
        bars = [published.get(row.seed, PUBLISHED[rule]) for row in improved]
        better = [
            row.test_accuracy > accuracy and row.connections <= connections
            for row, (accuracy, connections) in zip(improved, bars, strict=True)
        ]
        verdicts += better
        print(
            f"{rule:<20} published {np.mean([bar[0] for bar in bars]):.4f} at {np.mean([bar[1] for bar in bars]):.0f}, "
            f"improved {np.mean([row.test_accuracy for row in improved]):.4f} at "
            f"{np.mean([row.connections for row in improved]):.0f} connections: "
            f"better and no larger in {sum(better)} of {len(better)} runs"
        )
    return all(verdicts)


if __name__ == "__main__":
    main()
