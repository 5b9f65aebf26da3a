"""Measure the peak memory of a whole run with large networks.

    python benchmarks/memory.py --data_dir DIR --population_size 960 --num_connections 1201

Runs the program in a process of its own for a few generations, beginning with a population that is mutated from a
network of the given size, and prints the largest resident set that the process ever had.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training import random_genome

from topoevo.reporting.network_file import write_network


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params/wlnn/mnist-backprop.yaml"))
    parser.add_argument("--data_dir")
    parser.add_argument("--num_inputs", type=int, default=256)
    parser.add_argument("--num_outputs", type=int, default=10)
    parser.add_argument("--population_size", type=int, default=960)
    parser.add_argument("--num_connections", type=int, default=1201)
    parser.add_argument("--num_generations", type=int, default=2)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--joblib_backend", default="threading", choices=["threading", "loky"])
    parser.add_argument("--json", type=Path, help="file for the row")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.json"
        write_network(network, random_genome(given.num_inputs, given.num_outputs, given.num_connections), facts={})
        settings = {
            "network": network,
            "population_size": given.population_size,
            "num_generations": given.num_generations,
            "num_epochs": 1,
            "num_workers": given.num_workers,
            "joblib_backend": given.joblib_backend,
            "out_dir": Path(folder) / "run",
        }
        if given.data_dir:
            settings["data_dir"] = given.data_dir
        command = [sys.executable, "-m", "topoevo", "wlnn", str(given.params)]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    row = {
        "population_size": given.population_size,
        "num_connections": given.num_connections,
        "num_generations": given.num_generations,
        "num_workers": given.num_workers,
        "joblib_backend": given.joblib_backend,
        "peak_megabytes": peak_megabytes(),
        "seconds": seconds,
    }
    print(f"peak {row['peak_megabytes']:.0f} MB in the largest process, {seconds:.0f} s")
    if given.json:
        given.json.write_text(json.dumps([row], indent=2) + "\n")


def peak_megabytes() -> float:
    """Largest resident set of any child process so far, in units of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
