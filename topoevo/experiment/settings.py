"""The settings of an experiment, each declared once: name, type, default, range, help and group.

Parameter files, flags, ``--help``, validation and the table of the documentation all come from here. Settings that
belong to a mutation operator, a learning rule or a data set are declared there
(`topoevo.registry.option`) and join these in `topoevo.experiment.params`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from topoevo.activations import ACTIVATIONS
from topoevo.errors import UnknownNameError
from topoevo.evolution.islands import Islands
from topoevo.experiment.contradictions import find_contradictions
from topoevo.experiment.setting import Names, setting
from topoevo.kernels import KERNELS
from topoevo.learning import LEARNING_RULES
from topoevo.learning.history import EVALUATION_PERIODS
from topoevo.learning.initialization import WEIGHT_INITS
from topoevo.learning.optimizers import LR_SCHEDULES, OPTIMIZERS, optimizer_remembers
from topoevo.tasks.base import DATASETS, LARGEST_DISTORTION, MOST_COPIES, find_dataset
from topoevo.tasks.scaling import SCALINGS

_evolution = partial(setting, group="evolution")
_evaluation = partial(setting, group="evaluation")
_training = partial(setting, group="training")
_architecture = partial(setting, group="architecture")
_task = partial(setting, group="task")
_computation = partial(setting, group="computation")
_output = partial(setting, group="output")


def _optimizer_names() -> list[str]:
    """Optimizers, with what stands for none of them last."""
    # "none" is no optimizer: rules that need no gradient step are used with it.
    return [*(name for name in OPTIMIZERS if name != "none"), "none"]


def _dataset_names() -> list[str]:
    """Data sets, and what paths of tables look like."""
    return [*(name for name, entry in DATASETS.items() if not entry.is_file), "<path>.csv", "<path>.npz"]


def _is_dataset(name: str) -> bool:
    """Whether there is such a data set or table."""
    try:
        find_dataset(name)
    except UnknownNameError:
        return False
    return True


Text = Annotated[str, Field(min_length=1)]


class Settings(BaseModel):
    """Settings that belong to no registered entry. Immutable; creating one checks every value and combination."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    cull_ratio: float = _evolution(0.2, "fraction of worst networks to leave out of the breeding pool", ge=0, lt=1)
    elite_ratio: float = _evolution(
        0.2, "fraction of best networks to pass on to the new population unchanged", ge=0, le=1
    )
    num_generations: int = _evolution(100, "number of generations to evolve; 0 trains one network", ge=0, le=10**9)
    population_size: int = _evolution(100, "number of networks in the population", ge=1, le=10**6)
    tournament_size: int = _evolution(8, "number of networks that compete to become a parent", ge=1, le=10**6)
    adapt_probabilities: Literal["none", "pursuit"] = _evolution(
        "none",
        "whether the probabilities of mutations with p_ above 0 stay, or pursue the one whose children gain most over"
        " their parents, by rank among all children",
    )
    inherit_weights: bool = _evolution(False, "whether elites and children start from trained weights, not new ones")
    inherit_optimizer_state: bool = _evolution(
        False, "whether their optimizer starts with what that of the earlier training remembered, too"
    )
    num_mutations_per_generation: int = _evolution(1, "number of mutations between parent and child", ge=0, le=10**6)
    p_complexity_objective: float = _evolution(
        0.2, "fraction of generations ranked on reward and complexity instead of reward alone", ge=0, le=1
    )
    crowding: Literal["nsga2", "wann"] = _evolution(
        "nsga2",
        "how gaps on a front of equally good networks are weighed: by the range of each objective, or as in the "
        "published code of weight-agnostic networks, where reward counts most",
    )
    num_newcomers: int = _evolution(
        0,
        "number of random networks that join every generation; networks are then ranked on the age of their line of "
        "descent, too, so that the population does not converge on the first line that works",
        ge=0,
        le=10**6,
    )
    max_connections: int | None = _evolution(
        None,
        "largest number of enabled connections that mutations grow a network to, or that pruning leaves",
        ge=1,
        le=10**9,
    )
    front_connections: tuple[int, ...] | None = _evolution(
        None,
        "numbers of connections at each of which the best network is evolved, on an island of its own, and saved in the"
        " folder front of the run; instead of max_connections",
    )
    num_islands: int = _evolution(
        1, "number of parts of the population that breed apart, which keeps it from becoming one family", ge=1, le=10**5
    )
    migration_every: int = _evolution(
        20, "number of generations after which a copy of each island's best joins the next one; 0 never", ge=0, le=10**9
    )
    train_elites: bool = _evolution(
        True,
        "whether networks that go on unchanged are trained further; otherwise they keep their weights and reward",
    )

    batch_size: int = _evaluation(256, "number of samples in a minibatch of training", ge=1, le=10**9)
    num_samples: int | None = _evaluation(
        None, "number of training samples drawn for each generation; all if not given", ge=1, le=10**9
    )
    shuffle: bool = _evaluation(
        True, "whether samples come in a new order in every generation, and minibatches in every epoch"
    )
    batch_size_eval: int = _evaluation(
        1000, "number of samples computed at once when a network is scored", ge=1, le=10**9
    )
    evaluation_period: Annotated[str, Names(lambda: EVALUATION_PERIODS)] = _evaluation(
        "last_epoch", "period of training whose mean loss is the reward; integral is all of it"
    )
    reward_data: Literal["training", "validation", "both"] = _evaluation(
        "training",
        "samples whose mean loss is the reward: those of the training while it runs (evaluation_period), the validation"
        " samples after it, or the validation samples and as many training samples",
    )
    racing: int = _evaluation(
        1,
        "how many children race for each that goes on: they are trained side by side, and at every rung the others are"
        " stopped; 1 trains all to the end",
        ge=1,
        le=10**6,
    )
    racing_rungs: int = _evaluation(
        2, "number of rungs of a race, each reaching racing times as far as the one before", ge=2, le=30
    )
    num_trials: int = _evaluation(1, "number of episodes or trainings that a reward is the mean of", ge=1, le=10**6)
    num_confirmation_trials: int = _evaluation(
        16, "number of episodes, unseen by evolution, that champion candidates are compared on", ge=1, le=10**6
    )
    num_test_trials: int = _evaluation(100, "number of further episodes that a champion is tested on", ge=1, le=10**6)
    shared_weights: tuple[float, ...] | None = _evaluation(
        None,
        "weights that a network is tried with, each on all its connections at once, instead of learning; null learns",
    )
    test_every: int = _evaluation(
        20, "number of generations between tests of the champion; 0 tests it only at the end", ge=0, le=10**9
    )
    final_epochs: int = _evaluation(
        0, "number of epochs that the final champion is trained on after evolution", ge=0, le=10**6
    )
    final_samples: Literal["training", "all"] = _evaluation(
        "training",
        "samples of the final training: the training samples, where the champion keeps its earlier weights if these are"
        " better on validation samples, or all but those of the test",
    )
    final_decay_factors: tuple[float, ...] | None = _evaluation(
        None,
        "factors of weight_decay that the final training is tried with on the training samples, the best of which on"
        " validation samples it then has; null tries nothing",
    )
    control: Literal["none", "random", "shuffled", "shuffled_by_layer"] = _evaluation(
        "none",
        "networks of the final champion's size that it is compared with: randomly mutated, or with its connections "
        "shuffled, nodes keeping their numbers of connections or their layers alone",
    )
    num_controls: int = _evaluation(20, "number of networks that the final champion is compared with", ge=2, le=10**6)

    learning_rule: Annotated[str, Names(lambda: LEARNING_RULES)] = _training(
        "backprop", "how the weights of a network are learned"
    )
    lr: float = _training(0.01, "learning rate", gt=0)
    num_epochs: int = _training(
        5,
        "number of passes through the training samples; in an environment, of rounds of candidates or proposals",
        ge=1,
        le=10**6,
    )
    initial_epochs: int | None = _training(
        None, "number of epochs in generation 0; num_epochs if not given", ge=1, le=10**6
    )
    max_connection_epochs: int | None = _training(
        None,
        "limits the epochs of children to this number divided by the number of connections that they may have, so that"
        " those of large networks cost no more than those of small ones (12000: 40 epochs for 300, 10 for 1200)",
        ge=1,
    )
    initial_lr: float | None = _training(None, "learning rate in generation 0; lr if not given", gt=0)
    lr_spread: float = _training(
        1.0, "factor up to which the learning rate of each training is drawn larger or smaller than lr", ge=1, le=10**3
    )
    pruning: Literal["none", "fisher", "magnitude", "activity"] = _training(
        "none",
        "what decides which connections go while a network learns, until max_connections are left: saliency by Fisher"
        " information, the size of weights, or what passes through them (weight times activity)",
    )
    pruning_stages: int = _training(
        8, "number of stages in which pruning halves the number of connections", ge=1, le=10**3
    )
    pruning_stop: float = _training(0.6, "share of a training after which no connection goes any more", gt=0, lt=1)
    optimizer: Annotated[str, Names(_optimizer_names)] = _training("adam", "how gradients become weight changes")
    loss: Literal["auto", "cross_entropy", "mean_squared_error"] = _training(
        "auto", "what is minimized; auto is cross entropy for classes, else the squared error"
    )
    momentum: float = _training(0.0, "share of the last weight change kept by sgd and rmsprop", ge=0, lt=1)
    weight_decay: float = _training(
        0.0,
        "how strongly weights are pulled to zero; with adamw times the learning rate, and at most all of a weight",
        ge=0,
    )
    weight_decay_scaling: float = _training(
        0.0,
        "power of the number of connections that the weight decay is in proportion to: weight_decay is that of 1000"
        " connections, and 1.5 suits MNIST; 0 for all networks the same",
        ge=0,
        le=3,
    )
    weight_decay_samples: int | None = _training(
        None,
        "number of training samples, those of the validation and distorted copies not counted, above which the weight"
        " decay falls with the square of their number: many are not learned by heart; null leaves it as it is",
        ge=1,
        le=10**9,
    )
    weight_decay_spread: float = _training(
        1.0, "factor up to which the weight decay of each training is drawn larger or smaller", ge=1, le=10**3
    )
    lr_schedule: Annotated[str, Names(lambda: LR_SCHEDULES)] = _training(
        "constant", "course of the learning rate during training; linear and cosine fall to a fiftieth"
    )
    max_grad_norm: float | None = _training(None, "length that longer gradients are cut to", gt=0)
    grad_power: float = _training(
        1.0, "power that each gradient component is raised to, its sign kept; 0 keeps the sign alone", ge=0, le=1
    )
    label_smoothing: float = _training(
        0.0, "share of the target of a cross entropy that is spread evenly over the classes", ge=0, lt=1
    )
    weight_averaging: float = _training(
        0.0, "share of the steps of training, the last ones, whose weights are averaged in the end", ge=0, lt=1
    )
    feedback_seed: int | None = _training(
        None, "decides the feedback weights of feedback alignment; the seed if not given", ge=0, le=2**63 - 1
    )
    redraw_feedback: bool = _training(
        False, "whether every training of evolution has new feedback weights, as in the predecessor"
    )
    train_only_outputs: bool = _training(False, "whether only connections to output nodes are learned")

    num_inputs: int | None = _architecture(None, "number of input nodes, checked against the task", ge=1, le=10**9)
    num_outputs: int | None = _architecture(None, "number of output nodes, checked against the task", ge=1, le=10**9)
    p_initial_connection_enabled: float = _architecture(
        0.05, "probability of each input-output connection to exist at the start", gt=0, le=1
    )
    p_initial_add_node: float = _architecture(
        0.5, "probability of each initial connection to be split by a node at the start", ge=0, le=1
    )
    bias: bool = _architecture(False, "whether there is a bias node, which is always 1")
    bias_connections: Literal["all", "evolved"] = _architecture(
        "all", "whether the bias node is connected to every hidden and output node, or evolves as an input does"
    )
    weight_init: Annotated[str, Names(lambda: WEIGHT_INITS)] = _architecture(
        "normal", "new weights: normal with deviation 0.1, or scaled by the number of incoming connections"
    )
    output_connections: bool = _architecture(False, "whether mutations may connect to an output node")
    hidden_layers: tuple[int, ...] | None = _architecture(
        None, "sizes of the hidden layers of a fully connected first network; others of generation 0 are mutated once"
    )
    initial_networks: Literal["sparse", "dense"] = _architecture(
        "sparse",
        "whether first networks have random connections between inputs and outputs, some of them split, or fully"
        " connected hidden layers, which pruning makes sparse",
    )
    initial_hidden_nodes: tuple[int, ...] | None = _architecture(
        None,
        "smallest and largest first hidden layer of dense first networks; if not given, 1.2 and 5 times the square root"
        " of the number of connections that pruning leaves, as long as that makes no more than 500,000 connections",
    )
    p_initial_second_layer: float = _architecture(
        0.5, "probability that a fully connected first network has a second hidden layer, of half the size", ge=0, le=1
    )
    network: Text | None = _architecture(
        None,
        "network file or run that the first network is a copy of, with its weights if inherit_weights; the others of "
        "generation 0 are mutated once",
    )
    activations: Annotated[tuple[str, ...], Names(lambda: ACTIVATIONS)] = _architecture(
        ("relu",), "activations that new nodes and change_activation draw from"
    )
    output_activation: Annotated[str, Names(lambda: ACTIVATIONS)] = _architecture(
        "linear", "activation of the output nodes"
    )

    dataset: Annotated[str, Names(_dataset_names, _is_dataset)] = _task(
        "digits", "name of a data set, or path of a table of your own"
    )
    env_name: Text | None = _task(
        None,
        "environment to act in instead of a data set: CartPoleSwingUp, Snake, or the id of a Gymnasium environment",
    )
    data_dir: Text | None = _task(None, "folder with the files of the data set, looked into before downloading")
    validation_ratio: float = _task(0.0, "fraction of the training samples held out for validation", ge=0, lt=1)
    test_ratio: float = _task(
        0.25, "fraction of the samples held out for testing where a data set has no test set", gt=0, lt=1
    )
    input_scaling: Annotated[str, Names(lambda: ("default", *SCALINGS))] = _task(
        "default", "how inputs are scaled; default is the choice of the data set"
    )
    distorted_copies: int = _task(
        0,
        "of images: how many copies of each training sample, turned, stretched, moved and bent a little, are learned"
        " from, too; an epoch has as many samples as without",
        ge=0,
        le=MOST_COPIES,
    )
    distortion: float = _task(
        1.0,
        "how strongly copies are distorted; 1: by 6 degrees, 6 % of the size, and shifts of 1.4 and 2.5 % of the width",
        gt=0,
        le=LARGEST_DISTORTION,
    )
    distorted_from: int = _task(
        0,
        "size (max_connections, or the largest of front_connections) from which on there are distorted copies; smaller"
        " networks learn little by heart",
        ge=0,
    )
    target_column: Text | None = _task(None, "name or position of the target in a table; the last column if not given")
    test_file: Text | None = _task(None, "second table to test on")
    task_type: Literal["auto", "classification", "regression"] = _task(
        "auto", "what the targets of a table are; auto judges by their values"
    )

    num_workers: int = _computation(1, "number of networks evaluated at the same time; -1 uses every core", ge=-1)
    joblib_backend: Literal["threading", "loky", "dask", "ray"] = _computation(
        "threading", "whether workers are threads, processes, or those of a cluster; results are the same"
    )
    scheduler_address: Text | None = _computation(
        None, "where the scheduler of a dask or ray cluster listens; null starts num_workers processes on this machine"
    )
    evaluation_timeout: float | None = _computation(
        None,
        "seconds after which an evaluation that does not end is tried again, and then given up; results depend on the"
        " machine where it strikes",
        gt=0,
    )
    kernel: Annotated[str, Names(lambda: KERNELS)] = _computation(
        "numba", "what computes networks; reference is slow and readable"
    )
    take_argmax_action: bool | None = _computation(
        None, "whether the action is the index of the largest output; null decides by the environment"
    )
    use_cuda: bool = _computation(False, "whether to compute with PyTorch on a CUDA device")
    use_torch: bool = _computation(False, "whether to compute with PyTorch")
    seed: int = _computation(0, "decides every random choice; the same seed gives the same result", ge=0, le=2**63 - 1)

    out_dir: Text | None = _output(None, "folder of the run; a new one under logs/ if not given")
    overwrite_output: bool = _output(False, "whether an existing out_dir is replaced")
    resume: Text | None = _output(None, "folder of an earlier run to continue")
    save_networks_every: int = _output(
        0, "number of generations between snapshots of all networks; 0 saves them only at the end", ge=0, le=10**9
    )
    checkpoint_every: int = _output(
        1, "number of generations, or epochs without evolution, between checkpoints", ge=1, le=10**9
    )
    keep_checkpoints: int = _output(
        2, "number of checkpoints that are kept; a damaged one falls back to the one before", ge=2, le=10**6
    )

    @property
    def rewards_held_out(self) -> bool:
        """Whether samples that are never learned from make rewards; where nothing is learned, all are such."""
        return self.reward_data != "training" and not self.is_weight_agnostic

    @property
    def is_weight_agnostic(self) -> bool:
        """Whether networks are tried with shared weights instead of learning."""
        return self.shared_weights is not None

    @property
    def evolves(self) -> bool:
        """Whether there is evolution; otherwise one network is trained."""
        return self.num_generations > 0

    @property
    def learns_from_samples(self) -> bool:
        """Whether a learning rule is at work on a data set."""
        return self.env_name is None and not self.is_weight_agnostic

    @property
    def races(self) -> bool:
        """Whether trainings of a generation are raced: those of evolution on samples, whose weights change."""
        learns = not self.is_weight_agnostic and LEARNING_RULES[self.learning_rule].changes_weights
        return self.racing > 1 and self.evolves and self.env_name is None and learns

    @property
    def hands_on_state(self) -> bool:
        """Whether optimizers begin with what earlier ones remember: in evolution on samples, if that is anything."""
        follows = not self.is_weight_agnostic and LEARNING_RULES[self.learning_rule].follows_gradient
        remembers = optimizer_remembers(self.optimizer, self.momentum)
        return self.inherit_optimizer_state and self.evolves and self.env_name is None and follows and remembers

    @property
    def largest_size(self) -> int | None:
        """Largest number of connections that networks may end with, if there is a limit."""
        return max(self.front_connections) if self.front_connections else self.max_connections

    @property
    def epochs_of_children(self) -> int:
        """Number of epochs in a generation after the first one; of several sizes of networks that of the smallest."""
        return self.epochs_for(self.front_connections[0] if self.front_connections else self.max_connections)

    def epochs_for(self, size: int | None) -> int:
        """Return how many epochs children learn for that may have `size` connections; None is any number."""
        if self.max_connection_epochs is None or not self.evolves or size is None:
            return self.num_epochs
        return max(1, min(self.num_epochs, self.max_connection_epochs // size))

    @property
    def copies_for_size(self) -> int:
        """Number of distorted copies that networks learn from: none where they are too small, or learn nothing."""
        size = self.largest_size if self.evolves else None
        too_small = size is not None and size < self.distorted_from
        return 0 if too_small or self.is_weight_agnostic else self.distorted_copies

    @property
    def islands(self) -> Islands:
        """How the population is divided: evenly, or one island for each size of network."""
        if not self.evolves:
            return Islands(1, self.population_size, 0)
        num_islands = self.num_islands if self.front_connections is None else len(self.front_connections)
        return Islands.of(self.population_size, num_islands, self.elite_ratio, self.migration_every)

    @property
    def kernel_name(self) -> str:
        """Backend that the settings ask for."""
        return "torch_cuda" if self.use_cuda else "torch" if self.use_torch else self.kernel

    @model_validator(mode="after")
    def _check_combinations(self) -> Settings:
        """Refuse settings that contradict each other."""
        found = find_contradictions(self)
        if found:
            raise PydanticCustomError("contradictions", "contradictory settings", {"found": found})
        return self
