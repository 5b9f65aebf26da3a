"""Pictures show what they should, whichever engine draws, and odd genomes do not stop them."""

from __future__ import annotations

import io
import re
import shutil
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from topoevo.activations import ACTIVATIONS
from topoevo.errors import NetworkFileError
from topoevo.genome import InnovationTracker, minimal_genome
from topoevo.reporting import picture_graphviz
from topoevo.reporting.network_file import NetworkFile
from topoevo.reporting.picture_layout import lay_out
from topoevo.reporting.picture_scene import NEGATIVE, POSITIVE, make_scene
from topoevo.reporting.pictures import draw_network, draw_network_file

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")


@pytest.fixture(params=[pytest.param("graphviz", marks=needs_dot), "matplotlib"])
def engine(request, monkeypatch):
    if request.param == "matplotlib":
        monkeypatch.setenv("PATH", "")
        assert not picture_graphviz.is_installed()
    return request.param


def assert_all_is_in_view(svg):
    """Assert that every node of a picture by graphviz lies within its view box."""
    root = ElementTree.parse(svg).getroot()
    if "graphviz" not in svg.read_text():
        return
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    group = next(one for one in root.iter() if one.attrib.get("id") == "graph0")
    scale = float(re.search(r"scale\(([\d.]+)", group.attrib["transform"])[1])
    circles = [one for one in root.iter() if one.tag.endswith("ellipse")]
    assert circles
    for one in circles:
        assert 0 <= scale * float(one.attrib["cx"]) <= width
        assert 0 <= scale * -float(one.attrib["cy"]) <= height


def paths(tmp_path):
    return tmp_path / "n.svg", tmp_path / "n.png"


def large_genome(num_connections, *, num_inputs=256, num_outputs=10, seed=0):
    rng = np.random.default_rng(seed)
    tracker = InnovationTracker()
    genome = minimal_genome(num_inputs, num_outputs, p_enabled=0.05, tracker=tracker, rng=rng, bias=True)
    while genome.complexity.connections < num_connections:
        enabled = genome.connections[genome.connections["enabled"] & (genome.connections["source"] != num_inputs)]
        name = str(rng.choice(list(ACTIVATIONS)))
        genome = genome.split(int(rng.choice(enabled["innovation"])), tracker=tracker, activation=name)
    return genome.with_weights(rng.normal(size=len(genome.connections)).astype(np.float32))


def test_both_files_are_written_and_nothing_else(tmp_path, genome, engine):
    svg, png = paths(tmp_path)
    draw_network(genome, svg, png, title="a <title> & more", output_names=["<b>", 'x"y', "back\\slash\\n"])
    ElementTree.parse(svg)
    text = svg.read_text()
    assert_all_is_in_view(svg)
    assert "a &lt;title&gt; &amp; more" in text
    assert "&lt;b&gt;" in text and "x&quot;y" in text.replace('x"y', "x&quot;y") and "back\\slash\\n" in text
    assert png.read_bytes().startswith(b"\x89PNG")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["n.png", "n.svg"]


@pytest.mark.parametrize("num_connections", [300, 1000])
def test_large_networks_are_drawn_in_seconds(tmp_path, engine, num_connections):
    genome = large_genome(num_connections)
    started = time.perf_counter()
    draw_network(genome, *paths(tmp_path), title="large")
    assert time.perf_counter() - started < 10
    assert (tmp_path / "n.png").stat().st_size < 4_000_000


def test_every_active_gene_is_in_the_scene(genome):
    scene = make_scene(genome)
    curves = [curve for curve in scene.curves if curve.tooltip]
    circles = [circle for circle in scene.circles if circle.tooltip]
    nodes, _ = genome.active
    assert len(curves) == genome.complexity.connections
    assert len(circles) == np.count_nonzero(nodes) - 1  # the bias node is a ring
    signs = [curve.color for curve in curves]
    weights = [float(re.search(r"weight (\S+)", curve.tooltip).group(1)) for curve in curves]
    assert signs == [POSITIVE if weight >= 0 else NEGATIVE for weight in weights]
    widths = [curve.width for curve in curves]
    assert widths == sorted(widths)  # strong ones last, on top
    legend = {words.text for words in scene.words}
    used = {circle.tooltip.split(": ")[1].split(",")[0] for circle in circles if ": " in circle.tooltip}
    assert used <= legend and "with bias" in legend


