"""Who must live or die together: the channels of a graph, in groups.

Labels travel through every operator by running its own index arithmetic on integer arrays;
union-find merges what must be removed together. Nothing is decided or edited here.
"""

from onnxq.coupling.coverage import Coverage, can_lose, coverage
from onnxq.coupling.grouping import channel_groups
from onnxq.coupling.groups import Cut, Flow, Frozen, Group, Grouping, Kind, Leak, Member, Side, Use
from onnxq.coupling.shapes import Shapes, find_shapes

__all__ = [
    "Coverage",
    "Cut",
    "Flow",
    "Frozen",
    "Group",
    "Grouping",
    "Kind",
    "Leak",
    "Member",
    "Shapes",
    "Side",
    "Use",
    "can_lose",
    "channel_groups",
    "coverage",
    "find_shapes",
]
