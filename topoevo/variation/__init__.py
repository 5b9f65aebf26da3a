"""Mutation operators, one file each.

An operator is a frozen dataclass derived from `Mutation`; its fields declared with `topoevo.registry.option` are
settings. A new file here is found by itself and gets the setting ``p_<name>``.
"""

from topoevo.variation.mutation import MUTATIONS, Mutation

__all__ = ["MUTATIONS", "Mutation"]
