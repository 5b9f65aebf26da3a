"""Compare averaged Metropolis walks with gradient descent (Whitelam, Selin, Park & Tamblyn 2021).

    python benchmarks/metropolis.py --num_workers 2 --plot metropolis.png

One network of 1 input, one hidden layer of tanh and 1 output learns sin(pi x) at 1001 points of [-1, 1], all of them
in one minibatch, as in the code published with that article (ViktorSelin/MC-GD-correspondence). Walks from one and the
same start, of the loss that the published ones start from, are averaged weight by weight and compared with descent at
equal time t = alpha times its steps:

- beta infinite, 40 hidden nodes, against descent of step alpha along the normalized gradient; one proposal of
  sigma = lambda alpha sqrt(2 pi) stands for lambda steps;
- beta 1000, 32 hidden nodes, against plain descent of rate alpha; sigma = sqrt(2 lambda alpha / beta);
- a beta in between, where neither holds, against descent of rate beta sigma^2 / 2 erfcx(z / sqrt 2), z = beta sigma
  |gradient|, the exact mean of a proposal, of which the other two are the limits.

Delta_n is the mean over weights of the squared difference between descent and the mean of n walks; in theory it is
b + a / n with a = sigma^2 proposals / 2 (beta infinite) or sigma^2 proposals, as long as the loss is not curved. Where
it is, noise grows and shrinks on the way: its covariance C then follows C <- (1 + J) C (1 + J)^T + noise of a step, J
the derivative of a step of descent by the weights. Prints every figure next to its bounds, and ends with status 1 if
one is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

from topoevo.genome.dense import dense_genome
from topoevo.kernels import KERNELS, Batches, Kernel, Loss, load_kernel
from topoevo.learning.metropolis import Metropolis
from topoevo.learning.optimizers import make_optimization
from topoevo.network import Network, compile_network
from topoevo.seeds import Stream, generator

ALPHA = 1e-4
#: Loss of the published start.
START_LOSS = 0.24012
NUM_STEPS = 10_000
NUM_TIMES = 100
#: Steps of descent between two times that are compared.
STRIDE = NUM_STEPS // NUM_TIMES
#: Numbers of walks whose mean is compared.
GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64)
#: Sigma and beta for slopes where neither limit holds: z is about 1.
BETWEEN = (2.5e-4, 4e4)

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Course:
    """Weights at 1 + NUM_TIMES times, float64 [time, weight], and the losses there [time]."""

    weights: Array
    losses: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, its start, and the samples."""

    kernel: Kernel
    network: Network
    start: NDArray[np.float32]
    batches: Batches

    @staticmethod
    def make(kernel: Kernel, num_hidden: int, seed: int) -> Problem:
        """Draw starts as torch does, uniform up to one over the root of the fan-in, until the loss is as published."""
        network = compile_network(dense_genome(1, [num_hidden], 1, activation="tanh", bias=True))
        bound = 1 / np.sqrt(network.fan_in)
        points = np.linspace(-1, 1, 1001)[:, None]
        batches = Batches.lay_out(
            points.astype(np.float32), np.sin(np.pi * points).astype(np.float32), batch_size=len(points)
        )
        for index in count():
            start = generator(seed, Stream.INITIAL, num_hidden, index).uniform(-bound, bound)
            problem = Problem(kernel, network, start.astype(np.float32), batches)
            if abs(problem.loss_and_gradient(start)[0] / START_LOSS - 1) < 0.02:
                return problem
        raise AssertionError

    def loss_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Mean squared error, and its gradient."""
        inputs, targets = self.batches.inputs[0], self.batches.targets[0]
        single = weights.astype(np.float32)
        weighted_inputs, activities = self.kernel.forward(self.network, single, inputs)
        outputs = activities[-1:]
        output_errors = self.kernel.output_errors(Loss.MEAN_SQUARED_ERROR, outputs, targets)
        errors = self.kernel.backward(self.network, single, weighted_inputs, activities, output_errors)
        gradient = self.kernel.edge_products(self.network, errors, activities) / np.float64(inputs.shape[1])
        return float(np.mean((outputs - targets) ** 2, dtype=np.float64)), gradient

    def descend(self, rate: Callable[[float], float]) -> Course:
        """Gradient descent whose rate depends on the length of the gradient."""
        weights, courses, losses = self.start.astype(np.float64), [], []
        for step in range(NUM_STEPS + 1):
            loss, gradient = self.loss_and_gradient(weights)
            if step % STRIDE == 0:
                courses.append(weights)
                losses.append(loss)
            weights = weights - rate(float(np.linalg.norm(gradient))) * gradient
        return Course(np.array(courses), np.array(losses))

    def hessian(self, weights: Array, distance: float = 1e-2) -> Array:
        """Second derivatives of the loss by differences of gradients."""
        steps = distance * np.eye(len(weights))
        rows = [self.loss_and_gradient(weights + e)[1] - self.loss_and_gradient(weights - e)[1] for e in steps]
        matrix = np.array(rows) / (2 * distance)
        symmetric: Array = 0.5 * (matrix + matrix.T)
        return symmetric

    def noise_of_clipped_descent(self, course: Course, noise: float) -> Array:
        """Covariance of walks at the end, to first order, for a given variance of a weight's step."""
        one = np.eye(len(self.start))
        covariance: Array = np.zeros_like(one)
        for weights in course.weights[2:-1:5]:
            _, gradient = self.loss_and_gradient(weights)
            length = np.linalg.norm(gradient)
            along = np.outer(gradient, gradient) / length**2
            jacobian = -ALPHA / length * (one - along) @ self.hessian(weights)
            ten_steps = np.linalg.matrix_power(one + jacobian, 10)
            for _ in range(5 * STRIDE // 10):
                covariance = ten_steps @ covariance @ ten_steps.T + 10 * noise * one
        return covariance

    def walk(self, sigma: float, beta: float, proposals_per_time: int, rng: np.random.Generator) -> Course:
        """A Metropolis walk by the learning rule."""
        rule = Metropolis(sigma=sigma, beta=beta, num_proposals=proposals_per_time)
        learner = rule.start(
            self.network,
            self.start,
            kernel=self.kernel,
            optimization=make_optimization("none", lr=1.0),
            loss=Loss.MEAN_SQUARED_ERROR,
            rng=rng,
        )
        weights, losses = [learner.weights.astype(np.float64)], []
        for _ in range(NUM_TIMES):
            losses.append(learner.train(self.batches, np.zeros((1, 1), np.int32)).losses[0])
            weights.append(learner.weights.astype(np.float64))
        losses.append(self.loss_and_gradient(weights[-1])[0])
        return Course(np.array(weights), np.array(losses))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Walks and the descent that their mean should follow."""

    name: str
    problem: Problem
    descent: Course
    weights: Array  #: [walk, time, weight]
    losses: Array  #: [walk, time]
    noise: Array  #: what theory says of a at every time, [time]

    def first(self, num_walks: int) -> Comparison:
        """The same with fewer walks."""
        return replace(self, weights=self.weights[:num_walks], losses=self.losses[:num_walks])

    def loss_of_mean(self) -> Array:
        """Loss of the mean weights, [time]."""
        return np.array([self.problem.loss_and_gradient(w)[0] for w in self.weights.mean(axis=0)])

    def delta(self, size: int, descent: Course | None = None) -> Array:
        """Delta_n, averaged over as many groups of n walks as there are, [time]."""
        num_groups = len(self.weights) // size
        groups = self.weights[: num_groups * size].reshape(num_groups, size, *self.weights.shape[1:])
        delta: Array = ((groups.mean(axis=1) - (descent or self.descent).weights) ** 2).mean(axis=(0, 2))
        return delta

    def fit(self, time: int) -> tuple[float, float]:
        """a and b of Delta_n = b + a / n, relative errors weighted alike."""
        sizes = np.array([size for size in GROUP_SIZES if size <= len(self.weights)])
        deltas = np.array([self.delta(size)[time] for size in sizes])
        a, b = np.polyfit(1 / sizes, deltas, 1, w=1 / deltas)
        return float(a), float(b)

    def cosine(self) -> float:
        """Cosine of the displacements of descent and of the mean weights at the end."""
        one = self.descent.weights[-1] - self.descent.weights[0]
        other = self.weights[:, -1].mean(axis=0) - self.descent.weights[0]
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


@dataclass(frozen=True)
class Check:
    """A figure and its bounds."""

    name: str
    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bounds."""
        return self.low <= self.value <= self.high


def main() -> int:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_workers", type=int, default=1, help="threads, one walk each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kernel", default="numba", choices=list(KERNELS))
    parser.add_argument("--plot", type=Path, help="picture of the courses")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    kernel = load_kernel(given.kernel)
    kernel.prepare("train_by_proposals")

    def compare(
        problem: Problem,
        descent: Course,
        *,
        sigma: float,
        beta: float = math.inf,
        ratio: float = 1.0,
        num_walks: int = 64,
    ) -> Comparison:
        name = f"beta {beta:g}, lambda {ratio:g}"
        per_time = round(STRIDE / ratio)
        address = 1000 * round(1 / ratio) + (0 if math.isinf(beta) else round(math.log2(beta)))

        def walk(index: int) -> Course:
            return problem.walk(sigma, beta, per_time, generator(given.seed, Stream.LEARNING, address, index))

        started = time.perf_counter()
        with ThreadPoolExecutor(given.num_workers) as pool:
            courses = list(pool.map(walk, range(num_walks)))
        seconds = time.perf_counter() - started
        print(f"{name}: {num_walks} walks of {per_time * NUM_TIMES} proposals in {seconds:.0f} s", file=sys.stderr)
        share = 0.5 if math.isinf(beta) else 1.0
        noise = share * sigma**2 * per_time * np.arange(NUM_TIMES + 1, dtype=np.float64)
        weights, losses = np.array([c.weights for c in courses]), np.array([c.losses for c in courses])
        return Comparison(name, problem, descent, weights, losses, noise)

    wide, narrow = Problem.make(kernel, 40, given.seed), Problem.make(kernel, 32, given.seed)
    clipped = wide.descend(lambda length: ALPHA / length)
    sigma = ALPHA * math.sqrt(2 * math.pi)
    slow = compare(wide, clipped, sigma=sigma)
    fine = compare(wide, clipped, sigma=sigma / 10, ratio=0.1, num_walks=16)
    warm = compare(narrow, narrow.descend(lambda _: ALPHA), sigma=math.sqrt(2 * ALPHA / 1e3), beta=1e3)
    sigma, beta = BETWEEN
    limits = [
        narrow.descend(lambda _: 0.5 * beta * sigma**2),
        narrow.descend(lambda length: sigma / math.sqrt(2 * math.pi) / length),
    ]
    exact = narrow.descend(lambda length: 0.5 * beta * sigma**2 * float(erfcx(beta * sigma * length / math.sqrt(2))))
    between = compare(narrow, exact, sigma=sigma, beta=beta)

    checks = [*infinite_beta(slow, fine), *small_beta(warm), *any_beta(between, limits)]
    for check in checks:
        bounds = f"{check.low:>9.3g} … {check.high:<9.3g}"
        print(f"{check.name:<76}{check.value:>11.3g}{bounds}{'ok' if check.holds else 'MISSED'}")
    if given.json:
        given.json.write_text(json.dumps([asdict(check) for check in checks], indent=2) + "\n")
    if given.plot:
        draw(slow, fine, warm, between, limits, given.plot)
    return int(not all(check.holds for check in checks))


def infinite_beta(slow: Comparison, fine: Comparison) -> list[Check]:
    """Figures of lambda 1 and of a smaller one."""
    checks = []
    for comparison in (slow, fine):
        ten, loss = comparison.first(10), comparison.descent.losses[-1]
        excess = abs(float(ten.losses[:, -1].mean() / loss) - 1)
        delta = float(ten.delta(10)[-1])
        bounds = (2e-5, 6e-5) if comparison is slow else (0.0, float(slow.first(10).delta(10)[-1]))
        checks += [
            Check(f"{comparison.name}: mean loss of 10 walks over that of descent, off 1 by", excess, 0.0, 0.03),
            Check(f"{comparison.name}: Delta_10 at the end", delta, *bounds),
            Check(f"{comparison.name}: cosine of displacements of descent and 10 walks", ten.cosine(), 0.99, 1.0),
        ]
        moment = NUM_TIMES if comparison is slow else NUM_TIMES // 2
        ratio = comparison.fit(moment)[0] / float(comparison.noise[moment])
        checks.append(Check(f"{comparison.name}: a over its theory at t = {moment / NUM_TIMES:g}", ratio, 0.85, 1.15))
    noise = float(fine.noise[-1]) / NUM_STEPS
    spectrum = np.linalg.eigvalsh(fine.problem.noise_of_clipped_descent(fine.descent, noise))
    ratio = fine.fit(NUM_TIMES)[0] / float(spectrum.mean())
    # Of a sample variance of normal numbers, summed over the directions of the covariance.
    error = math.sqrt(2 / (len(fine.weights) - 1) * np.sum(spectrum**2)) / np.sum(spectrum)
    checks.append(Check(f"{fine.name}: a over its theory with curvature at t = 1", ratio, 1 - 3 * error, 1 + 3 * error))
    b = (comparison.fit(NUM_TIMES)[1] for comparison in (fine, slow))
    return [*checks, Check("b at lambda 0.1, at most that at lambda 1", next(b), -math.inf, next(b))]


def small_beta(warm: Comparison) -> list[Check]:
    """Figures of a beta that is small for the slopes there are."""
    ratio = warm.fit(NUM_TIMES)[0] / float(warm.noise[-1])
    return [
        Check(f"{warm.name}: a over its theory at t = 1", ratio, 0.85, 1.15),
        Check(
            f"{warm.name}: loss of the mean of 64 over that of descent, off 1 by", apart(warm, warm.descent), 0.0, 0.05
        ),
    ]


def any_beta(between: Comparison, limits: list[Course]) -> list[Check]:
    """Figures of a beta that is neither small nor large: the exact rate holds, its limits do not."""
    checks = [
        Check(f"{between.name}: loss of the mean, exact rate, off 1 by", apart(between, between.descent), 0.0, 0.05),
        Check(f"{between.name}: cosine of displacements of descent and 64 walks", between.cosine(), 0.99, 1.0),
    ]
    delta = float(between.delta(64)[-1])
    for name, descent in zip(("small", "infinite"), limits, strict=True):
        other = float(between.delta(64, descent)[-1])
        checks.append(
            Check(f"{between.name}: Delta_64, over that of the limit of {name} beta", delta / other, 0.0, 0.1)
        )
    return checks


def apart(comparison: Comparison, descent: Course) -> float:
    """Largest relative difference of the loss of the mean weights from that of descent, from t = .1 on."""
    relaxed = slice(NUM_TIMES // 10, None)
    return float(np.abs(comparison.loss_of_mean() / descent.losses - 1)[relaxed].max())


def draw(
    slow: Comparison, fine: Comparison, warm: Comparison, between: Comparison, limits: list[Course], file: Path
) -> None:
    """Write a picture of losses and differences."""
    from matplotlib.figure import Figure

    t = np.linspace(0, 1, NUM_TIMES + 1)
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    for panel, comparison in zip(axes.flat[[0, 2, 3]], (slow, warm, between), strict=True):
        panel.plot(t, comparison.losses[:10].T, color="#bbbbbb", linewidth=0.6)
        panel.plot([], [], color="#bbbbbb", label="single walks")
        panel.plot(
            t, comparison.loss_of_mean(), color="#c1272d", linewidth=2.2, label=f"mean of {len(comparison.losses)}"
        )
        panel.plot(t, comparison.descent.losses, color="black", linestyle="--", label="gradient descent")
        panel.set(title=comparison.name, xlabel="t", ylabel="mean squared error")
    for name, descent, style in zip(("small", "infinite"), limits, (":", "-."), strict=True):
        axes[1, 1].plot(t, descent.losses, color="#1f77b4", linestyle=style, label=f"limit of {name} beta")
    for comparison, color in ((slow, "#c1272d"), (fine, "#1f77b4")):
        for size, width in ((1, 2.2), (4, 1.6), (16, 1.1)):
            label = f"{comparison.name}, n = {size}"
            axes[0, 1].plot(t[1:], comparison.delta(size)[1:], color=color, linewidth=width, label=label)
            axes[0, 1].plot(t[1:], comparison.noise[1:] / size, color=color, linewidth=0.8, linestyle=":")
    axes[0, 1].plot([], [], color="black", linewidth=0.8, linestyle=":", label="a / n in theory")
    axes[0, 1].set(title="difference of mean weights from descent", xlabel="t", ylabel="Delta", yscale="log")
    for panel in axes.flat:
        panel.legend(fontsize=7)
        panel.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