@pytest.mark.parametrize("seed", range(5))
def test_nodes_do_not_overlap_and_edges_lead_to_the_right(seed):
    layout = lay_out(large_genome(200, num_inputs=64, seed=seed))
    distance = np.linalg.norm(layout.position[:, None] - layout.position[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (distance >= layout.radius[:, None] + layout.radius[None]).all()
    x = layout.position[:, 0]
    assert (x[layout.edges[:, 0]] < x[layout.edges[:, 1]]).all()


def test_outputs_keep_their_order_and_names_stand_beside_their_nodes(genome):
    scene = make_scene(genome, output_names=["cat", "dog", "émeu"], input_names=list("abcdef"))
    by_text = {words.text: words for words in scene.words}
    assert by_text["cat"].y > by_text["dog"].y > by_text["émeu"].y
    circle = next(circle for circle in scene.circles if circle.tooltip.startswith("output") and "dog" in circle.tooltip)
    assert by_text["dog"].y == pytest.approx(circle.y) and by_text["dog"].x > circle.x


def test_everything_lies_inside_the_picture(genome):
    for one in (genome, large_genome(300)):
        scene = make_scene(one, title="t" * 80, subtitle="s" * 200, output_names=["n" * 50] * one.num_outputs)
        for circle in scene.circles:
            assert circle.radius <= circle.x <= scene.width - circle.radius
            assert circle.radius <= circle.y <= scene.height - circle.radius
        assert all(0 <= words.x <= scene.width and 0 <= words.y <= scene.height for words in scene.words)


@needs_dot
def test_long_input_names_do_not_move_the_picture(tmp_path, genome):
    names = [f"the {number}. of many long names" for number in range(6)]
    scene = make_scene(genome, input_names=names, output_names=["cat", "dog", "malignant"])
    picture_graphviz.draw(scene, tmp_path / "n.svg")
    root = ElementTree.parse(tmp_path / "n.svg").getroot()
    found = sorted(float(one.attrib["cx"]) for one in root.iter() if one.tag.endswith("ellipse"))
    np.testing.assert_allclose(found, sorted(circle.x for circle in scene.circles), atol=0.1)


def test_odd_genomes_are_drawn(tmp_path, engine):
    rng = np.random.default_rng(0)
    single = minimal_genome(1, 1, p_enabled=1, tracker=InnovationTracker(), rng=rng)
    empty = single.without_connection(0)
    wide = minimal_genome(1, 300, p_enabled=0.9, tracker=InnovationTracker(), rng=rng)
    zero = single.with_weights(np.zeros(1, np.float32))
    for number, genome in enumerate((single, empty, wide, zero)):
        draw_network(genome, tmp_path / f"{number}.svg", tmp_path / f"{number}.png", title="odd")
        assert (tmp_path / f"{number}.png").stat().st_size > 1000


def test_a_file_that_cannot_be_written_costs_the_others_nothing(tmp_path, genome):
    gone = tmp_path / "no such folder" / "n.svg"
    with pytest.raises(OSError, match="no such folder") as caught:
        draw_network(genome, gone, tmp_path / "n.png")
    assert caught.value.filename == str(gone)
    assert [path.name for path in tmp_path.iterdir()] == ["n.png"]


@needs_dot
def test_matplotlib_steps_in_when_graphviz_fails(tmp_path, genome, monkeypatch):
    def fail(*_: object):
        raise OSError("broken installation")

    monkeypatch.setattr(picture_graphviz, "draw", fail)
    draw_network(genome, *paths(tmp_path))
    assert "matplotlib" in (tmp_path / "n.svg").read_text().lower()


@needs_dot
def test_graphviz_and_matplotlib_agree_on_the_size(tmp_path, genome, monkeypatch):
    sizes = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        draw_network(genome, *paths(tmp_path / folder), title="t", output_names=["a", "b", "c"])
        monkeypatch.setenv("PATH", "")
        header = (tmp_path / folder / "n.png").read_bytes()[16:24]
        sizes.append(np.frombuffer(header, ">u4"))
    assert (np.abs(sizes[0].astype(int) - sizes[1].astype(int)) <= 16).all()


def test_a_network_file_is_drawn_with_what_it_says(tmp_path, genome, task):
    names = {"input_names": list(task.input_names), "output_names": list(task.output_names)}
    scaling = {"input_offset": [0.0] * 6, "input_scale": [1.0] * 6, "target_offset": [], "target_scale": []}
    facts = {
        "task": {"name": "pets", "kind": "classification", "loss": "cross_entropy", **names, **scaling},
        "scores": {"test": {"accuracy": 0.875}, "validation": None},
    }
    draw_network_file(NetworkFile(genome, facts), tmp_path / "n.svg")
    text = (tmp_path / "n.svg").read_text()
    assert "pets" in text and "test accuracy 0.8750" in text and "émeu" in text
    acted = {**facts, "scores": {"test": {"reward": 12.5, "accuracy": None}}}
    draw_network_file(NetworkFile(genome, acted), tmp_path / "n.svg")
    assert "test reward 12.5" in (tmp_path / "n.svg").read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["n.svg"]
    draw_network_file(NetworkFile(genome, {}), tmp_path / "n.png")
    with pytest.raises(NetworkFileError, match="cannot be written"):
        draw_network_file(NetworkFile(genome, {}), tmp_path / "absent" / "n.png")


def test_long_words_of_a_comparison_stay_inside_the_picture():
    from types import SimpleNamespace

    from matplotlib.image import imread

    from topoevo.reporting.controls_picture import picture_of

    scores = np.linspace(0.5, 0.9, 3)
    comparison = SimpleNamespace(
        champions=[1], controls=[2], num_epochs=1000, measure="rmse", test_scores=lambda networks: scores
    )
    title = "a-table.csv: shuffled by layer networks with 12345 connections, direct_feedback_alignment"
    for words in (title, title * 2):
        png = picture_of(comparison, title=words, subtitle=words)["png"]
        pixels = imread(io.BytesIO(png))[..., :3]
        assert (pixels[:, -10:] == 1).all() and (pixels[:60] < 1).any()
