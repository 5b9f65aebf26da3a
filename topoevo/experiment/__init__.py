"""One experiment, from its settings to its result: parameters, evaluation, the loop and its checkpoints."""
