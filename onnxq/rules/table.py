"""All rules, in the order in which they are tried.

Meaning is recognised before constants are folded: once the 6 of a HardSwish is gone into the
next weight, nobody recognises it.
"""

from __future__ import annotations

from onnxq.rules.cleaning import ARRANGING, CLEANING
from onnxq.rules.expansion.elu import ExpandElu
from onnxq.rules.expansion.mish import ExpandMish
from onnxq.rules.expansion.prelu import ExpandPRelu
from onnxq.rules.expansion.softmax import ExpandSoftmax
from onnxq.rules.folding.collapse_affine import CollapseAffine
from onnxq.rules.folding.fold_affine import FoldAffine
from onnxq.rules.folding.spell_as_norm import SpellAsNorm
from onnxq.rules.linear.explicit_pads import ExplicitPads
from onnxq.rules.linear.fold_gemm_scalars import FoldGemmScalars
from onnxq.rules.linear.fuse_pad import FusePad
from onnxq.rules.linear.fuse_subsampling import FuseSubsampling
from onnxq.rules.linear.mean_before_linear import MeanBeforeLinear
from onnxq.rules.linear.merge_convolutions import MergeConvolutions
from onnxq.rules.linear.merge_linears import MergeLinears
from onnxq.rules.linear.pointwise_before_resize import PointwiseBeforeResize
from onnxq.rules.linear.pool_before_pointwise import PoolBeforePointwise
from onnxq.rules.linear.stack_siblings import StackSiblings
from onnxq.rules.linear.sum_convolutions import SumParallelConvolutions
from onnxq.rules.linear.sum_linears import SumParallelLinears
from onnxq.rules.linear.unflatten_linears import UnflattenLinears
from onnxq.rules.normalisation.channel_normalization import FuseChannelNormalization
from onnxq.rules.normalisation.group_normalization import LowerGroupNormalization
from onnxq.rules.normalisation.instance_normalization import FuseInstanceNormalization
from onnxq.rules.normalisation.keep_apart import KeepLayerNormalizationApart
from onnxq.rules.normalisation.layer_normalization import FuseLayerNormalization
from onnxq.rules.normalisation.rms_normalization import FuseRMSNormalization
from onnxq.rules.recognition.clips import MergeClips
from onnxq.rules.recognition.elu import FuseElu
from onnxq.rules.recognition.gelu import FuseGelu
from onnxq.rules.recognition.gelu_tanh import FuseTanhGelu
from onnxq.rules.recognition.hard_sigmoid import FuseHardSigmoid
from onnxq.rules.recognition.hard_swish import FuseHardSwish
from onnxq.rules.recognition.leaky_relu import FuseLeakyRelu
from onnxq.rules.recognition.log_softmax import FuseLogSoftmax
from onnxq.rules.recognition.logistic import FuseLogistic
from onnxq.rules.recognition.pairs import CancelPairs
from onnxq.rules.recognition.powers import ExpandPowers
from onnxq.rules.recognition.prelu import FusePRelu
from onnxq.rules.recognition.redundant_clips import RemoveRedundantClips
from onnxq.rules.recognition.roots import CancelRoots
from onnxq.rules.recognition.softmax import FuseSoftmax
from onnxq.rules.recognition.softsign import FuseSoftsign
from onnxq.rules.recognition.swish import ExpandSwish
from onnxq.rules.recognition.tanh_sigmoid import FuseTanhSigmoid
from onnxq.rules.rule import Rule
from onnxq.rules.structure.channel_gather import FoldChannelGather
from onnxq.rules.structure.depth_to_space import FuseDepthToSpace
from onnxq.rules.structure.einsum import LowerEinsum
from onnxq.rules.structure.factor_sum import FactorSum
from onnxq.rules.structure.global_pooling import FuseGlobalPooling
from onnxq.rules.structure.mean_of_sum import FuseMeanOfSum
from onnxq.rules.structure.mean_over_rows import ExpandMeanOverRows
from onnxq.rules.structure.merge_reductions import MergeReductions, MergeReductionWithView
from onnxq.rules.structure.space_to_depth_conv import FoldSpaceToDepthIntoConv
from onnxq.rules.structure.strided_slices import FuseStridedSlices
from onnxq.rules.structure.whole_window_pooling import FuseWholeWindowPooling

RECOGNITION: tuple[Rule, ...] = (
    CancelPairs(),
    MergeClips(),
    RemoveRedundantClips(),
    ExpandPowers(),
    CancelRoots(),
    FuseLeakyRelu(),
    FusePRelu(),
    FuseHardSigmoid(),
    FuseHardSwish(),
    FuseGelu(),
    FuseTanhGelu(),
    FuseLogistic(),
    FuseTanhSigmoid(),
    FuseSoftsign(),
    FuseElu(),
    FuseSoftmax(),
    FuseLogSoftmax(),
    ExpandSwish(),
)
NORMALISATION: tuple[Rule, ...] = (
    FuseMeanOfSum(),
    MergeReductions(),
    MergeReductionWithView(),
    FuseLayerNormalization(),
    FuseChannelNormalization(),
    FuseRMSNormalization(),
    FuseInstanceNormalization(),
    LowerGroupNormalization(),
    FuseWholeWindowPooling(),
    FuseGlobalPooling(),
    FuseDepthToSpace(),
    FuseStridedSlices(),
    FoldChannelGather(),
    FoldSpaceToDepthIntoConv(),
    LowerEinsum(),
)
FOLDING: tuple[Rule, ...] = (FoldAffine(), CollapseAffine())
LINEAR: tuple[Rule, ...] = (
    FactorSum(),
    ExplicitPads(),
    FoldGemmScalars(),
    FusePad(),
    UnflattenLinears(),
    FuseSubsampling(),
    PointwiseBeforeResize(),
    PoolBeforePointwise(),
    MeanBeforeLinear(),
    MergeConvolutions(),
    MergeLinears(),
    SumParallelConvolutions(),
    SumParallelLinears(),
    StackSiblings(),
)
EXPANSION: tuple[Rule, ...] = (
    ExpandMish(),
    ExpandElu(),
    ExpandPRelu(),
    ExpandSoftmax(),
    ExpandMeanOverRows(),
    KeepLayerNormalizationApart(),
    SpellAsNorm(),
)
"""For float models that ONNX Runtime runs; integers cannot hold the exponentials within."""

PHASES: tuple[tuple[Rule, ...], ...] = (
    (*CLEANING, *RECOGNITION, *NORMALISATION),
    (*CLEANING, *ARRANGING, *RECOGNITION, *NORMALISATION, *FOLDING, *LINEAR),
    EXPANSION,
)
"""Rows of rules; each row is applied to a fixpoint before the next begins."""
