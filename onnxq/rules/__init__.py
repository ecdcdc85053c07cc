"""Exact simplification: one algebraic identity per file, applied together to a fixpoint."""

from onnxq.rules.expansion.elu import ExpandElu
from onnxq.rules.expansion.mish import ExpandMish
from onnxq.rules.expansion.prelu import ExpandPRelu
from onnxq.rules.expansion.softmax import ExpandSoftmax
from onnxq.rules.fixpoint import rewrite_all
from onnxq.rules.folding.collapse_affine import CollapseAffine
from onnxq.rules.folding.fold_affine import FoldAffine
from onnxq.rules.folding.fuse_batch_norm import FuseBatchNorm
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
from onnxq.rules.simplify import Simplify
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
from onnxq.rules.table import EXPANSION, PHASES
from onnxq.rules.workspace import Shape, Workspace

__all__ = [
    "EXPANSION",
    "PHASES",
    "CancelPairs",
    "CancelRoots",
    "CollapseAffine",
    "ExpandElu",
    "ExpandMeanOverRows",
    "ExpandMish",
    "ExpandPRelu",
    "ExpandPowers",
    "ExpandSoftmax",
    "ExpandSwish",
    "ExplicitPads",
    "FactorSum",
    "FoldAffine",
    "FoldChannelGather",
    "FoldGemmScalars",
    "FoldSpaceToDepthIntoConv",
    "FuseBatchNorm",
    "FuseChannelNormalization",
    "FuseDepthToSpace",
    "FuseElu",
    "FuseGelu",
    "FuseGlobalPooling",
    "FuseHardSigmoid",
    "FuseHardSwish",
    "FuseInstanceNormalization",
    "FuseLayerNormalization",
    "FuseLeakyRelu",
    "FuseLogSoftmax",
    "FuseLogistic",
    "FuseMeanOfSum",
    "FusePRelu",
    "FusePad",
    "FuseRMSNormalization",
    "FuseSoftmax",
    "FuseSoftsign",
    "FuseStridedSlices",
    "FuseSubsampling",
    "FuseTanhGelu",
    "FuseTanhSigmoid",
    "FuseWholeWindowPooling",
    "KeepLayerNormalizationApart",
    "LowerEinsum",
    "LowerGroupNormalization",
    "MeanBeforeLinear",
    "MergeClips",
    "MergeConvolutions",
    "MergeLinears",
    "MergeReductionWithView",
    "MergeReductions",
    "PointwiseBeforeResize",
    "PoolBeforePointwise",
    "RemoveRedundantClips",
    "Rule",
    "Shape",
    "Simplify",
    "SpellAsNorm",
    "StackSiblings",
    "SumParallelConvolutions",
    "SumParallelLinears",
    "UnflattenLinears",
    "Workspace",
    "rewrite_all",
]
