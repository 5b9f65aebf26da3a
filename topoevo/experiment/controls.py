"""What a topology is worth: a champion trained anew beside networks of its size that nothing has selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from topoevo.errors import ParamsError
from topoevo.evolution import Evaluation
from topoevo.evolution.mutating import mutate
from topoevo.evolution.reproduction import initial_population
from topoevo.experiment.comparison import Comparison, TrainedControl
from topoevo.experiment.evaluators import DatasetEvaluator
from topoevo.experiment.founder import sparse_networks
from topoevo.experiment.interruption import StopRequest
from topoevo.experiment.params import Params
from topoevo.experiment.preparation import prepare_compiled
from topoevo.experiment.records import TaskScore
from topoevo.experiment.shared_data import TaskData
from topoevo.experiment.workers import Workers
from topoevo.genome import Genome, InnovationTracker
from topoevo.genome.genes import BIAS, UNSET
from topoevo.genome.shuffling import shuffled, shuffled_by_layer
from topoevo.seeds import Stream, generator
from topoevo.tasks.task import Task
from topoevo.variation import MUTATIONS, Mutation

#: Addresses within the stream of controls; genomes of the first kind come after these.
_MINIBATCHES, _TRAINING, _FIRST_GENOMES = 0, 1, 2
#: Mutations that make networks larger without evidence.
_ADDING = ("add_connection", "add_node")
#: Random mutations for every connection of the champion: as long as networks may shrink again, and in all.
_PATIENCE, _LIMIT = 10, 100


def random_network(champion: Genome, params: Params, rng: np.random.Generator) -> Genome:
    """Return a genome that was mutated at random until it had as many connections as the champion.

    It begins like the networks of a run: random connections from inputs to outputs, so many at most that the champion's
    number leaves room for those that are split. Then the run's own mutations are drawn with the run's probabilities;
    one that would lead past the champion's number of connections is not made. Mutations that are led by evidence are
    left out; where no other adds connections between nodes that there are, `add_connection` has its default
    probability, and `add_node` where no other adds nodes. Where removing goes faster than adding, mutations that lead
    away from that number are not made any more after 10 mutations a connection, and after 100 there is an end.

    Parameters
    ----------
    champion
        Whose numbers of inputs, outputs, and connections on some path from an input to an output to take.
    params
        Settings of the run. ``max_connections``, ``hidden_layers`` and ``network`` do not count.
    rng
        Generator.
    """
    wanted = champion.complexity.connections
    tracker = InnovationTracker()
    unlimited = sparse_networks(params, champion.num_inputs, champion.num_outputs)
    networks = replace(
        unlimited,
        add_node=_operator("add_node", params, max_connections=wanted),
        max_connections=max(int(wanted / (1.0 + unlimited.p_add_node)), 1),
    )
    (first,) = initial_population(1, networks, tracker=tracker, seed=int(rng.integers(2**63))).members
    everything = params.mutation_probabilities()
    blind = {name: p for name, p in everything.items() if not MUTATIONS[name].needs_evidence}
    is_led = any(everything[name] for name in everything.keys() - blind.keys())
    if is_led and not blind["add_connection"]:
        # By new nodes alone a network would have about as many of them as connections.
        blind |= {name: blind[name] or MUTATIONS[name].default_probability for name in _ADDING}
    mutations = {_operator(name, params): p for name, p in blind.items()}
    genome = first.genome
    for tried in range(_LIMIT * wanted):
        missing = wanted - genome.complexity.connections
        if missing == 0:
            break
        mutated, _ = mutate(genome, mutations, 1, tracker, rng)
        still_missing = wanted - mutated.complexity.connections
        if still_missing >= 0 and (still_missing <= missing or tried < _PATIENCE * wanted):
            genome = mutated
    return genome


#: How to make a control network from the champion, the settings and a generator, by name of the kind. The order is part
#: of the addresses of random numbers: new kinds come last.
CONTROLS: Mapping[str, Callable[[Genome, Params, np.random.Generator], Genome]] = MappingProxyType(
    {
        "random": random_network,
        "shuffled": lambda champion, params, rng: shuffled(champion, rng),
        "shuffled_by_layer": lambda champion, params, rng: shuffled_by_layer(champion, rng),
    }
)


class ControlExperiment:
    """Train a champion's topology and networks to compare it with.

    Every network is trained as often as the champion is confirmed in a run: by the run's rule and optimizer, from new
    weights, on the same minibatches as all the others. The champion's topology is trained as often as there are
    controls.

    Parameters
    ----------
    params
        Settings of the run; ``control`` and ``num_controls`` say what to compare with.
    task
        Samples.
    champion
        Its genome.
    recorded
        Its test score in the run.
    num_epochs
        Of every training; if None those of the champion: ``final_epochs``, or ``num_epochs`` if that is 0.

    Raises
    ------
    ParamsError
        If there is nothing to compare.
    """

    def __init__(
        self,
        params: Params,
        task: Task,
        champion: Genome,
        *,
        recorded: float | None = None,
        num_epochs: int | None = None,
    ) -> None:
        self.params = params
        self.task = task
        self.num_epochs = num_epochs or params.final_epochs or params.num_epochs
        self._champion = _without_weights(champion)
        if params.control == "none":
            raise ParamsError(f"control: none leaves nothing to compare with, must be {' or '.join(CONTROLS)}")
        if self._champion.complexity.connections == 0:
            raise ParamsError("the champion has no connections: there is nothing to compare")
        self._recorded = recorded
        # A champion that kept the feedback weights it was chosen with would have an advantage. Nobody asks for rewards.
        evaluator = DatasetEvaluator.from_params(params, task)
        self._evaluator = replace(evaluator, feedback_seed=None, reward_data="training")
        self._stop = StopRequest()

    def stop(self, reason: str) -> None:
        """Ask to give up soon; safe to call from a signal handler.

        Parameters
        ----------
        reason
            What happened, in a few words.
        """
        self._stop.reason = reason

    def run(
        self,
        *,
        on_message: Callable[[str], None] = lambda text: None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Comparison:
        """Return the comparison.

        Parameters
        ----------
        on_message
            Told what takes long.
        on_progress
            Told how many trainings of how many are done.

        Raises
        ------
        Interrupted
            After `stop`.
        """
        prepare_compiled(self._evaluator.kernel, on_message, loops=(self._evaluator.rule.loop,))
        params, num_controls = self.params, self.params.num_controls
        data = TaskData(
            self.task, params.batch_size, self.num_epochs, params.batch_size_eval, params.seed, params.shuffle
        )
        # Control i at 2 i and champion i at 2 i + 1, so that more controls leave the first ones as they are.
        genomes = [one for number in range(num_controls) for one in (self._control(number), self._champion)]
        trained: list[TrainedControl | None] = [None] * len(genomes)
        done = 0

        def on_result(index: int, evaluation: Evaluation) -> None:
            nonlocal done
            done += 1
            trained[index] = self._scored(index, genomes[index], evaluation, data)
            on_progress(done, len(genomes))

        on_progress(0, len(genomes))
        with Workers.from_params(params, on_message) as workers:
            workers.evaluate(
                self._evaluator,
                genomes,
                data.shared(Stream.CONTROL, _MINIBATCHES),
                stream=Stream.CONTROL,
                generation=_TRAINING,
                on_result=on_result,
                on_wait=self._stop.check,
            )
        return Comparison(
            params.control,
            "accuracy" if self.task.kind == "classification" else "rmse",
            self.num_epochs,
            self._champion.complexity.connections,
            self._recorded,
            tuple(one for one in trained if one is not None),
        )

    def _control(self, number: int) -> Genome:
        """A control without weights."""
        self._stop.check()
        rng = generator(self.params.seed, *self._genome_address(number))
        return _without_weights(CONTROLS[self.params.control](self._champion, self.params, rng))

    def _genome_address(self, number: int) -> tuple[Stream, int, int]:
        """Where the random numbers of a control's genome are."""
        return Stream.CONTROL, _FIRST_GENOMES + list(CONTROLS).index(self.params.control), number

    def _scored(self, index: int, genome: Genome, evaluation: Evaluation, data: TaskData) -> TrainedControl:
        """A trained network with its scores."""
        number, is_champion = divmod(index, 2)
        size = genome.complexity
        scores: dict[str, TaskScore | None] = {"train": None, "test": None}
        if evaluation.weights is not None:
            trained = genome.with_weights(evaluation.weights)
            scores = {part: data.score(part, trained, self._evaluator.kernel) for part in scores}
        return TrainedControl(
            is_champion=bool(is_champion),
            number=number,
            address=(int(Stream.CONTROL), _TRAINING, index),
            genome_address=None if is_champion else _plain(self._genome_address(number)),
            connections=size.connections,
            biases=size.biases,
            hidden=size.hidden,
            neurons=len(genome.nodes),
            layers=int(genome.layers().max()) + 1,
            in_place=None if is_champion or self.params.control == "random" else in_place(self._champion, genome),
            failure=None if evaluation.failure is None else evaluation.failure.strip().splitlines()[-1],
            **scores,
        )


