"""Cleaning: what moves or changes nothing goes, chains become one, computed shapes constants."""

from onnxq.rules.cleaning.absorb_transposes import AbsorbTransposes
from onnxq.rules.cleaning.cancel_transposes import CancelTransposes
from onnxq.rules.cleaning.crop_windows import CropWindows
from onnxq.rules.cleaning.drop_expands import DropExpands
from onnxq.rules.cleaning.drop_zero_states import DropZeroStates
from onnxq.rules.cleaning.fix_scales import FixScales
from onnxq.rules.cleaning.fix_targets import FixTargets
from onnxq.rules.cleaning.index_directly import IndexDirectly
from onnxq.rules.cleaning.merge_casts import MergeCasts
from onnxq.rules.cleaning.merge_concats import MergeConcats
from onnxq.rules.cleaning.merge_pads import MergePads
from onnxq.rules.cleaning.merge_reshapes import MergeReshapes
from onnxq.rules.cleaning.merge_slices import MergeSlices
from onnxq.rules.cleaning.merge_transposes import MergeTransposes
from onnxq.rules.cleaning.remove_copies import RemoveCopies
from onnxq.rules.cleaning.remove_idle_arrangements import RemoveIdleArrangements
from onnxq.rules.cleaning.remove_idle_windows import RemoveIdleWindows
from onnxq.rules.cleaning.remove_neutral_operands import RemoveNeutralOperands
from onnxq.rules.cleaning.reshape_transposes import ReshapeTransposes
from onnxq.rules.cleaning.restore_parts import RestoreParts
from onnxq.rules.cleaning.split_slices import SplitSlices
from onnxq.rules.rule import Rule

CLEANING: tuple[Rule, ...] = (
    RemoveCopies(),
    RemoveIdleArrangements(),
    RemoveIdleWindows(),
    RemoveNeutralOperands(),
    DropExpands(),
    FixTargets(),
    FixScales(),
    DropZeroStates(),
    RestoreParts(),
    MergeConcats(),
    MergeSlices(),
    CropWindows(),
    IndexDirectly(),
    SplitSlices(),
    MergeReshapes(),
    MergeTransposes(),
    AbsorbTransposes(),
    MergePads(),
    MergeCasts(),
)
"""The rules, in the order in which they are tried at a node."""

ARRANGING: tuple[Rule, ...] = (CancelTransposes(), ReshapeTransposes())
"""Rules that come after recognition: normalisations are recognised on the last axis only.

Transposes are cancelled before those that move no data become Reshapes.
"""
