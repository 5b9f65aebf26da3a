"""The example of a learning rule in the documentation runs, and does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from topoevo.kernels import Loss
from topoevo.learning import LEARNING_RULES
from topoevo.learning.optimizers import make_optimization

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
IMPORTS = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from topoevo.kernels import Plasticity
from topoevo.learning import LEARNING_RULES, LearningRule
from topoevo.registry import option
from topoevo.seeds import Stream, normals_of_pairs
"""


@pytest.fixture
def example():
    """The class of the documentation, registered for the time of a test."""
    (code,) = re.findall(r"```python\n(# topoevo/learning/.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    list(LEARNING_RULES)  # All others come first.
    before = dict(LEARNING_RULES._entries)
    exec(IMPORTS + code, {"__name__": __name__})
    (name,) = LEARNING_RULES._entries.keys() - before.keys()
    yield LEARNING_RULES[name]
    del LEARNING_RULES._entries[name]


def test_errors_travel_back_along_its_feedback(example, dense, make_batches, reference):
    network = dense((4, 6, 3))
    batches = make_batches(0, network, classes=True, num_samples=20, batch_size=20)

    def trained(rule, steps=1):
        learner = rule.start(
            network, network.weight, kernel=reference, optimization=make_optimization("sgd", lr=0.1),
            loss=Loss.CROSS_ENTROPY, rng=np.random.default_rng(0),
        )  # fmt: skip
        return learner.weights, learner.train(batches, np.zeros((steps, 1), np.int32)).losses

    hidden = ~network.into_output
    weak, strong = (trained(example(strength=strength))[0] - network.weight for strength in (0.2, 0.4))
    # Hidden changes are proportional to the feedback, those of the outputs do not know of it.
    assert np.abs(weak[hidden]).min() > 1e-6
    assert strong[hidden] == pytest.approx(2 * weak[hidden], abs=1e-6)
    assert strong[~hidden] == pytest.approx(weak[~hidden], abs=1e-7)
    losses = trained(example(), steps=300)[1]
    assert losses[-1] < 0.8 * losses[0]