def in_place(genome: Genome, other: Genome) -> float:
    """Return which fraction of a genome's connections, those from the bias node not counted, another one has too."""
    pairs, others = _pairs(genome), _pairs(other)
    return len(pairs & others) / len(pairs)


def _pairs(genome: Genome) -> set[tuple[int, int]]:
    """Node ids that connections join, those from the bias node left out."""
    genes = genome.connections[genome.role[genome.source_row] != BIAS]
    return set(zip(genes["source"].tolist(), genes["target"].tolist(), strict=True))


def _operator(name: str, params: Params, *, max_connections: int | None = None) -> Mutation:
    """A mutation operator with the settings of a run and another limit."""
    options: dict[str, Any] = params.options_of(MUTATIONS[name])
    if "max_connections" in options:
        options["max_connections"] = max_connections
    if "pruning" in options:
        options["pruning"] = "none"
    return MUTATIONS[name](**options)


def _without_weights(genome: Genome) -> Genome:
    """The active part of a genome, whose weights are all to be drawn."""
    genome = genome.active_part()
    return genome.with_weights(np.full(len(genome.connections), UNSET))


def _plain(address: tuple[Stream, int, int]) -> tuple[int, int, int]:
    """An address in numbers."""
    return int(address[0]), address[1], address[2]
