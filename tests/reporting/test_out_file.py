"""The published text format: read by its definition, written back, and refused where it says something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import topoevo
from topoevo.activations import ACTIVATIONS, ACTIVATIONS_BY_CODE
from topoevo.errors import NetworkFileError
from topoevo.network import compile_network
from topoevo.reporting.out_file import ACTIVATION_NAMES, out_text, read_out, write_out

#: By the description of the format: number in the last column, and the function in plain numpy.
FUNCTIONS = {
    1: lambda x: x,
    2: lambda x: 1.0 * (x > 0.0),
    3: lambda x: np.sin(np.pi * x),
    4: lambda x: np.exp(-x * x / 2.0),
    5: np.tanh,
    6: lambda x: 1.0 / (1.0 + np.exp(-x)),
    7: lambda x: -x,
    8: np.abs,
    9: lambda x: np.maximum(x, 0.0),
    10: lambda x: np.cos(np.pi * x),
}

#: The published champion for CartPoleSwingUp.
SWING = Path(__file__).resolve().parents[3] / "shared" / "data" / "wann" / "swing.out"

#: Bias, two inputs, a hidden node of every kind in a chain, two outputs.
NUM_NODES = 15


def matrix(seed=0):
    """Weights above the diagonal, and activation numbers; some weights nan."""
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.normal(size=(NUM_NODES, NUM_NODES)), 1) * (rng.random((NUM_NODES, NUM_NODES)) < 0.4)
    for row in range(2, NUM_NODES - 2):
        weights[row, row + 1] = 1.0
    weights[1, 3], weights[3, NUM_NODES - 1] = 0.5, 1.0
    weights[:, :3] = weights[-2:] = 0.0
    weights[0, 5] = weights[1, 6] = np.nan
    return weights, np.array([1, 1, 1, *FUNCTIONS, 5, 1])


def write(path, weights, numbers):
    """A file as numpy writes it."""
    np.savetxt(path, np.column_stack([weights, numbers]), delimiter=",", fmt="%.9e")
    return path


def by_definition(weights, numbers, inputs, num_outputs):
    """Outputs [num_outputs, num_samples] of the matrix itself, node after node."""
    weights = np.nan_to_num(weights)
    activities = np.zeros((len(weights), len(inputs)))
    activities[0] = 1.0
    activities[1 : 1 + inputs.shape[1]] = inputs.T
    for node in range(1 + inputs.shape[1], len(weights)):
        activities[node] = FUNCTIONS[int(numbers[node])](weights[:, node] @ activities)
    return activities[-num_outputs:]


@pytest.mark.parametrize("seed", range(3))
def test_the_network_computes_what_the_matrix_says(tmp_path, reference, seed):
    weights, numbers = matrix(seed)
    genome = read_out(write(tmp_path / "a.out", weights, numbers)).genome
    assert (genome.num_inputs, genome.num_outputs, genome.bias_id) == (2, 2, 2)
    network = compile_network(genome)
    inputs = np.random.default_rng(1).normal(size=(20, 2))
    _, activities = reference.forward(network, network.weight.astype(np.float64), inputs.T)
    # Weights are single precision here, and so is pi.
    np.testing.assert_allclose(activities[-2:], by_definition(weights, numbers, inputs, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not SWING.exists(), reason="the published champion is not here")
def test_the_published_champion(reference):
    file = read_out(SWING)
    numbers = np.genfromtxt(SWING, delimiter=",")
    genome = file.genome
    assert (len(genome.nodes), len(genome.connections)) == (29, 52)
    assert (genome.num_inputs, genome.num_outputs, genome.complexity.biases) == (5, 1, 1)
    network = compile_network(genome)
    inputs = np.random.default_rng(0).normal(size=(200, 5))
    present = np.nan_to_num(numbers[:, :-1]) != 0
    for weight in (-1.5, 0.7):
        weights = np.full(network.num_edges, weight)
        _, activities = reference.forward(network, weights, inputs.T)
        expected = by_definition(weight * present, numbers[:, -1], inputs, 1)
        # Both sides of a step, and sines behind it: a few samples may be rounded to another side.
        assert np.quantile(np.abs(activities[-1:] - expected), 0.98) < 1e-4


def test_every_activation_has_a_number():
    assert sorted(ACTIVATION_NAMES) == sorted(ACTIVATIONS)
    z = np.linspace(-3, 3, 101)
    for number, name in enumerate(ACTIVATION_NAMES, 1):
        np.testing.assert_allclose(ACTIVATIONS[name].value(z), FUNCTIONS[number](z), atol=1e-6)


def test_zero_and_nan_are_no_connection(tmp_path):
    weights, numbers = matrix()
    genome = read_out(write(tmp_path / "a.out", weights, numbers)).genome
    assert len(genome.connections) == np.count_nonzero(np.nan_to_num(weights))
    assert genome.connections["enabled"].all()


@pytest.mark.parametrize("seed", range(10))
def test_a_genome_comes_back(tmp_path, evolve, seed):
    genome = evolve(seed, num_inputs=6, num_outputs=2, bias=seed % 2 == 0)
    write_out(tmp_path / "a.out", genome)
    read = read_out(tmp_path / "a.out", num_inputs=6, num_outputs=2).genome
    assert read.complexity == genome.complexity
    inputs = np.random.default_rng(seed).normal(size=(6, 30)).astype(np.float32)
    outputs = []
    for one in (genome, read):
        network = compile_network(one)
        _, activities = topoevo.kernels.load_kernel("reference").forward(
            network, network.weight.astype(np.float64), inputs
        )
        outputs.append(activities[-2:])
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-9, atol=1e-9)
    assert out_text(read) == (tmp_path / "a.out").read_text()
    assert read_out(tmp_path / "a.out", num_inputs=6, num_outputs=2).genome.digest == read.digest


def test_weights_come_back_bit_for_bit_and_unset_ones_as_one(tmp_path, evolve):
    genome = evolve(0, p_remove=0.0)
    write_out(tmp_path / "a.out", genome)
    read = read_out(tmp_path / "a.out", num_inputs=5).genome
    kept = genome.connections["weight"][genome.enabled]
    assert sorted(read.connections["weight"].tolist()) == sorted(kept.tolist())
    write_out(tmp_path / "b.out", genome.with_weights(np.full(len(genome.connections), np.nan, np.float32)))
    assert set(read_out(tmp_path / "b.out", num_inputs=5).genome.connections["weight"].tolist()) == {1.0}


def test_load_network_takes_it(tmp_path):
    path = write(tmp_path / "a.out", *matrix())
    network = topoevo.load_network(path)
    assert network.network.num_inputs == 2
    assert network.outputs(np.ones((3, 2), np.float32)).shape == (2, 3)


# -- inputs and outputs -----------------------------------------------------------------------------------------


def flat(num_inputs, num_outputs, pairs):
    """A matrix without hidden nodes; pairs of input and output that are connected, from 0."""
    num_nodes = 1 + num_inputs + num_outputs
    weights = np.zeros((num_nodes, num_nodes))
    for i, o in pairs:
        weights[1 + i, 1 + num_inputs + o] = 1.0
    return weights, np.ones(num_nodes)


def sizes(path, **given):
    genome = read_out(path, **given).genome
    return genome.num_inputs, genome.num_outputs


def test_numbers_of_inputs_and_outputs_are_found(tmp_path):
    path = write(tmp_path / "a.out", *flat(3, 2, [(0, 0), (1, 1), (2, 0)]))
    assert sizes(path) == sizes(path, num_inputs=3) == sizes(path, num_outputs=2) == (3, 2)
    # The second input is not used, the second output not connected: nothing is between them to be mistaken.
    assert sizes(write(path, *flat(3, 2, [(0, 0), (2, 0)]))) == (3, 2)


def test_where_inputs_and_outputs_meet_one_number_decides(tmp_path):
    path = write(tmp_path / "a.out", *flat(3, 2, [(0, 1)]))
    with pytest.raises(
        NetworkFileError, match=r"nodes 3 to 5 are connected to nothing.*give num_inputs or num_outputs"
    ):
        read_out(path)
    for number in (1, 2, 3, 4):
        assert sizes(path, num_inputs=number) == (number, 5 - number)
        assert sizes(path, num_outputs=5 - number) == (number, 5 - number)
        assert sizes(path, num_inputs=number, num_outputs=5 - number) == (number, 5 - number)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_inputs": 3}, "num_inputs is 3, but line 2 feeds node 4, an input then"),
        ({"num_outputs": 3}, "num_outputs is 3, but node 13, an output then, feeds others"),
        ({"num_inputs": 0}, "num_inputs is 0, must be from 1 to 13"),
        ({"num_outputs": 14}, "num_outputs is 14, must be from 1 to 13"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, given, message):
    path = write(tmp_path / "a.out", *matrix(1))
    with pytest.raises(NetworkFileError, match=message):
        read_out(path, **given)


def test_more_inputs_and_outputs_than_nodes_are_refused(tmp_path):
    path = write(tmp_path / "a.out", *flat(3, 2, [(0, 1)]))
    with pytest.raises(NetworkFileError, match="6 nodes, too few for 4 inputs and 3 outputs"):
        read_out(path, num_inputs=4, num_outputs=3)


# -- what is no such file ---------------------------------------------------------------------------------------


def _cell(line, column, text):
    def change(lines):
        cells = lines[line].split(",")
        cells[column] = text
        lines[line] = ",".join(cells)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_cell(2, 4, "x" * 100), "line 3, number 5: '" + "x" * 40 + "' is no number"),
        (_cell(2, 4, ""), "line 3, number 5: '' is no number"),
        (_cell(2, 4, "1e39"), "line 3, number 5: the weight 1e[+]39 is too large"),
        (_cell(2, 4, "-inf"), "line 3, number 5: the weight -inf is too large"),
        (_cell(2, -1, "11"), "line 3 ends with the activation 11, must be a whole number from 1 to 10"),
        (_cell(2, -1, "0"), "line 3 ends with the activation 0"),
        (_cell(2, -1, "1.5"), "line 3 ends with the activation 1.5"),
        (_cell(2, -1, "nan"), "line 3 ends with the activation nan"),
        (_cell(2, 4, "1,1"), "line 3 has 17 numbers; a network of 15 rows needs 16 in each"),
        (lambda lines: lines.pop(), "line 1 has 16 numbers; a network of 14 rows needs 15"),
        (lambda lines: lines.append(lines[0]), "line 1 has 16 numbers; a network of 16 rows needs 17"),
        (_cell(4, 0, "1"), "line 5 feeds node 1, which is the bias"),
        (_cell(4, 1, "1"), "there are no inputs"),
        (_cell(-1, 5, "1"), "there are no outputs"),
        (_cell(6, 5, "1"), "cycle"),
        (_cell(6, 6, "1"), "cycle"),
        (lambda lines: lines.clear(), "has 0 rows"),
        (lambda lines: lines.__setitem__(slice(None), ["0,1"]), "has 1 rows"),
    ],
)
def test_wrong_files_are_refused(tmp_path, change, message):
    path = write(tmp_path / "a.out", *matrix())
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines))
    with pytest.raises(NetworkFileError, match=message) as caught:
        read_out(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_line_of_millions_is_refused_before_it_is_split(tmp_path):
    path = tmp_path / "a.out"
    path.write_text("0," * 3_000_000 + "1\n")
    with pytest.raises(NetworkFileError, match="line 1 has 3000001 numbers; a network of 1 rows needs 2"):
        read_out(path)


def test_missing_binary_and_huge_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(NetworkFileError, match="no such file"):
        read_out(tmp_path / "absent.out")
    (tmp_path / "b.out").write_bytes(b"\xff\xfe1,2\n")
    with pytest.raises(NetworkFileError, match="UTF-8"):
        read_out(tmp_path / "b.out")
    path = write(tmp_path / "a.out", *matrix())
    monkeypatch.setattr("topoevo.reporting.network_file.MAX_BYTES", 10)
    with pytest.raises(NetworkFileError, match="at most 10"):
        read_out(path)


def test_files_with_blank_lines_and_windows_line_ends_are_read(tmp_path):
    path = write(tmp_path / "a.out", *matrix())
    expected = read_out(path).genome
    path.write_bytes(b"\r\n" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read_out(path).genome.digest == expected.digest
    hidden = expected.nodes["activation"][expected.nodes["role"] == 2]
    assert [ACTIVATIONS_BY_CODE[code].name for code in hidden] == list(ACTIVATION_NAMES)
