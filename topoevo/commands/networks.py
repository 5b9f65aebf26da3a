"""Using network files: scoring, predicting, drawing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from topoevo.errors import ParamsError
from topoevo.tasks.csv_file import read_inputs
from topoevo.trained_network import load_network

_NETWORK_HELP = "network file, or run directory (then its champion)"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        """Raise `ParamsError`."""
        raise ParamsError(f"{message}; see {self.prog} --help")


def evaluate_command(words: list[str], prog: str) -> int:
    """``topoevo evaluate``: score a network on every part of its task."""
    parser = _Parser(prog=prog, description="Score a network on its training, validation and test samples.")
    parser.add_argument("network", help=_NETWORK_HELP)
    parser.add_argument("--data_dir", help="folder with the data files, if it is not the recorded one")
    parser.add_argument("--dataset", help="data set or path of the table, if it is not the recorded one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    network = load_network(given.network)
    changes = {name: value for name in ("data_dir", "dataset") if (value := getattr(given, name)) is not None}
    recorded_data = network.file.facts.get("data_settings")
    if isinstance(recorded_data, dict):
        _say(f"loading {changes.get('dataset', recorded_data.get('dataset'))} ...")
    task = network.load_task(on_progress=_say, **changes)
    if task.provenance != network.file.facts.get("task", {}).get("data"):
        _say("warning: the data has changed since the network was trained; recorded scores do not compare")
    recorded = network.file.facts.get("scores", {})
    rows: dict[str, dict[str, Any]] = {}
    for part in ("train", "validation", "test"):
        samples = getattr(task, part)
        if samples is not None:
            score = network.score(task, part)
            rows[part] = {
                "samples": len(samples),
                "reward": score.reward,
                "accuracy": score.accuracy,
                "rmse": score.rmse,
                "recorded": recorded.get(part),
            }
    if given.json:
        print(json.dumps({"network": str(given.network), "task": task.name, "scores": rows}, indent=2))
        return 0
    complexity = network.file.genome.complexity
    print(f"{given.network}: {complexity.connections} connections, {complexity.biases} biases, task {task.name}")
    measure = "accuracy" if task.kind == "classification" else "rmse"
    print(f"{'':<12}{'samples':>9}{measure:>12}{'loss':>12}{'recorded ' + measure:>20}")
    for part, row in rows.items():
        before = (row["recorded"] or {}).get(measure)
        was = "-" if before is None else f"{before:.6f}"
        print(f"{part:<12}{row['samples']:>9}{row[measure]:>12.6f}{-row['reward']:>12.6f}{was:>20}")
    return 0


def predict_command(words: list[str], prog: str) -> int:
    """``topoevo predict``: a prediction for every row of a table."""
    parser = _Parser(prog=prog, description="Predict every row of a table; prints CSV.")
    parser.add_argument("network", help=_NETWORK_HELP)
    parser.add_argument("table", help="CSV file with a header; columns are found by name, others are ignored")
    parser.add_argument("--out", help="file to write instead of printing")
    given = parser.parse_args(words)
    network = load_network(given.network)
    raw = read_inputs(Path(given.table), network.input_names)
    predictions = network.predict(raw)
    if predictions.ndim == 1:
        header = ["prediction", *(f"p_{name}" for name in network.output_names)]
        probabilities = network.predict_proba(raw)
        lines = [
            ",".join([_quoted(str(name)), *(f"{p:.6g}" for p in row)])
            for name, row in zip(predictions, probabilities, strict=True)
        ]
    else:
        header = list(network.output_names)
        lines = [",".join(f"{value:.7g}" for value in row) for row in predictions]
    text = "\n".join([",".join(_quoted(name) for name in header), *lines]) + "\n"
    if given.out is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(given.out).write_text(text, "utf-8")
    except OSError as error:
        raise ParamsError(f"--out: cannot write {given.out}: {error.strerror}") from None
    print(f"{len(lines)} predictions in {given.out}")
    return 0


def draw_command(words: list[str], prog: str) -> int:
    """``topoevo draw``: a picture of a network."""
    parser = _Parser(prog=prog, description="Draw a network.")
    parser.add_argument("network", help=_NETWORK_HELP)
    for ends in ("inputs", "outputs"):
        parser.add_argument(f"--num_{ends}", type=int, help=f"number of {ends}, where an .out file leaves it open")
    parser.add_argument("--out", default="network.svg", help="picture to write, .svg or .png (default network.svg)")
    given = parser.parse_args(words)
    out = Path(given.out)
    if out.suffix not in (".svg", ".png"):
        raise ParamsError(f"--out: {given.out!r} must end in .svg or .png")
    network = load_network(given.network, num_inputs=given.num_inputs, num_outputs=given.num_outputs)
    from topoevo.reporting.pictures import draw_network_file

    draw_network_file(network.file, out)
    print(out)
    return 0


def _quoted(cell: str) -> str:
    """A CSV cell."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\n') else cell


def _say(text: str) -> None:
    """Progress goes to the error stream, so that the output can be piped."""
    print(text, file=sys.stderr)
