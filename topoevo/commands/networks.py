"""Using network files: predicting, drawing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from topoevo.commands.parser import NETWORK_HELP, Parser
from topoevo.errors import ParamsError, TaskError
from topoevo.tasks.csv_file import read_inputs
from topoevo.trained_network import load_network


def predict_command(words: list[str], prog: str) -> int:
    """``topoevo predict``: a prediction for every row of a table."""
    parser = Parser(prog=prog, description="Predict every row of a table; prints CSV.")
    parser.add_argument("network", help=NETWORK_HELP)
    parser.add_argument("table", help="CSV file with a header; columns are found by name, others are ignored")
    parser.add_argument("--out", help="file to write instead of printing")
    given = parser.parse_args(words)
    if given.out is not None and _is_same_file(given.out, given.table):
        raise ParamsError(f"--out: {given.out} is the table that is read; name another file")
    network = load_network(given.network)
    raw = read_inputs(Path(given.table), network.input_names)
    with np.errstate(over="ignore", invalid="ignore"):
        predictions = network.predict(raw)
        numbers = network.predict_proba(raw) if predictions.ndim == 1 else predictions
    undefined = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(undefined):
        raise TaskError(
            f"{given.table}: the network has no finite output for row {undefined[0] + 1} of {len(raw)}, whose numbers"
            " are too large"
        )
    if predictions.ndim == 1:
        header = ["prediction", *(f"p_{name}" for name in network.output_names)]
        lines = [
            ",".join([_quoted(str(name)), *(f"{p:.6g}" for p in row)])
            for name, row in zip(predictions, numbers, strict=True)
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
    parser = Parser(prog=prog, description="Draw a network.")
    parser.add_argument("network", help=NETWORK_HELP)
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


def _is_same_file(one: str, other: str) -> bool:
    """Whether two names are of the same file, which exists."""
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


def _quoted(cell: str) -> str:
    """A CSV cell."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\n') else cell
