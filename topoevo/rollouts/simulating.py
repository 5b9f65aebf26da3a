"""Compiled episodes: every lane is one, and all lanes make a step together.

A lane whose episode has ended takes the next one that waits; where none waits, it repeats a lane that goes on. So all
lanes are always computed, by the same instructions whatever the others do, and an episode has the same bits alone or
among others.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, var-annotated"

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba.extending import overload

from topoevo import activations
from topoevo.compilation import cache_directory, entry_point, inlined_loop
from topoevo.kernels import elementary
from topoevo.rollouts import double, lane_passes, plain_functions
from topoevo.rollouts.lane_passes import LANES, check_finite, choose_actions, lane_pass
from topoevo.rollouts.plain_functions import INLINED, compiled, source_files
from topoevo.tasks.environments.environment import Simulation, SimulationCode

_MODULES = (activations, elementary, double, lane_passes, plain_functions)
_ZERO = np.float32(0.0)

#: The functions of each simulation by the type of its constants.
_CODE: dict[type, SimulationCode] = {}


def observe(constants: Any, state: Any, observation: Any) -> None:
    """Call ``observe`` of the simulation that the constants belong to; compiled code only."""
    raise NotImplementedError


def step(constants: Any, state: Any, action: Any) -> tuple[float, bool]:
    """Call ``step`` of the simulation that the constants belong to; compiled code only."""
    raise NotImplementedError


@overload(observe, jit_options=INLINED)
def _choose_observe(constants, state, observation):
    """The function for one type of constants."""
    function = compiled(_CODE[constants.instance_class].observe, math=double)
    return lambda constants, state, observation: function(constants, state, observation)


@overload(step, jit_options=INLINED)
def _choose_step(constants, state, action):
    """The function for one type of constants."""
    function = compiled(_CODE[constants.instance_class].step, math=double)
    return lambda constants, state, action: function(constants, state, action)


@inlined_loop
def begin(lane, episode, initial, weights, states, lane_weights):
    """Put an episode into a lane. Episodes of a policy follow one another."""
    num_trials = len(initial)
    policy = episode // num_trials
    for i in range(initial.shape[1]):
        states[i, lane] = initial[episode % num_trials, i]
    for e in range(weights.shape[1]):
        lane_weights[e, lane] = weights[policy, e]


@inlined_loop
def copy_lane(source, target, rows):
    """Make a lane the same as another."""
    for i in range(len(rows)):
        rows[i, target] = rows[i, source]


def _simulate(
    constants, input_index, num_sources, activation, row_start, source, shared, weights,
    initial, num_inputs, num_outputs, discrete, max_steps, returns, steps, last_states, faulty,
    trace, trace_actions, trace_rewards,
):  # fmt: skip
    """All episodes, in order, policy by policy.

    Parameters
    ----------
    shared
        Whether `weights` float32 [num_policies, 1 or num_edges] hold one weight for all edges.
    initial
        float64 [num_trials, state_size].
    returns, steps, last_states, faulty
        Results, float64 [num_policies * num_trials], int32, float64 [..., state_size], bool.
    trace, trace_actions, trace_rewards
        What the first lane goes through, float64 [max_steps + 1, state_size], [max_steps, num_actions], [max_steps];
        of length 0 if nobody wants to know.
    """
    num_episodes, state_size = last_states.shape
    num_actions = 1 if discrete else num_outputs
    states = np.zeros((state_size, LANES))
    lane_weights = np.zeros((weights.shape[1], LANES), np.float32)
    observations = np.zeros((num_inputs, LANES), np.float32)
    rows = np.ones((num_sources + len(activation), LANES), np.float32)
    actions = np.zeros((num_actions, LANES))
    rewards, totals = np.zeros(LANES), np.zeros(LANES)
    faults = np.zeros(LANES, np.float32)
    # Numbers of one size are computed together.
    counts, ended = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    episode = np.zeros(LANES, np.int64)
    recording = len(trace_rewards) > 0

    num_active = min(LANES, num_episodes)
    waiting = num_active
    for j in range(LANES):
        episode[j] = min(j, num_active - 1)
        begin(j, episode[j], initial, weights, states, lane_weights)

    while num_active > 0:
        if recording:
            trace[counts[0]] = states[:, 0]
        for j in range(LANES):
            observe(constants, states[:, j], observations[:, j])
        for i in range(len(input_index)):
            for j in range(LANES):
                rows[i, j] = observations[input_index[i], j]
        lane_pass(num_sources, activation, row_start, source, shared, lane_weights, rows)
        outputs = rows[len(rows) - num_outputs :]
        choose_actions(discrete, outputs, actions)
        check_finite(observations, faults)
        check_finite(outputs, faults)
        for j in range(LANES):
            rewards[j], end = step(constants, states[:, j], actions[:, j])
            ended[j] = 1 if end else 0
        num_ended = 0
        for j in range(LANES):
            totals[j] += rewards[j]
            counts[j] += 1
            ended[j] |= (counts[j] >= max_steps) | (faults[j] != _ZERO)
            num_ended += ended[j]
        if recording:
            trace_actions[counts[0] - 1] = actions[:, 0]
            trace_rewards[counts[0] - 1] = rewards[0]
        if num_ended == 0:
            continue
        for j in range(num_active - 1, -1, -1):
            if ended[j] == 0:
                continue
            k = episode[j]
            returns[k], steps[k] = totals[j], counts[j]
            faulty[k] = faults[j] != _ZERO or not np.isfinite(totals[j])
            for i in range(state_size):
                last_states[k, i] = states[i, j]
            totals[j], counts[j], faults[j] = 0.0, 0, _ZERO
            if waiting < num_episodes:
                episode[j] = waiting
                begin(j, waiting, initial, weights, states, lane_weights)
                waiting += 1
            else:
                num_active -= 1
                copy_lane(num_active, j, states)
                copy_lane(num_active, j, lane_weights)
                episode[j], totals[j], counts[j] = episode[num_active], totals[num_active], counts[num_active]
        for j in range(num_active, LANES):
            copy_lane(0, j, states)
            copy_lane(0, j, lane_weights)
            totals[j], counts[j], faults[j] = totals[0], counts[0], _ZERO
    if recording:
        trace[steps[0]] = last_states[0]


def simulate(environment: Simulation) -> Any:
    """Return the compiled function for a simulation."""
    code = environment.code()
    _CODE[type(environment.constants)] = code
    return _compiled_for(code)


@cache
def _compiled_for(code: SimulationCode) -> Any:
    """The function for one simulation, kept in a folder that changes with every file that it is made of."""
    own = (str(module.__file__) for module in _MODULES)
    return entry_point(cache_directory(__file__, *own, *sorted(source_files(*code))))(_simulate)
