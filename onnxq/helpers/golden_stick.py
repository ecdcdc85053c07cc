"""`SimulatedQuantizationAwareTraining` of MindSpore Golden Stick, over ONNX models.

The options, their defaults and errors are those that its document names. What the document leaves
open is decided so:

* Defaults are (False, False) for `per_channel` and `symmetric`, as the document says.
* In evaluation everything is rounded, whatever the delays; these count training steps.
* Ranges of activations begin at -6 to 6; the first batch sets them, later ones count 1 %.
* `enable_fusion` joins each Conv, ConvTranspose or Gemm with the BatchNormalization behind it, and
  with the activation that the engine fuses. Without it batch normalisations stay nodes.
* `freeze_bn` holds for every batch normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxq.compat.golden_stick import (
    QuantDtype,
    SimQatOptions,
    boolean,
    format_config,
    int8,
    per_tensor,
    read_options,
    steps,
)
from onnxq.compat.refusing import WrongValueError, wrong_type
from onnxq.config import Config
from onnxq.errors import DataError
from onnxq.graph import Model, Source, copy_model, load
from onnxq.passes import LowerConstants, UpgradeOpset, apply_passes
from onnxq.plan import Plan
from onnxq.targets import Target, load_target
from onnxq.workflow import plan_only
from onnxq.workflow.deciding import decide

if TYPE_CHECKING:
    from onnxq.training.simulated import SimulatedNetwork


class SimulatedQuantizationAwareTraining:
    """Training that sees the rounding to come."""

    def __init__(self, config: Mapping[str, Any] | None = None, *, target: str = "ort-cpu") -> None:
        """Take the options.

        Args:
            config: Options by name; those left out have their defaults. Single values stand for
                activations and weights, pairs are (activation, weight).
            target: The engine that the result is for.

        Raises:
            TypeError: A value, or an element of one, has another type than documented.
            ValueError: A value is negative, not allowed, or has more than two elements.
            ConfigError: The target is unknown.
        """
        self._options = read_options(config)
        self._target: Target = load_target(target)
        self._target_name = target

    @property
    def options(self) -> SimQatOptions:
        """The options as they are now."""
        return self._options

    def set_act_narrow_range(self, act_narrow_range: bool) -> None:
        """Leave the lowest code of activations unused, or not.

        Raises:
            TypeError: It is not a bool.
        """
        self._set_first("narrow_range", boolean("act_narrow_range", act_narrow_range))

    def set_act_per_channel(self, act_per_channel: bool) -> None:
        """One scale per channel of activations; only False is supported.

        Raises:
            TypeError: It is not a bool.
            ValueError: It is not False.
        """
        self._set_first("per_channel", per_tensor("act_per_channel", act_per_channel))

    def set_act_quant_delay(self, act_quant_delay: int) -> None:
        """Training steps before activations are rounded.

        Raises:
            TypeError: It is not an int.
            ValueError: It is less than 0.
        """
        self._set_first("quant_delay", steps("act_quant_delay", act_quant_delay))

    def set_act_quant_dtype(self, act_quant_dtype: QuantDtype) -> None:
        """The integer type of activations.

        Raises:
            TypeError: It is not a QuantDtype.
            ValueError: It is not QuantDtype.INT8.
        """
        self._set_first("quant_dtype", int8("act_quant_dtype", act_quant_dtype))

    def set_act_symmetric(self, act_symmetric: bool) -> None:
        """Whether the zero point of activations lies in the middle.

        Raises:
            TypeError: It is not a bool.
        """
        self._set_first("symmetric", boolean("act_symmetric", act_symmetric))

    def set_bn_fold(self, bn_fold: bool) -> None:
        """Whether weights are rounded as they are with batch normalisation folded in.

        Raises:
            TypeError: It is not a bool.
        """
        self._set("bn_fold", boolean("bn_fold", bn_fold))

    def set_enable_fusion(self, enable_fusion: bool) -> None:
        """Whether layers are joined with their batch normalisation before quantizing.

        Raises:
            TypeError: It is not a bool.
        """
        self._set("enable_fusion", boolean("enable_fusion", enable_fusion))

    def set_freeze_bn(self, freeze_bn: int) -> None:
        """Training steps after which statistics of batch normalisation stand still.

        Raises:
            TypeError: It is not an int.
            ValueError: It is less than 0.
        """
        self._set("freeze_bn", steps("freeze_bn", freeze_bn))

    def set_one_conv_fold(self, one_conv_fold: bool) -> None:
        """Whether folding takes one convolution, or a second one for the batch's statistics.

        Raises:
            TypeError: It is not a bool.
        """
        self._set("one_conv_fold", boolean("one_conv_fold", one_conv_fold))

    def set_weight_narrow_range(self, weight_narrow_range: bool) -> None:
        """Leave the lowest code of weights unused, or not.

        Raises:
            TypeError: It is not a bool.
        """
        self._set_second("narrow_range", boolean("weight_narrow_range", weight_narrow_range))

    def set_weight_per_channel(self, weight_per_channel: bool) -> None:
        """One scale per channel of weights, or per tensor.

        Raises:
            TypeError: It is not a bool.
        """
        self._set_second("per_channel", boolean("weight_per_channel", weight_per_channel))

    def set_weight_quant_delay(self, weight_quant_delay: int) -> None:
        """Training steps before weights are rounded.

        Raises:
            TypeError: It is not an int.
            ValueError: It is less than 0.
        """
        self._set_second("quant_delay", steps("weight_quant_delay", weight_quant_delay))

    def set_weight_quant_dtype(self, weight_quant_dtype: QuantDtype) -> None:
        """The integer type of weights.

        Raises:
            TypeError: It is not a QuantDtype.
            ValueError: It is not QuantDtype.INT8.
        """
        self._set_second("quant_dtype", int8("weight_quant_dtype", weight_quant_dtype))

    def set_weight_symmetric(self, weight_symmetric: bool) -> None:
        """Whether the zero point of weights lies in the middle.

        Raises:
            TypeError: It is not a bool.
        """
        self._set_second("symmetric", boolean("weight_symmetric", weight_symmetric))

    def apply(self, network: Source) -> SimulatedNetwork:
        """A torch module that computes as the quantized model will, ready for a training loop.

        Args:
            network: A path, bytes, ModelProto or Model. It is not changed.

        Returns:
            The module; its parameters are the model's weights. It takes the inputs in their
            order, or by name.

        Raises:
            ModelError: if the model is invalid.
            PreconditionError: if torch cannot run it.
            UsageError: if torch is not installed.
        """
        from onnxq.training.folded_layers import folded_layers, plain_copy
        from onnxq.training.normed_layers import Folding
        from onnxq.training.simulated import SimulatedNetwork
        from onnxq.training.simulation import Simulation

        options, original = self._options, plain_copy(load(network))
        plan, model, folded = *self._unfused(original), {}
        folding = Folding.BESIDE
        if options.enable_fusion:
            config = format_config(options, self._target_name)
            plan, model = plan_only(original, config)
            folded = folded_layers(original, model)
            if options.bn_fold:
                folding = Folding.BY_ONE if options.one_conv_fold else Folding.BY_TWO
            else:
                plan, model = plan_only(original, _scale_per_channel(config, folded))
        made = Simulation(
            model=model,
            plan=plan,
            folded=folded,
            folding=folding,
            per_channel=options.per_channel[1],
            delays=options.quant_delay,
            freeze=options.freeze_bn,
        )
        return SimulatedNetwork(made)

    def convert(self, net_opt: SimulatedNetwork, ckpt_path: str = "") -> Model:
        """The trained module as an ONNX model with Q/DQ; save it with `onnxq.save`.

        Args:
            net_opt: What `apply` returned.
            ckpt_path: A file that `torch.save(net_opt.state_dict(), …)` wrote, to be loaded
                first; empty: the module is taken as it is.

        Raises:
            TypeError: The first argument is no such module, or the second is no str.
            ValueError: The path is not empty and names no checkpoint of the module.
        """
        from onnxq.training.simulated import SimulatedNetwork, load_state

        if not isinstance(net_opt, SimulatedNetwork):
            raise wrong_type("net_opt", "a module that apply() returned", net_opt)
        if not isinstance(ckpt_path, str):
            raise wrong_type("ckpt_path", "a str", ckpt_path)
        if ckpt_path:
            if not Path(ckpt_path).is_file():
                raise WrongValueError(
                    "is no valid path",
                    where=f"ckpt_path '{ckpt_path}'",
                    remedy="name a file that torch.save wrote",
                )
            try:
                load_state(net_opt, Path(ckpt_path))
            except DataError as error:
                raise WrongValueError(
                    error.what, where=error.where, why=error.why, remedy=error.remedy
                ) from error
        return net_opt.to_onnx()

    def _unfused(self, original: Model) -> tuple[Plan, Model]:
        """The plan of a model whose nodes all stay."""
        opset = self._target.minimum_opset
        model = copy_model(original)
        if model.opset < opset:
            apply_passes(model, [UpgradeOpset(opset), LowerConstants()])
        found = decide(model, self._target, format_config(self._options, self._target_name))
        return found.plan, found.model

    def _set(self, name: str, value: Any) -> None:
        changed: dict[str, Any] = {name: value}
        self._options = replace(self._options, **changed)

    def _set_first(self, name: str, value: Any) -> None:
        self._set(name, (value, getattr(self._options, name)[1]))

    def _set_second(self, name: str, value: Any) -> None:
        self._set(name, (getattr(self._options, name)[0], value))


def _scale_per_channel(config: Config, layers: Mapping[str, object]) -> Config:
    """Weights rounded before folding have a factor for every channel after it."""
    if not layers:
        return config
    rules = [{"match": {"name": n}, "weights": {"granularity": "channel"}} for n in layers]
    return Config.model_validate({**config.model_dump(exclude_unset=True), "overrides": rules})
