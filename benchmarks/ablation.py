"""What each part of informed search is worth: the same search without it.

    python benchmarks/ablation.py --data_dir DIR [--max_connections 300] [--seeds 0 1 2] [--out rows.jsonl]
    python benchmarks/ablation.py --summarize rows.jsonl

Runs ``params/wlnn/mnist-smallest.yaml`` with a smaller population and without its final training as it is, then with
one change at a time, each with every seed, and writes a row of JSON as each run ends; rows that are there are not run
again. All have the same number of children, but for "little growth, short training", which has more, each with fewer
epochs. The summary is a table of the losses and accuracies on validation samples, which the search has seen, of the
test accuracy, which it has not, and of what each change costs in loss, seed by seed: more than the search as it is, or
where elites are trained again more than the search in which nothing else is changed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from frontier_methods.searching import first_networks

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "params" / "wlnn" / "mnist-smallest.yaml"
#: Inputs times outputs of MNIST.
NUM_PAIRS = 2560
#: Settings that differ from the file, by what they take away or add.
CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no distorted copies": {"distorted_copies": 0},
    "growth closer to gradients": {"grow_connection_noise_max": 1.5},
    "growth by chance": {"grow_connection_criterion": "random"},
    "growth and new nodes by chance": {"grow_connection_criterion": "random", "p_grow_node": 0, "p_add_node": 0.1},
    "little growth, short training": {
        "grow_connection_growth_min": 0.02,
        "grow_connection_growth_max": 0.4,
        "num_epochs": 4,
        "population_size": 105,
        "cull_ratio": 0.83,
        "elite_ratio": 0.15,
    },
    "little growth": {"grow_connection_growth_min": 0.02, "grow_connection_growth_max": 0.4},
    "pruning by magnitude": {"pruning": "magnitude"},
    "relu alone": {"activations": ["relu"], "p_change_activation": 0},
    "no change_activation": {"p_change_activation": 0},
    "no grow_node": {"p_grow_node": 0},
    "with rewire_connection": {"p_rewire_connection": 0.2},
    "with prune_node": {"p_prune_node": 0.1},
    "with merge_nodes": {"p_merge_nodes": 0.1},
    "first networks sparse": {"initial_networks": "sparse"},
    "first networks trained four times as long": {"initial_epochs": 60},
    "new weights for every child": {"inherit_weights": False, "train_elites": True},
    "elites trained again": {"train_elites": True},
    "reward of the training alone": {"reward_data": "training", "train_elites": True},
    "reward of validation alone": {"reward_data": "validation"},
    "one rate for all": {"lr_spread": 1},
    "no weight decay": {"weight_decay": 0},
    "label smoothing .05": {"label_smoothing": 0.05},
    "weight averaging .2": {"weight_averaging": 0.2},
    "one population": {"num_islands": 1, "elite_ratio": 0.625},
    "islands apart": {"migration_every": 0},
    "optimizer state inherited": {"inherit_optimizer_state": True},
    "racing 2": {"racing": 2},
    "adaptive probabilities": {"adapt_probabilities": "pursuit"},
}
#: What a change is compared with, where that is not "as it is": these train elites again, which costs trainings.
REFERENCES = {
    "new weights for every child": "elites trained again",
    "reward of the training alone": "elites trained again",
}
#: Arguments that a search depends on; rows of others are not mixed.
ARGUMENTS = ("max_connections", "num_generations", "population_size")


def main() -> None:
    """Run what is missing, and summarize."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder with the IDX files of MNIST")
    parser.add_argument("--max_connections", type=int, default=300)
    parser.add_argument("--num_generations", type=int, default=24)
    parser.add_argument("--population_size", type=int, default=24)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=CHANGES)
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--summarize", type=Path, help="file of rows; nothing is run")
    given = parser.parse_args()
    if given.summarize is None:
        asked = {name: getattr(given, name) for name in ARGUMENTS}
        if any({name: row.get(name) for name in ARGUMENTS} != asked for row in _rows(given.out)):
            parser.error(f"{given.out} has rows of searches with other arguments; name another file with --out")
        done = {(row["change"], row["seed"]) for row in _rows(given.out)}
        todo = [(seed, change) for seed in given.seeds for change in given.changes if (change, seed) not in done]
        for number, (seed, change) in enumerate(todo, 1):
            row = _run(change, seed, given)
            print(
                f"{number} of {len(todo)}: {change}, seed {seed}: {row['validation']:.4f}", file=sys.stderr, flush=True
            )
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
    _summarize(_rows(given.summarize or given.out))


def settings_of(change: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Return what a search has for flags.

    Parameters
    ----------
    change, seed
        Name of the change, and seed.
    given
        ``max_connections``, ``num_generations``, ``population_size`` and ``data_dir``.
    """
    return {
        "max_connections": given.max_connections,
        "num_generations": given.num_generations,
        "population_size": given.population_size,
        "data_dir": given.data_dir,
        "final_epochs": 0,
        "final_samples": "training",
        "seed": seed,
        **CHANGES[change],
        **(first_networks(NUM_PAIRS, given.max_connections) if "initial_networks" in CHANGES[change] else {}),
    }


def _run(change: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """One search."""
    settings = settings_of(change, seed, given)
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "run_wlnn.py"), str(FILE), "--out_dir", str(Path(folder) / "run")]
        for name, value in settings.items():
            if value is not None:
                values = value if isinstance(value, list) else [value]
                command += [f"--{name}", *(str(one).lower() if isinstance(one, bool) else str(one) for one in values)]
        found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if found.returncode:
            raise SystemExit(f"{change}: {found.stderr or found.stdout}")
        result = json.loads((Path(folder) / "run" / "result.json").read_text())
    return {
        "change": change,
        "seed": seed,
        **{name: getattr(given, name) for name in ARGUMENTS},
        "validation_loss": -result["champion"]["validation_reward"],
        "validation": result["champion"]["validation_accuracy"],
        "test": result["champion"]["test_accuracy"],
        "connections": result["champion"]["connections"],
        "evaluations": result["evaluations"],
        "sample_passes": result["sample_passes"],
        "seconds": time.time() - started,
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none if there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _summarize(rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table, the smallest validation loss first."""
    columns = ("validation loss", "more than its reference", "validation accuracy", "test accuracy", "passes", "seeds")
    print(f"| change | {' | '.join(columns)} |\n|" + (len(columns) + 1) * "---|")
    losses = {(row["change"], row["seed"]): row["validation_loss"] for row in rows}
    changes = {row["change"]: [one for one in rows if one["change"] == row["change"]] for row in rows}
    for change, mine in sorted(
        changes.items(), key=lambda item: float(np.mean([row["validation_loss"] for row in item[1]]))
    ):
        name = REFERENCES.get(change, "as it is")
        reference = [(row["validation_loss"], losses.get((name, row["seed"]))) for row in mine]
        cells = [
            _spread([row["validation_loss"] for row in mine]),
            _spread([loss - other for loss, other in reference if other is not None], sign="+"),
            _spread([row["validation"] for row in mine]),
            _spread([row["test"] for row in mine]),
            f"{np.mean([row['sample_passes'] for row in mine]) / 1e6:.0f} M",
            str(len(mine)),
        ]
        print(f"| {change} | {' | '.join(cells)} |")


def _spread(values: list[float], sign: str = "") -> str:
    """Mean and standard deviation."""
    if not values:
        return ""
    deviation = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.4f}{deviation}"


if __name__ == "__main__":
    main()
