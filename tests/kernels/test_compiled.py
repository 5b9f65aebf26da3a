"""What the compiled backend promises beside the numbers: threads, the cache, one compilation."""

from __future__ import annotations

import ast
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from topoevo import compilation as cache
from topoevo.errors import KernelError, UnknownNameError
from topoevo.kernels import Batches, Loss, OptimizerState, Plasticity, load_kernel
from topoevo.learning.optimizers import make_optimization


@pytest.fixture
def train(evolve_network, compiled):
    """Return ``train(seed, num_steps)``: weights and losses of one training, as bytes."""

    def run(seed: int, num_steps: int = 200) -> bytes:
        network = evolve_network(seed, num_inputs=8, num_mutations=60)
        rng = np.random.default_rng(seed)
        batches = Batches.lay_out(
            rng.normal(size=(256, 8)).astype(np.float32), rng.integers(0, 3, 256).astype(np.int32), batch_size=32
        )
        weights = network.weight.copy()
        losses, accuracies, _ = compiled.train(
            network, weights, Plasticity(np.ones(network.num_edges, np.bool_)), make_optimization("adam", lr=0.01),
            OptimizerState.zeros(network.num_edges), batches, np.arange(num_steps, dtype=np.int32) % 8,
            Loss.CROSS_ENTROPY,
        )  # fmt: skip
        assert np.isfinite(losses).all()
        return weights.tobytes() + losses.tobytes() + accuracies.tobytes()

    return run


def test_the_same_training_gives_the_same_bytes(train) -> None:
    assert train(0) == train(0)
    assert train(0) != train(1)


def test_threads_do_not_disturb_each_other(train) -> None:
    seeds = [0, 1, 2, 3] * 4
    alone = {seed: train(seed) for seed in set(seeds)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(train, seeds))
    assert together == [alone[seed] for seed in seeds]


def test_the_lock_is_released_while_training(train) -> None:
    done = threading.Event()

    def work() -> None:
        train(0, 20_000)
        done.set()

    thread = threading.Thread(target=work)
    train(0, 10)
    thread.start()
    turns = 0
    while not done.wait(0.001):
        turns += 1
    thread.join()
    assert turns > 20, "the main thread stood still"


def test_prepare_compiles_everything_that_a_run_calls(train, compiled) -> None:
    from topoevo.kernels import loops as module

    assert not compiled.needs_compilation()
    before = list(module.train.signatures)
    assert before
    train(0, 3)
    assert module.train.signatures == before, "a second signature is a second compilation of ten seconds"


def test_read_only_data_need_no_second_compilation(evolve_network, make_batches, compiled) -> None:
    from topoevo.kernels import loops as module

    network = evolve_network(0)
    batches = make_batches(0, network, classes=True, num_samples=4, batch_size=2)
    before = len(module.outputs.signatures)
    for array in (batches.inputs, batches.targets, batches.sizes):
        array.flags.writeable = False
    compiled.outputs(network, network.weight, batches)
    assert len(module.outputs.signatures) == before


def test_strided_weights_are_trained_alike_or_refused(evolve_network, make_batches, compiled) -> None:
    network = evolve_network(0, activations=("tanh",))
    batches = make_batches(0, network, classes=True, num_samples=20, batch_size=5)
    everywhere = np.ones(network.num_edges, np.bool_)
    optimization = make_optimization("sgd", lr=1.0)
    contiguous, strided = network.weight.copy(), np.repeat(network.weight, 2)[::2]
    for weights in (contiguous, strided):
        compiled.train(
            network, weights, Plasticity(everywhere), optimization, OptimizerState.zeros(network.num_edges), batches,
            np.arange(8, dtype=np.int32) % 4, Loss.CROSS_ENTROPY,
        )  # fmt: skip
    assert np.array_equal(strided, contiguous)


def test_unknown_kernels_are_answered_with_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'numba'"):
        load_kernel("numbra")


# -- cache ------------------------------------------------------------------------------------------------------


def test_the_folder_depends_on_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    source = tmp_path / "source.py"
    source.write_text("a")
    first = cache.cache_directory(str(source))
    assert first == cache.cache_directory(str(source))
    source.write_text("b")
    second = cache.cache_directory(str(source))
    assert first != second
    assert {first.parent, second.parent} == {tmp_path}
    assert cache.cache_directory(str(source), str(source)) != second


def test_the_cache_depends_on_all_files_that_the_code_is_made_of() -> None:
    from topoevo.kernels import loops, primitives, sources

    def files(name: str) -> set[str]:
        """Files of the package that a module imports, directly or not, with its own."""
        found, waiting = set(), [name]
        while waiting:
            module = sys.modules[waiting.pop()]
            if str(module.__file__) in found:
                continue
            found.add(str(module.__file__))
            for line in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
                if isinstance(line, ast.ImportFrom) and str(line.module).startswith(("topoevo.kernels", "topoevo.act")):
                    names = {str(line.module), *(f"{line.module}.{alias.name}" for alias in line.names)}
                    waiting += names & sys.modules.keys() - {"topoevo.kernels", sources.__name__}
        return found

    assert set(sources.SOURCES) == files(loops.__name__) | files(primitives.__name__)
    assert cache.cache_directory(*sources.SOURCES) == sources.CACHE


