"""Does an N:M pattern hold: of M weights in a row along the summed axis at most N are not zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnxq.config import Selector
from onnxq.gates.evidence import Evidence
from onnxq.gates.phrases import listed, plural
from onnxq.gates.subject import Subject
from onnxq.gates.verdict import Failed, Figure, Passed, Skipped, Verdict
from onnxq.pruning.nm import CheckedLayer, check_layers
from onnxq.quant import Pattern

_MASK_AGAIN = (
    "mask the weights again after the last step that changed them; the mask must hold through "
    "fine-tuning and quantization"
)


def pattern_holds(evidence: Evidence, pattern: Pattern, wanted: Sequence[Selector]) -> Verdict:
    """Hold the layers that must have the pattern against it."""
    found = _able(evidence.model, pattern, wanted)
    if not wanted and evidence.rival is not None:
        before = _able(evidence.rival, pattern, ())
        held = {name for name, layer in before.items() if not layer.violations}
        if not held:
            return Skipped(
                f"no layer of the baseline holds the pattern {pattern}",
                "name the layers that must under `structure.sparse_layers`",
            )
        missing = sorted(held - set(found))
        if missing:
            return _missing(missing, pattern)
        found = {name: layer for name, layer in found.items() if name in held}
    if not found:
        return Failed(
            f"no layer can hold the pattern {pattern}",
            "correct `structure.sparse_layers`, or leave out `structure.sparsity`",
        )
    return _verdict(pattern, found)


def promises_hold(evidence: Evidence) -> Iterator[Verdict]:
    """Hold layers against the patterns that the model's own metadata promises, if any."""
    promised = [layer for layer in check_layers(evidence.model.model) if layer.promised]
    if not promised:
        return
    broken = {layer.node: layer.fault for layer in promised if layer.fault}
    figure = Figure("layers that break a promise", len(broken), 0)
    if not broken:
        text = f"{plural(len(promised), 'layer')} hold the pattern that the model promises"
        yield Passed(text, (figure,))
        return
    details = tuple(f"{name}: {fault}" for name, fault in broken.items())
    yield Failed(
        f"{plural(len(broken), 'layer')} of {len(promised)} break the pattern that the model "
        f"promises, none allowed: {listed(details, 3)}",
        _MASK_AGAIN,
        (figure,),
        details,
    )


def _able(
    subject: Subject, pattern: Pattern, wanted: Sequence[Selector]
) -> dict[str, CheckedLayer]:
    """The layers whose channels make whole blocks, of those that selectors match, if any are."""
    return {
        layer.node: layer
        for layer in check_layers(subject.model, pattern)
        if len(layer.shape) > 1
        and layer.shape[layer.axis] % pattern.block == 0
        and (not wanted or any(s.matches(layer.node, layer.op) for s in wanted))
    }


def _missing(names: Sequence[str], pattern: Pattern) -> Verdict:
    return Failed(
        f"the baseline holds {pattern} in {plural(len(names), 'layer')} that are gone, none "
        f"allowed: {listed(names)}",
        "sparsify the layers that replaced them, and name them under `structure.sparse_layers`",
        (Figure("layers missing", len(names), 0),),
    )


def _verdict(pattern: Pattern, found: Mapping[str, CheckedLayer]) -> Verdict:
    broken = {name: layer for name, layer in found.items() if layer.violations}
    count = sum(layer.violations for layer in broken.values())
    total = sum(layer.blocks for layer in found.values())
    figure = Figure(f"blocks that break {pattern}", count, 0)
    if not broken:
        layers = plural(len(found), "layer")
        return Passed(f"{pattern} holds in {layers}, {total:,} blocks", (figure,))
    details = tuple(
        f"{name}: {layer.violations:,} of {layer.blocks:,} blocks" for name, layer in broken.items()
    )
    return Failed(
        f"{count:,} of {total:,} blocks break {pattern}, none allowed, in "
        f"{plural(len(broken), 'layer')}: {listed(broken)}",
        _MASK_AGAIN,
        (figure,),
        details,
    )
