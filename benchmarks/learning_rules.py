"""Evolve under four learning rules, compare with random networks: Rieke's experiment on a small scale.

    python benchmarks/learning_rules.py --data_dir DIR --seeds 0 1 2

For each rule, the published settings of ``params/wlnn/mnist-<rule>.yaml`` with a smaller budget: 180 individuals, 100
generations, 2 epochs of 10,000 training samples. The champion's topology is then trained for 10 epochs on 55,000
samples, 20 times from new weights, and so are 20 random networks of its size (``--control random``). Prints a table,
and whether the champion beats the best random network and the rules come out in the published orders.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RULES = ("backprop", "feedback_alignment", "hebbian", "last_layer")
BUDGET = {
    "population_size": 180,
    "num_generations": 100,
    "tournament_size": 32,
    "num_samples": 10_000,
    "num_epochs": 2,
    "final_epochs": 10,
    "validation_ratio": 0.0833334,
    "test_every": 0,
    "control": "random",
    "num_controls": 20,
}


def main() -> None:
    """Run all rules and seeds, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the rows")
    given = parser.parse_args()
    rows = []
    print("rule                 seed  connections  evolved  random mean     sd    max  seconds")
    for rule in given.rules:
        for seed in given.seeds:
            row = experiment(rule, seed, given.data_dir, given.num_workers)
            rows.append(row)
            print(
                f"{rule:<20}{seed:>5}{row['connections']:>13}{row['evolved']:>9.4f}{row['random_mean']:>13.4f}"
                f"{row['random_sd']:>7.4f}{row['random_max']:>7.4f}{row['seconds']:>9.0f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")
    judge(rows)


def experiment(rule: str, seed: int, data_dir: str, num_workers: int) -> dict[str, Any]:
    """One run with its controls."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        flags = BUDGET | {"seed": seed, "data_dir": data_dir, "num_workers": num_workers, "out_dir": out}
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        file = ROOT / "params" / "wlnn" / f"mnist-{rule}.yaml"
        subprocess.run([sys.executable, ROOT / "run_wlnn.py", file, *words], check=True, stdout=subprocess.DEVNULL)
        result = json.loads((out / "result.json").read_text())
        controls = json.loads((out / "controls-random.json").read_text())
    return {
        "rule": rule,
        "seed": seed,
        "connections": result["champion"]["connections"],
        "evolved": controls["champion"]["retrained"]["mean"],
        "recorded": result["champion"]["test_accuracy"],
        "random_mean": controls["controls"]["trained"]["mean"],
        "random_sd": controls["controls"]["trained"]["std"],
        "random_max": controls["controls"]["trained"]["max"],
        "num_beaten": controls["num_beaten"],
        "seconds": result["seconds"],
    }


def judge(rows: list[dict[str, Any]]) -> None:
    """Print means over seeds, and whether the published orders hold."""
    print()
    mean = {
        rule: {
            key: float(np.mean([row[key] for row in rows if row["rule"] == rule])) for key in ("evolved", "connections")
        }
        for rule in dict.fromkeys(row["rule"] for row in rows)
    }
    beaten = sum(row["evolved"] > row["random_max"] for row in rows)
    print(f"evolved beats the best of 20 random networks: {beaten} of {len(rows)} runs")
    if set(mean) == set(RULES):
        bp, fa, hebbian, last = (mean[rule] for rule in RULES)
        accuracies = bp["evolved"] >= fa["evolved"] > hebbian["evolved"] > last["evolved"]
        sizes = fa["connections"] > bp["connections"] > hebbian["connections"] >= last["connections"]
        print(f"accuracy BP >= FA > Hebbian > last layer: {'yes' if accuracies else 'NO'}")
        print(f"size FA > BP > Hebbian >= last layer: {'yes' if sizes else 'NO'}")
    for rule, values in mean.items():
        print(f"mean of {rule:<20} accuracy {values['evolved']:.4f}, {values['connections']:.0f} connections")


if __name__ == "__main__":
    main()
