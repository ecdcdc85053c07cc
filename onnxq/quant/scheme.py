"""How a tensor is quantized: its integer type, granularity and the shape of its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxq.errors import UsageError
from onnxq.quant.granularity import Granularity, PerBlock, PerChannel, PerTensor
from onnxq.quant.qtype import QType
from onnxq.quant.reading import Reader


@dataclass(frozen=True)
class Scheme:
    """A way of quantizing, without any numbers of a particular tensor.

    Attributes:
        qtype: The integer type.
        granularity: Which elements share a scale.
        symmetric: The zero point is fixed at the type's midpoint (0, or 128 for uint8).
        narrow_range: The lowest code is not used, so that a signed range is -Q to Q.
        power_of_two: Scales are rounded up to a power of two.
        half_scales: Scales are rounded to what a float16 holds.
    """

    qtype: QType
    granularity: Granularity = field(default_factory=PerTensor)
    symmetric: bool = False
    narrow_range: bool = False
    power_of_two: bool = False
    half_scales: bool = False

    @property
    def any_scale(self) -> bool:
        """Whether a scale may be any number."""
        return not (self.power_of_two or self.half_scales)

    @property
    def minimum(self) -> int:
        """The lowest code allowed."""
        return self.qtype.minimum + int(self.narrow_range)

    @property
    def maximum(self) -> int:
        """The highest code allowed."""
        return self.qtype.maximum

    def to_dict(self) -> dict[str, object]:
        """The scheme as JSON values; ``from_dict`` reads it back."""
        return {
            "bits": self.qtype.bits,
            "signed": self.qtype.signed,
            "narrowest": self.qtype.narrowest,
            "granularity": _granularity_to_dict(self.granularity),
            "symmetric": self.symmetric,
            "narrow_range": self.narrow_range,
            "power_of_two": self.power_of_two,
            "half_scales": self.half_scales,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Scheme:
        """Read a scheme from JSON values.

        Raises:
            UsageError: A key is missing, unknown or of the wrong type.
        """
        reader = Reader(data, "scheme")
        scheme = cls(
            qtype=QType(
                reader.integer("bits"), reader.boolean("signed"), reader.integer("narrowest")
            ),
            granularity=_granularity_from_dict(reader.mapping("granularity")),
            symmetric=reader.boolean("symmetric"),
            narrow_range=reader.boolean("narrow_range"),
            power_of_two=reader.boolean("power_of_two"),
            half_scales=reader.boolean("half_scales"),
        )
        reader.finish()
        return scheme


def _granularity_to_dict(granularity: Granularity) -> dict[str, object]:
    match granularity:
        case PerTensor():
            return {"kind": "tensor"}
        case PerChannel(axis):
            return {"kind": "channel", "axis": axis}
        case PerBlock(axis, size):
            return {"kind": "block", "axis": axis, "size": size}


def _granularity_from_dict(data: Mapping[str, object]) -> Granularity:
    reader = Reader(data, "granularity")
    granularity = _read_granularity(reader)
    reader.finish()
    return granularity


def _read_granularity(reader: Reader) -> Granularity:
    match reader.text("kind"):
        case "tensor":
            return PerTensor()
        case "channel":
            return PerChannel(reader.integer("axis"))
        case "block":
            return PerBlock(reader.integer("axis"), reader.integer("size"))
        case kind:
            raise UsageError(
                f"unknown kind {kind!r}", where="granularity", remedy="use tensor, channel or block"
            )
