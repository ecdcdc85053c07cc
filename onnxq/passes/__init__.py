"""One pass, one file. A sequence of passes is run by `run`, which verifies."""

from onnxq.passes.add_biases import AddBiases
from onnxq.passes.deduplicate_constants import DeduplicateConstants
from onnxq.passes.events import Applied, Event, PassReport, Refused
from onnxq.passes.fold_constants import FoldConstants
from onnxq.passes.freeze_defaults import FreezeDefaults
from onnxq.passes.inline_functions import InlineFunctions
from onnxq.passes.insert_qdq import InsertQDQ
from onnxq.passes.insert_switches import InsertSwitches, switch_input
from onnxq.passes.insert_twins import InsertTwins, sums_of
from onnxq.passes.lower_constants import LowerConstants
from onnxq.passes.merge_duplicates import MergeDuplicates
from onnxq.passes.pack_two_bits import PackTwoBits
from onnxq.passes.permute_channels import PermuteChannels, Reordered
from onnxq.passes.pruning import MaskFilters, PruneFilters
from onnxq.passes.remove_dead_nodes import RemoveDeadNodes
from onnxq.passes.remove_identities import RemoveIdentities
from onnxq.passes.running import Pass, RunResult, apply_passes, run
from onnxq.passes.set_biases import SetBiases
from onnxq.passes.set_input_shapes import SetInputShapes
from onnxq.passes.sparsify_nm import SparsifyNM
from onnxq.passes.spell_activations import SpellActivations, shift_name
from onnxq.passes.split_outliers import (
    OutlierSite,
    SplitOutliers,
    outlier_sites,
    outlying_channels,
    products_of_outliers,
)
from onnxq.passes.upgrade_opset import UpgradeOpset
from onnxq.passes.weight_codes import nearest_codes, stored_constant, weight_parameters

__all__ = [
    "AddBiases",
    "Applied",
    "DeduplicateConstants",
    "Event",
    "FoldConstants",
    "FreezeDefaults",
    "InlineFunctions",
    "InsertQDQ",
    "InsertSwitches",
    "InsertTwins",
    "LowerConstants",
    "MaskFilters",
    "MergeDuplicates",
    "OutlierSite",
    "PackTwoBits",
    "Pass",
    "PassReport",
    "PermuteChannels",
    "PruneFilters",
    "Refused",
    "RemoveDeadNodes",
    "RemoveIdentities",
    "Reordered",
    "RunResult",
    "SetBiases",
    "SetInputShapes",
    "SparsifyNM",
    "SpellActivations",
    "SplitOutliers",
    "UpgradeOpset",
    "apply_passes",
    "nearest_codes",
    "outlier_sites",
    "outlying_channels",
    "products_of_outliers",
    "run",
    "shift_name",
    "stored_constant",
    "sums_of",
    "switch_input",
    "weight_parameters",
]
