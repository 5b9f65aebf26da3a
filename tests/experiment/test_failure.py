"""What is said of an evaluation that goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from topoevo.errors import TaskError, in_one_line
from topoevo.evolution import Evaluation
from topoevo.experiment.failure import GuardedEvaluator, failure_of, reason_of
from topoevo.rollouts import RolloutError
from topoevo.seeds import Stream


def caught(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def outermost():
    middle()


def middle():
    inner()


def inner():
    deepest()


def deepest():
    raise KeyError("a\nb")


class OwnError(Exception):
    """With two lines."""

    def __str__(self):
        return "first\nsecond"


class UnspeakableError(Exception):
    """That raises when it is asked what it is."""

    def __str__(self):
        raise ValueError("no words")

    __repr__ = __str__


def test_an_error_that_cannot_be_told_or_is_endless_is_told_all_the_same():
    assert in_one_line(UnspeakableError()) == "UnspeakableError: no readable message"
    assert "UnspeakableError" in failure_of(UnspeakableError())
    assert len(in_one_line(ValueError("z" * 10**7))) < 1100


def test_the_traceback_is_whole_and_the_reason_is_last():
    text = failure_of(caught(outermost))
    assert [name in text for name in ("in outermost", "in middle", "in inner", "in deepest")] == [True] * 4
    assert text.splitlines()[0] == "Traceback (most recent call last):"
    assert reason_of(text) == r"KeyError: 'a\nb'"


def test_a_reason_is_one_line():
    def raise_own():
        raise OwnError

    text = failure_of(caught(raise_own))
    assert "first\nsecond\n" in text and reason_of(text) == "OwnError: first"


def test_of_an_environment_its_own_exception_is_shown():
    def play():
        try:
            outermost()
        except KeyError as error:
            raise RolloutError("Game raised KeyError (step 3)") from error

    text = failure_of(caught(play))
    assert "in deepest" in text and reason_of(text) == "Game raised KeyError (step 3)"
    assert "RolloutError" not in text


def test_a_sentence_has_no_traceback():
    assert failure_of(RolloutError("an output is not finite")) == "an output is not finite"


def test_endless_texts_are_cut_in_the_middle():
    def sink(depth):
        if depth == 0:
            raise ValueError("x" * 100_000 + "end")
        sink(depth - 1)

    text = failure_of(caught(lambda: sink(300)))
    assert len(text) < 21_000 and "in sink" in text and "characters ..." in text and "xend\nValueError: x" in text
    assert reason_of(text) == f"ValueError: {'x' * 1000} ..."


class Raising(GuardedEvaluator):
    """Raises what it was given."""

    def __init__(self, error):
        self.error = error

    def attempt(self, genome, shared, *, stream, generation, index):
        if self.error is not None:
            raise self.error
        return Evaluation(1.0, 1.0, None, np.zeros(2, np.float32), 0.1)


def evaluate(error):
    return Raising(error).evaluate(None, None, stream=Stream.LEARNING, generation=0, index=0)


def test_user_code_may_raise_whatever_it_likes():
    assert evaluate(None).reward == 1.0
    evaluation = evaluate(OSError(28, "disk full"))
    assert evaluation.reward == -np.inf and reason_of(evaluation.failure) == "OSError: [Errno 28] disk full"


@pytest.mark.parametrize("error", [TaskError("no data"), MemoryError(), KeyboardInterrupt()])
def test_what_does_not_come_from_the_network_is_not_its_failure(error):
    with pytest.raises(type(error)):
        evaluate(error)