@pytest.mark.parametrize("kernel_name", ["numba", "reference"])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("weights", "weights: the shape"),
        ("plastic", "plastic: the shape"),
        ("feedback", "feedback: the shape"),
        ("direct", "direct: the shape"),
        ("hebbian", "hebbian: the shape"),
        ("inputs", "8 inputs"),
        ("labels", "class indices go from"),
        ("negative labels", "class indices go from"),
        ("order", "minibatches go from"),
    ],
)
def test_what_does_not_fit_is_refused(evolve_network, make_batches, kernel_name: str, what: str, message: str) -> None:
    kernel = load_kernel(kernel_name)
    network = evolve_network(0, num_inputs=7 if what == "inputs" else 8, num_mutations=40)
    batches = make_batches(0, evolve_network(0, num_inputs=8), classes=True, num_samples=70, batch_size=70)
    edges, hidden = network.num_edges, network.num_nodes - network.num_sources - network.num_outputs
    assert hidden
    plasticity = {
        "plastic": Plasticity(np.ones(edges + 1, np.bool_)),
        "feedback": Plasticity(np.ones(edges, np.bool_), np.ones(edges - 1, np.float32)),
        "direct": Plasticity(np.ones(edges, np.bool_), direct=np.ones((hidden - 1, network.num_outputs), np.float32)),
        "hebbian": Plasticity(np.ones(edges, np.bool_), hebbian=np.ones(edges - 1, np.bool_)),
    }.get(what, Plasticity(np.ones(edges, np.bool_)))
    targets = batches.targets.copy()
    if "labels" in what:
        targets[0, 0, 69] = -1 if what == "negative labels" else network.num_outputs
    weights = np.ones(edges - (what == "weights"), np.float32)
    with pytest.raises(KernelError, match=message):
        kernel.train(
            network, weights, plasticity, make_optimization("adam", lr=0.01), OptimizerState.zeros(edges),
            Batches(batches.inputs, targets, batches.sizes), np.array([what == "order"], np.int32), Loss.CROSS_ENTROPY,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["first", "second", "weight_sum"])
def test_the_memory_of_another_network_is_refused(evolve_network, make_batches, compiled, name: str) -> None:
    network = evolve_network(0, num_inputs=8, num_mutations=40)
    batches = make_batches(0, network, classes=True, num_samples=70, batch_size=70)
    state = OptimizerState.zeros(network.num_edges, 4)
    state.steps = 3
    state.add_to_average(network.weight)
    setattr(state, name, getattr(state, name)[1:])
    optimization = make_optimization("adam", lr=0.01, weight_averaging=0.5)
    with pytest.raises(KernelError, match=f"{name}: the shape"):
        compiled.train(
            network, network.weight.copy(), Plasticity(np.ones(network.num_edges, np.bool_)), optimization, state,
            batches, np.zeros(1, np.int32), Loss.CROSS_ENTROPY,
        )  # fmt: skip


def test_primitives_refuse_what_does_not_fit(evolve_network, compiled) -> None:
    network = evolve_network(0, num_inputs=8, num_mutations=40)
    weights, inputs = network.weight, np.ones((8, 70), np.float32)
    weighted_inputs, activities = compiled.forward(network, weights, inputs)
    outputs = activities[-network.num_outputs :]
    calls = [
        lambda: compiled.forward(network, weights[1:], inputs),
        lambda: compiled.forward(network, weights, inputs[1:]),
        lambda: compiled.outputs(network, weights[1:], Batches.lay_out(inputs.T, np.zeros(70, np.int32), batch_size=7)),
        lambda: compiled.output_errors(Loss.CROSS_ENTROPY, outputs, np.full((1, 70), network.num_outputs, np.int32)),
        lambda: compiled.backward(network, weights[1:], weighted_inputs, activities, outputs),
        lambda: compiled.backward(network, weights, weighted_inputs, activities[:, 1:], outputs),
        lambda: compiled.direct_errors(network, weights[:, None], weighted_inputs, activities, outputs),
        lambda: compiled.edge_products(network, activities[1:], activities),
        lambda: compiled.hebbian_changes(network, weights, activities[1:], decorrelate=False),
    ]
    for call in calls:
        with pytest.raises(KernelError):
            call()


def test_an_unwritable_folder_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "user"))
    assert tmp_path / "user" in cache.cache_directory().parents
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: str(blocked))
    # Nothing that others could have put there is loaded: the last resort is new every time.
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    first, second = cache.cache_directory(), cache.cache_directory()
    assert first != second and first.parent == tmp_path


def test_other_users_of_numba_keep_their_cache(tmp_path: Path) -> None:
    import numba

    before = numba.config.CACHE_DIR
    cache.entry_point(tmp_path)(lambda x: x)
    assert before == numba.config.CACHE_DIR
