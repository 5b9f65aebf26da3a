"""The command line: which command was meant, and how it ends.

Everything that a user can get wrong arrives here as `TopoevoError` and becomes one message and exit code 2.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from topoevo import __version__
from topoevo.commands.signals import Terminated, interrupted_by_signals
from topoevo.errors import ParamsError, TopoevoError, did_you_mean

#: Exit codes besides 0.
_FAILED, _USER_ERROR, _INTERRUPTED = 1, 2, 130

_USAGE = """usage: topoevo <command> ...

Evolve network topologies, and learn their weights in the loop.

commands:
  wlnn [PARAMS.yaml] [--<setting> <value> ...]   evolve weight-learning networks, or train one
  wann [PARAMS.yaml] [--<setting> <value> ...]   evolve weight-agnostic networks
  resume RUN [--num_generations|--num_epochs N]  go on with a run
  verify RUN [--generations N]                   repeat parts of a run and compare every bit
  replay RUN --individual ID                     repeat one evaluation, failed ones too, with a debugger if wanted
  control RUN [--kind KIND]                      compare a champion with networks that nothing has selected
                                                 (random, shuffled or shuffled_by_layer ones)
  evaluate RUN|NETWORK.json [--json]             score a network on its samples or in its environment; a
                                                 weight-agnostic one with random, shared and tuned weights
  train RUN|NETWORK.json [--out FILE]            tune the weights of a network, on samples or in an environment
  predict RUN|NETWORK.json TABLE.csv             predict every row of a table
  draw RUN|NETWORK.json [--out PICTURE]          draw a network as .svg or .png
  play RUN|NETWORK.json [--out FILM.gif]         show a network in its environment
  settings                                       print every setting as a markdown table
  compile                                        compile the numerical kernels now instead of in the first run

`topoevo <command> --help` explains a command. A run is started with, for example:
  topoevo wlnn params/wlnn/digits-quick.yaml --seed 1
"""


def main(arguments: Sequence[str] | None = None, *, prog: str = "topoevo") -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        Words after the program's name; those of this process if None.
    prog
        Name of the program in help and messages.

    Returns
    -------
    int
        0, 1 (the run failed), 2 (a user's error), 130 or 143 (interrupted).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A console that does not know a letter of a path or class shows its code instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = _code_of(words, prog)
    threads = sys.modules.get("topoevo.experiment.workers.threads")
    if threads is not None and threads.num_hanging():
        atexit.register(_leave_with, code)
    return code


def _replace_closed_streams() -> None:
    """Where the program was started without output or errors (`>&-`), let what is written there vanish."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _code_of(words: list[str], prog: str) -> int:
    """Run one command and return its exit code."""
    try:
        with interrupted_by_signals():
            return _dispatch(words, prog)
    except TopoevoError as error:
        sys.stdout.flush()
        print(_error_text(str(error)), file=sys.stderr)
        return _USER_ERROR
    except MemoryError as error:
        sys.stdout.flush()
        why = f" ({error})" if str(error) else ""
        print(
            _error_text(f"memory is not enough{why}; try fewer samples, copies, networks or workers"), file=sys.stderr
        )
        return _FAILED
    except KeyboardInterrupt as interruption:
        with suppress(OSError):
            print("\ninterrupted", file=sys.stderr)
        return 128 + interruption.number if isinstance(interruption, Terminated) else _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, for example `head`; there is nobody left to tell.
        sys.stderr.close()
        return _FAILED


def _leave_with(code: int) -> NoReturn:
    """Leave while evaluations hang in threads, which cannot be ended otherwise and would disturb Python's own end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _dispatch(words: list[str], prog: str) -> int:
    """Call the command that the first word names."""
    if not words or words[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0 if words else _USER_ERROR
    if words[0] == "--version":
        print(f"topoevo {__version__}")
        return 0
    commands = _commands()
    if words[0] not in commands:
        raise ParamsError(f"unknown command {words[0]!r}{did_you_mean(words[0], commands)}; see topoevo --help")
    return commands[words[0]](words[1:], prog if prog != "topoevo" else f"topoevo {words[0]}")


def _commands() -> dict[str, Callable[[list[str], str], int]]:
    """Commands by name; each imports what it needs when it is called."""

    def wlnn(words: list[str], prog: str) -> int:
        from topoevo.commands.evolve import evolve

        return evolve(words, prog, family="wlnn")

    def wann(words: list[str], prog: str) -> int:
        from topoevo.commands.evolve import evolve

        return evolve(words, prog, family="wann")

    def resume(words: list[str], prog: str) -> int:
        from topoevo.commands.evolve import resume_command

        return resume_command(words, prog)

    def verify(words: list[str], prog: str) -> int:
        from topoevo.commands.verify import verify_command

        return verify_command(words, prog)

    def replay(words: list[str], prog: str) -> int:
        from topoevo.commands.replay import replay_command

        return replay_command(words, prog)

    def control(words: list[str], prog: str) -> int:
        from topoevo.commands.control import control_command

        return control_command(words, prog)

    def evaluate(words: list[str], prog: str) -> int:
        from topoevo.commands.evaluate import evaluate_command

        return evaluate_command(words, prog)

    def train(words: list[str], prog: str) -> int:
        from topoevo.commands.train import train_command

        return train_command(words, prog)

    def predict(words: list[str], prog: str) -> int:
        from topoevo.commands.networks import predict_command

        return predict_command(words, prog)

    def draw(words: list[str], prog: str) -> int:
        from topoevo.commands.networks import draw_command

        return draw_command(words, prog)

    def play(words: list[str], prog: str) -> int:
        from topoevo.commands.play import play_command

        return play_command(words, prog)

    def settings(words: list[str], prog: str) -> int:
        from topoevo.experiment.params import family_table, settings_table

        print(settings_table(), "\nDefaults of `run_wann.py` that differ:\n\n", family_table("wann"), sep="", end="")
        return 0

    def compile_kernels(words: list[str], prog: str) -> int:
        from topoevo.experiment.preparation import prepare_compiled
        from topoevo.kernels import load_kernel

        prepare_compiled(load_kernel("numba"), lambda text: print(text, flush=True))
        return 0

    return {
        "wlnn": wlnn,
        "wann": wann,
        "resume": resume,
        "verify": verify,
        "replay": replay,
        "control": control,
        "evaluate": evaluate,
        "train": train,
        "predict": predict,
        "draw": draw,
        "play": play,
        "settings": settings,
        "compile": compile_kernels,
    }


def _error_text(message: str) -> str:
    """One problem behind ``error:``, several below it."""
    lines = message.splitlines()
    if len(lines) < 2:
        return f"error: {message}"
    return "\n".join([f"error: {len(lines)} problems", *(f"  {line}" for line in lines)])
