"""Mutation operators, one file each.

An operator is a frozen dataclass derived from `Mutation`, or from `InformedMutation` if it is led by `Evidence`; its
fields declared with `topoevo.registry.option` are settings. A new file here is found by itself and gets the setting
``p_<name>``.
"""

from topoevo.variation.evidence import Evidence
from topoevo.variation.mutation import MUTATIONS, InformedMutation, Mutation

__all__ = ["MUTATIONS", "Evidence", "InformedMutation", "Mutation"]
