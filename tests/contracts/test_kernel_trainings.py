"""Every backend trains whole networks as the reference does, by every rule and optimizer."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from topoevo.kernels import Kernel, Loss, OptimizerState, Perturbations, Plasticity, Proposals, Shaping
from topoevo.learning.optimizers import LR_SCHEDULES, OPTIMIZERS, make_optimization

from .trainings import (
    LEARNING_RATES,
    MANY_BLOCKS,
    PALETTES,
    PLASTICITIES,
    SHAPES,
    TRANSFORMATIONS,
    assert_close,
    assert_same,
    everywhere,
    loops,
    make_plasticity,
    palette_id,
    trained,
)


@pytest.mark.parametrize("palette", PALETTES, ids=palette_id)
@pytest.mark.parametrize("kind", PLASTICITIES)
def test_trainings_with_every_activation_and_rule(
    evolve_network, make_batches, kernel, reference, palette, kind: str
) -> None:
    # Every activation and every rule meets every loss, if not all three together.
    loss = Loss((PALETTES.index(palette) + list(PLASTICITIES).index(kind)) % len(Loss))
    network = evolve_network(2, activations=palette, num_mutations=25, weight_std=0.5)
    plasticity = make_plasticity(kind, network)
    batches = make_batches(0, network, classes=loss.has_classes, num_samples=45, batch_size=16)
    run = partial(
        trained,
        network=network,
        plasticity=plasticity,
        optimization=make_optimization("sgd", lr=0.05, momentum=0.5),
        batches=batches,
        order=np.array([0, 2, 1, 1, 0, 2], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)
    found = run(kernel)
    assert np.isnan(found.scores.accuracies).all() == (not loss.has_classes)
    learning = plasticity.plastic if plasticity.hebbian is None else plasticity.plastic | plasticity.hebbian
    assert (found.weights[~learning] == network.weight[~learning]).all()
    assert (found.weights != network.weight).any() == learning.any()


@pytest.mark.parametrize("kind", PLASTICITIES)
@pytest.mark.parametrize("loss", Loss)
def test_trainings_in_several_blocks(evolve_network, make_batches, kernel, reference, kind: str, loss: Loss) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    run = partial(
        trained,
        network=network,
        plasticity=make_plasticity(kind, network),
        optimization=make_optimization("sgd", lr=0.05, momentum=0.5),
        batches=make_batches(0, network, classes=loss.has_classes, **MANY_BLOCKS),
        order=np.array([0, 2, 1, 1], np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("loop", ["train_by_perturbations", "train_by_proposals"])
@pytest.mark.parametrize("loss", Loss)
def test_trials_in_several_blocks(evolve_network, make_batches, kernel, reference, loop: str, loss: Loss) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=loss.has_classes, **MANY_BLOCKS)
    order = np.array([0, 2, 1, 1], np.int32)
    run = partial(loops(network)[loop], network=network, batches=batches, order=order, loss=loss)
    assert_same(run, kernel, reference)
    assert (run(kernel).weights != network.weight).any()


@pytest.mark.parametrize(("shape", "_"), SHAPES, ids=str)
def test_outputs_of_every_shape(evolve_network, make_batches, kernel, reference, shape: tuple[int, int], _) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    batches = make_batches(0, network, classes=True, num_samples=shape[0], batch_size=shape[1])
    assert_close(kernel.outputs(network, network.weight, batches), reference.outputs(network, network.weight, batches))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("lr_schedule", LR_SCHEDULES)
@pytest.mark.parametrize(("shape", "loss"), SHAPES, ids=str)
def test_trainings_with_every_optimizer_and_shape(
    evolve_network,
    make_batches,
    kernel,
    reference,
    optimizer: str,
    lr_schedule: str,
    shape: tuple[int, int],
    loss: Loss,
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid", "sine"), num_mutations=30, weight_std=0.5)
    num_samples, batch_size = shape
    batches = make_batches(1, network, classes=loss.has_classes, num_samples=num_samples, batch_size=batch_size)
    order = np.concatenate([np.random.default_rng(e).permutation(batches.num_batches) for e in range(3)])
    run = partial(
        trained,
        network=network,
        plasticity=Plasticity(everywhere(network)),
        optimization=make_optimization(
            optimizer, lr=LEARNING_RATES[optimizer], momentum=0.9, weight_decay=0.01, lr_schedule=lr_schedule
        ),
        batches=batches,
        order=order.astype(np.int32),
        loss=loss,
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("max_grad_norm", "grad_power"), TRANSFORMATIONS, ids=str)
def test_trainings_with_transformed_gradients(
    evolve_network, make_batches, kernel, reference, optimizer: str, max_grad_norm: float, grad_power: float
) -> None:
    network = evolve_network(5, activations=("tanh", "sigmoid"), num_mutations=30, weight_std=0.5)
    batches = make_batches(1, network, classes=True, num_samples=20, batch_size=8)
    optimization = make_optimization(
        optimizer,
        lr=0.2 * LEARNING_RATES[optimizer],
        momentum=0.5,
        weight_decay=0.01,
        max_grad_norm=max_grad_norm,
        grad_power=grad_power,
    )
    plasticity = make_plasticity("some edges", network)
    order = np.array([0, 1, 2, 2, 1, 0], np.int32)
    run = partial(
        trained, network=network, plasticity=plasticity, optimization=optimization, batches=batches, order=order
    )
    assert_same(run, kernel, reference)


@pytest.mark.parametrize("kind", PLASTICITIES)
def test_trainings_with_smoothed_labels(evolve_network, make_batches, kernel, reference, kind: str) -> None:
    network = evolve_network(2, activations=("tanh", "relu", "gaussian"), num_mutations=25, weight_std=0.5)
    plasticity, order = make_plasticity(kind, network), np.array([0, 2, 1, 1], np.int32)
    batches = make_batches(0, network, classes=True, **MANY_BLOCKS)
    smooth, sharp = (
        partial(
            trained,
            network=network,
            plasticity=plasticity,
            optimization=make_optimization("sgd", lr=0.05, momentum=0.5, label_smoothing=share),
            batches=batches,
            order=order,
        )
        for share in (0.2, 0.0)
    )
    assert_same(smooth, kernel, reference)
    found, without = smooth(kernel), sharp(kernel)
    assert found.scores.losses[0] == without.scores.losses[0], "what is reported is the cross entropy"
    assert (found.weights != without.weights).any() == plasticity.plastic.any()


@pytest.mark.parametrize("seed", range(6))
def test_trainings_of_networks_of_all_shapes(evolve_network, make_batches, kernel, reference, seed: int) -> None:
    network = evolve_network(
        seed,
        num_inputs=(1, 2, 7, 20, 40, 3)[seed],
        num_outputs=(1, 10, 2, 3, 5, 4)[seed],
        num_mutations=(0, 5, 150, 60, 100, 30)[seed],
        activations=("relu", "tanh", "gaussian"),
        bias=seed % 2 == 0,
        p_enabled=(1.0, 0.0, 0.3, 0.9, 0.1, 0.5)[seed],
        weight_std=0.3,
    )
    batches = make_batches(seed, network, classes=True, num_samples=30, batch_size=7)
    order = np.tile(np.arange(batches.num_batches, dtype=np.int32), 2)
    sgd = make_optimization("sgd", lr=0.05)
    for kind in ("gradient", "feedback", "direct", "oja", "sanger"):
        plasticity = make_plasticity(kind, network)
        run = partial(trained, network=network, plasticity=plasticity, optimization=sgd, batches=batches, order=order)
        assert_same(run, kernel, reference)
    for name in ("train_by_perturbations", "train_by_proposals"):
        assert_same(partial(loops(network)[name], network=network, batches=batches, order=order), kernel, reference)
    assert_close(kernel.outputs(network, network.weight, batches), reference.outputs(network, network.weight, batches))


def test_feedback_equal_to_the_weights_is_backpropagation(evolve_network, make_batches, any_kernel) -> None:
    network = evolve_network(4, activations=("tanh", "relu"))
    batches = make_batches(0, network, classes=True, num_samples=12, batch_size=12)
    rng = np.random.default_rng(0)
    feedbacks = {"own": None, "equal": network.weight.copy(), "other": rng.normal(size=network.num_edges).astype("f4")}
    sgd, one_step = make_optimization("sgd", lr=0.1), np.zeros(1, np.int32)
    after = {
        name: trained(any_kernel, network, Plasticity(everywhere(network), feedback), sgd, batches, one_step).weights
        for name, feedback in feedbacks.items()
    }
    assert after["own"].tobytes() == after["equal"].tobytes()
    into_output = network.into_output
    np.testing.assert_allclose(after["other"][into_output], after["own"][into_output], rtol=1e-6)
    assert (after["other"][~into_output] != after["own"][~into_output]).any()


@pytest.mark.parametrize("loop", Kernel.LOOPS)
def test_a_training_in_parts_is_the_same_training(evolve_network, make_batches, any_kernel, loop: str) -> None:
    """Memory, learning rate and random numbers go on where they were."""
    network = evolve_network(3)
    batches = make_batches(0, network, classes=True, num_samples=40, batch_size=8)
    order = np.array([0, 3, 1, 4, 2, 2, 0, 1], np.int32)
    start = np.linspace(-1, 1, network.num_edges, dtype=np.float32)
    adam = make_optimization("adam", lr=0.05, lr_schedule="linear", weight_averaging=0.6)
    arguments = {
        "train": (Plasticity(everywhere(network)), adam),
        "train_by_perturbations": (everywhere(network), Perturbations(4, 0.1, True, Shaping.RAW), adam),
        "train_by_proposals": (Proposals(np.full(network.num_edges, 0.05), 10.0, 3, 0.5),),
    }[loop]
    after = []
    for cuts in ([order], [order[:5], order[5:]]):
        weights, state = start.copy(), OptimizerState.zeros(network.num_edges, len(order))
        rng = () if loop == "train" else (np.random.default_rng(0),)
        losses = [
            getattr(any_kernel, loop)(
                network, weights, *arguments, state, batches, cut, Loss.CROSS_ENTROPY, *rng
            ).losses
            for cut in cuts
        ]
        assert state.steps == len(order)
        sums = None if state.weight_sum is None else state.weight_sum.tobytes()
        assert state.num_summed == (0 if loop == "train_by_proposals" else 5)
        after.append((weights.tobytes(), np.concatenate(losses).tobytes(), state.scale, sums))
    assert after[0] == after[1]
    assert after[0][0] != start.tobytes()


@pytest.mark.parametrize("loop", Kernel.LOOPS)
@pytest.mark.parametrize(("num_samples", "batch_size"), [(10, 8), (200, 130)])
def test_what_lies_beyond_a_short_batch_is_not_read(
    evolve_network, make_batches, kernel, loop: str, num_samples: int, batch_size: int
) -> None:
    network = evolve_network(4)
    clean = make_batches(0, network, classes=True, num_samples=num_samples, batch_size=batch_size)
    dirty = make_batches(0, network, classes=True, num_samples=num_samples, batch_size=batch_size)
    dirty.inputs[1, :, clean.sizes[1] :] = np.nan
    dirty.targets[1, :, clean.sizes[1] :] = 1
    results = [loops(network)[loop](kernel, network, b, np.array([0, 1, 1, 0], np.int32)) for b in (clean, dirty)]
    assert results[0].weights.tobytes() == results[1].weights.tobytes()
    assert results[0].scores.losses.tobytes() == results[1].scores.losses.tobytes()
    assert np.array_equal(*[kernel.outputs(network, network.weight, b) for b in (clean, dirty)])
