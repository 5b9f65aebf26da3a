"""From settings to the parts of evolution: the first generation, reproduction, and what generations are ranked on."""

from __future__ import annotations

from topoevo.evolution import Population
from topoevo.evolution.descent import population_of, tracker_after
from topoevo.evolution.newcomers import LayeredNetworks, MutatedCopies, RandomNetworks
from topoevo.evolution.reproduction import Reproduction, initial_population
from topoevo.experiment.founder import Founder, networks_of_size, random_networks
from topoevo.experiment.params import Params
from topoevo.genome import InnovationTracker
from topoevo.seeds import Stream, generator
from topoevo.tasks.environments.environment import Environment
from topoevo.tasks.task import Task
from topoevo.variation import MUTATIONS


def reproduction_of(params: Params, task: Task | Environment, founder: Founder | None) -> Reproduction:
    """Return how a generation follows another.

    Parameters
    ----------
    params, task
        Settings, and the problem.
    founder
        Of generation 0, whose mutated copies newcomers are; None stands for random networks.
    """
    operators = {name: MUTATIONS[name] for name in params.mutation_probabilities()}
    mutations = {name: operator(**params.options_of(operator)) for name, operator in operators.items()}
    probabilities = {mutations[name]: p for name, p in params.mutation_probabilities().items()}
    return Reproduction(
        mutations=probabilities,
        cull_ratio=params.cull_ratio,
        elite_ratio=params.elite_ratio,
        tournament_size=params.tournament_size,
        num_mutations=params.num_mutations_per_generation,
        inherit_weights=params.inherit_weights,
        newcomers=(
            random_networks(params, task.num_inputs, task.num_outputs)
            if founder is None
            else MutatedCopies(founder.genome, probabilities)
        ),
        num_newcomers=params.num_newcomers,
        num_islands=params.islands.num_islands,
        migration_every=params.migration_every,
    )


def first_generation(
    params: Params, reproduction: Reproduction, founder: Founder | None
) -> tuple[InnovationTracker, Population]:
    """Return generation 0, not evaluated, and the tracker of what it has made.

    Parameters
    ----------
    params, reproduction
        Settings, and the operators.
    founder
        Individual 0, whose mutated copies the others are; None stands for random networks.
    """
    if founder is None:
        tracker = InnovationTracker()
        newcomers = reproduction.newcomers
        assert isinstance(newcomers, RandomNetworks | LayeredNetworks)
        sizes = params.front_connections or ()
        made = [networks_of_size(newcomers, params, size) for size in sizes] or [newcomers]
        return tracker, initial_population(params.population_size, *made, tracker=tracker, seed=params.seed)
    tracker = tracker_after(founder.genome)
    return tracker, population_of(
        founder.genome,
        params.population_size,
        mutations=reproduction.mutations,
        tracker=tracker,
        seed=params.seed,
    )


def objectives_of(params: Params, generation: int) -> tuple[str, ...]:
    """Return what a generation is ranked on: complexity in a fraction of the generations, age where it can differ.

    With newcomers, the age of a line of descent keeps old lines from crowding out young ones before these have been
    tried (Schmidt & Lipson 2011, Age-fitness Pareto optimization, GPTP VIII).

    Parameters
    ----------
    params, generation
        Settings, and the number of the generation.
    """
    youth = ("youth",) if params.num_newcomers else ()
    rng = generator(params.seed, Stream.RANKING, generation)
    if rng.random() < params.p_complexity_objective:
        evolved_bias = params.bias and params.bias_connections == "evolved"
        return ("reward", "simplicity_with_biases" if evolved_bias else "simplicity", *youth)
    if youth:
        return ("reward", *youth)
    return ("reward", "best_reward") if params.is_weight_agnostic else ("reward",)
