"""What the PyTorch backend promises beside the numbers: words where it is missing, threads, memory, precision."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.errors import KernelError
from topoevo.kernels import Loss, OptimizerState, Perturbations, Plasticity, Shaping, load_kernel, obstacle
from topoevo.learning.optimizers import OPTIMIZERS, make_optimization

needs_torch = pytest.mark.skipif(obstacle("torch") is not None, reason="PyTorch is not installed")

LEARNING_RATES = {"sgd": 0.1, "adam": 0.02, "adamw": 0.02, "adadelta": 1.0, "rmsprop": 0.01, "none": 0.1}


@pytest.fixture
def kernel():
    """Return the backend on the CPU."""
    return load_kernel("torch")


# -- where it cannot compute ------------------------------------------------------------------------------------


def test_a_missing_torch_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("torch", "torch_cuda"):
        with pytest.raises(
            KernelError, match=r"not available: PyTorch is not installed .*pip install 'topoevo\[torch\]'"
        ):
            load_kernel(name)
    assert obstacle("numba") is obstacle("reference") is None


@pytest.mark.parametrize(
    ("built", "words"), [(True, "PyTorch sees no GPU"), (False, "this PyTorch is built without CUDA")]
)
def test_a_missing_gpu_is_told(monkeypatch: pytest.MonkeyPatch, built: bool, words: str) -> None:
    fake = types.ModuleType("torch")
    fake.__spec__ = object()
    fake.cuda = types.SimpleNamespace(is_available=lambda: False)
    fake.backends = types.SimpleNamespace(cuda=types.SimpleNamespace(is_built=lambda: built))
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert obstacle("torch_cuda") == words
    assert obstacle("torch") is None
    fake.cuda.is_available = lambda: True
    assert obstacle("torch_cuda") is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--use_torch"], "--use_torch true is not allowed, PyTorch is not installed (pip install 'topoevo[torch]')"),
        (["--use_cuda"], "--use_cuda true is not allowed, PyTorch is not installed (pip install 'topoevo[torch]')"),
        (["--kernel", "torch"], "--kernel torch is not allowed, PyTorch is not installed"),
    ],
)
def test_a_run_without_torch_ends_before_it_starts(tmp_path, flags: list[str], words: str) -> None:
    code = "import sys; sys.modules['torch'] = None\nfrom topoevo.cli import main\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "wlnn", *flags, "--out_dir", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


# -- what it computes with --------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_functions_and_their_slopes_are_those_of_the_table(name: str) -> None:
    import torch

    from topoevo.kernels.torch_circuit import FUNCTIONS

    z = np.linspace(-4.0, 4.0, 400)  # 0 is not among them
    leaf = torch.tensor(z, requires_grad=True)
    value = FUNCTIONS[name](leaf)
    slope = torch.autograd.grad(value.sum() + 0.0 * leaf.sum(), leaf)[0]
    expected = ACTIVATIONS[name].value(z)
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope.numpy(), ACTIVATIONS[name].derivative(z, expected), rtol=1e-5, atol=1e-5)
    assert bool(FUNCTIONS[name](torch.tensor(np.nan)).isnan())


@needs_torch
def test_slopes_where_two_meet() -> None:
    import torch

    from topoevo.kernels.torch_circuit import FUNCTIONS

    zero = torch.zeros(1, requires_grad=True)
    slopes = {name: torch.autograd.grad(FUNCTIONS[name](zero), zero)[0].item() for name in ("abs", "relu")}
    assert slopes == {"abs": 0.0, "relu": 0.0}
    assert [float(ACTIVATIONS[name].derivative(0.0, 0.0)) for name in slopes] == [-1.0, 0.0]


@needs_torch
def test_an_activation_without_a_function_is_named(evolve_network, kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    from topoevo.kernels import torch_circuit

    network = evolve_network(0, activations=("tanh",))
    monkeypatch.setattr(torch_circuit, "FUNCTIONS", {"linear": torch_circuit.FUNCTIONS["linear"]})
    with pytest.raises(KernelError, match="activation 'tanh' has no function"):
        kernel.forward(network, network.weight, np.zeros((network.num_inputs, 1), np.float32))


@needs_torch
def test_double_precision_is_kept(evolve_network, kernel, reference) -> None:
    network = evolve_network(3, activations=("tanh", "relu", "gaussian", "sigmoid"), num_mutations=60)
    rng = np.random.default_rng(0)
    weights, inputs = rng.normal(0, 0.5, network.num_edges), rng.normal(size=(network.num_inputs, 9))
    for value, expected in zip(
        kernel.forward(network, weights, inputs), reference.forward(network, weights, inputs), strict=True
    ):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


@needs_torch
def test_nodes_may_stand_in_any_order_within_their_layers(evolve_network, kernel, reference) -> None:
    """Positions are sorted by layer and activation, and come back in the order of the network."""
    network = evolve_network(8, num_mutations=120, p_remove=0.05)
    computed = network.layer[network.num_sources :]
    assert len(np.unique(computed)) >= 5
    codes = network.activation[computed == computed.min()]
    assert (np.diff(codes) < 0).any(), "sorting moves nothing"
    inputs = np.random.default_rng(0).normal(size=(network.num_inputs, 4)).astype(np.float32)
    for value, expected in zip(
        kernel.forward(network, network.weight, inputs), reference.forward(network, network.weight, inputs), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)


# -- whole trainings --------------------------------------------------------------------------------------------


@pytest.fixture
def three_threads():
    """Let torch use three threads, and return how many it uses in a new one of Python."""
    import torch

    def in_a_new_thread() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield in_a_new_thread
    torch.set_num_threads(before)


@needs_torch
def test_loading_the_backend_leaves_the_threads_of_others_alone(three_threads) -> None:
    import torch

    spec = importlib.util.find_spec("topoevo.kernels.torch_backend")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert torch.get_num_threads() == three_threads() == 3


@needs_torch
@pytest.mark.parametrize("name", ["train", "outputs", "train that fails"])
def test_a_worker_is_one_thread_while_it_trains(
    evolve_network, make_batches, kernel, three_threads, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import torch

    from topoevo.kernels import torch_backend

    network = evolve_network(0)
    batches = make_batches(0, network, classes=True, num_samples=4, batch_size=4)
    together = threading.Barrier(3, timeout=30)
    found, flow = [], torch_backend.Circuit.flow

    def observed(*arguments, **keywords):
        together.wait()
        found.append(torch.get_num_threads())
        together.wait()
        if name == "train that fails":
            raise KeyError(name)
        return flow(*arguments, **keywords)

    def work() -> int:
        if name == "outputs":
            kernel.outputs(network, network.weight, batches)
        else:
            kernel.train(
                network, network.weight.copy(), Plasticity(np.ones(network.num_edges, np.bool_)),
                make_optimization("sgd", lr=0.1), OptimizerState.zeros(network.num_edges), batches,
                np.zeros(1, np.int32), Loss.CROSS_ENTROPY,
            )  # fmt: skip
        return torch.get_num_threads()

    monkeypatch.setattr(torch_backend.Circuit, "flow", observed)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(work) for _ in range(3)]
        if name == "train that fails":
            assert all(isinstance(future.exception(), KeyError) for future in futures)
        else:
            assert [future.result() for future in futures] == [3, 3, 3]
    assert found == [1, 1, 1]
    assert torch.get_num_threads() == three_threads() == 3


@needs_torch
def test_threads_do_not_disturb_each_other(evolve_network, make_batches, kernel) -> None:
    def train(seed: int) -> bytes:
        network = evolve_network(seed, num_inputs=8, num_mutations=40)
        batches = make_batches(seed, network, classes=True, num_samples=64, batch_size=16)
        weights = network.weight.copy()
        kernel.train(
            network, weights, Plasticity(np.ones(network.num_edges, np.bool_)), make_optimization("adam", lr=0.01),
            OptimizerState.zeros(network.num_edges), batches, np.arange(20, dtype=np.int32) % 4, Loss.CROSS_ENTROPY,
        )  # fmt: skip
        return weights.tobytes()

    alone = [train(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(train, [0, 1, 2, 2, 1, 0])) == alone + alone[::-1]


@needs_torch
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_backend_goes_on_from_its_memory(
    evolve_network, make_batches, kernel, reference, optimizer: str
) -> None:
    """What ``torch.optim`` remembers is what `OptimizerState` says it is."""
    network = evolve_network(3, activations=("tanh", "sigmoid"), weight_std=0.5)
    batches = make_batches(0, network, classes=True, num_samples=24, batch_size=8)
    optimization = make_optimization(optimizer, lr=LEARNING_RATES[optimizer], momentum=0.8, lr_schedule="cosine")
    plastic = np.random.default_rng(1).random(network.num_edges) < 0.7
    after = []
    for first, second in ((reference, reference), (kernel, reference), (reference, kernel)):
        weights, state = network.weight.copy(), OptimizerState.zeros(network.num_edges, 9)
        for k, steps in ((first, [0, 1, 2, 0, 1]), (second, [2, 1, 0, 2])):
            k.train(
                network, weights, Plasticity(plastic), optimization, state, batches, np.array(steps, np.int32),
                Loss.CROSS_ENTROPY,
            )  # fmt: skip
        assert state.steps == 9
        after.append((weights, state.first, state.second))
    for found in after[1:]:
        for value, expected in zip(found, after[0], strict=True):
            np.testing.assert_allclose(value, expected, rtol=2e-4, atol=2e-5)


@needs_torch
def test_candidates_that_do_not_fit_at_once_come_in_turns(
    evolve_network, make_batches, kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from topoevo.kernels import torch_backend

    network = evolve_network(2, activations=("tanh",))
    batches = make_batches(0, network, classes=True, num_samples=8, batch_size=8)
    found, sizes = [], []
    scores = torch_backend.Circuit.scores
    monkeypatch.setattr(
        torch_backend.Circuit,
        "scores",
        lambda self, loss, weights, *rest: sizes.append(weights.shape) or scores(self, loss, weights, *rest),
    )
    for most in (2**26, 3 * network.num_nodes * 8, 1):
        monkeypatch.setattr(torch_backend, "_MOST_ACTIVITIES", most)
        weights = network.weight.copy()
        kernel.train_by_perturbations(
            network, weights, np.ones(network.num_edges, np.bool_), Perturbations(8, 0.1, True, Shaping.RAW),
            make_optimization("sgd", lr=0.1), OptimizerState.zeros(network.num_edges), batches, np.zeros(1, np.int32),
            Loss.CROSS_ENTROPY, np.random.default_rng(0),
        )  # fmt: skip
        found.append(weights)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5, atol=1e-6)
    # The network itself, then its candidates: 8 at once, 3 + 3 + 2, one by one.
    assert [shape[0] for shape in sizes if len(shape) == 2] == [8, 3, 3, 2, *[1] * 8]


@needs_torch
def test_a_whole_run(tmp_path) -> None:
    """Evolution with two threads as with one, and the same choice by either name."""
    from topoevo.experiment.data import load_task_of
    from topoevo.experiment.experiment import Experiment
    from topoevo.experiment.params import load_params

    small = {
        "num_generations": 2,
        "population_size": 4,
        "tournament_size": 2,
        "num_epochs": 1,
        "batch_size": 256,
        "activations": ("relu", "tanh"),
    }
    task = load_task_of(load_params(None, small))
    digests = []
    for changes in ({"use_torch": True}, {"use_torch": True, "num_workers": 2}, {"kernel": "torch"}, {}):
        params = load_params(None, {**small, **changes})
        assert params.kernel_name == ("torch" if changes else "numba")
        outcome = Experiment(params, task).run()
        assert outcome.champion.test.accuracy > 0.15
        digests.append(outcome.digest)
    assert digests[0] == digests[1] == digests[2]
