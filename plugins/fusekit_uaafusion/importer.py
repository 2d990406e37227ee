"""Import of the weights of UAAFusion's release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fusekit.errors import DataError
from fusekit.interfaces import ImportedWeights, WeightsImporter

_SOURCES = {"init_conv_ir": 0, "init_conv_vi": 1}
_UNITS = {
    "conv1": "image_features",
    "conv2": "mix",
    "conv3": "output_gate",
    "conv4.0": "to_image",
    "conv5": "memory_input",
    "conv6": "memory_output",
}
_GATES = "fioj"  # order of the gates in ConvLSTM: forget, input, output, candidate
_UNUSED = "init_conv_f0."


class ReleaseImporter(WeightsImporter):
    """Maps the released state dict to `uaafusion.unfolding`.

    | released | here |
    | --- | --- |
    | ``alpha[k]`` | ``stages.k.alpha`` |
    | ``init_conv_ir``, ``init_conv_vi`` | ``source_features.0``, ``source_features.1`` |
    | ``blockflow.k.conv1 … conv6`` | image_features, mix, output_gate, to_image, memory_input, memory_output |
    | ``blockflow.k.lstm.conv_x{f,i,o,j}`` | ``stages.k.memory.of_input``, stacked in that order |
    | ``blockflow.k.lstm.conv_h{f,i,o,j}`` | ``stages.k.memory.of_state``, stacked in that order |
    | ``init_conv_f0`` | dropped: the released network never uses it |

    The released code computes the gradient step and discards it, so the model is built with ``gradient_step: false``.
    A segmentation network in the same file is imported if it is DeepLabV3+ with MobileNetV2 of
    segmentation-models-pytorch; any other network is not imported, with a note.
    """

    def convert(self, released: Any) -> ImportedWeights:
        fusion, task = _split(released)
        alpha = _take(fusion, "alpha")
        stages = alpha.numel()
        state: dict[str, Tensor] = {}
        for name, index in _SOURCES.items():
            _move_unit(fusion, name, state, f"backbone.source_features.{index}")
        for k in range(stages):
            state[f"backbone.stages.{k}.alpha"] = alpha[k].clone()
            for released_unit, ours in _UNITS.items():
                _move_unit(fusion, f"blockflow.{k}.{released_unit}", state, f"backbone.stages.{k}.{ours}")
            for letter, gate_of in (("x", "of_input"), ("h", "of_state")):
                for kind in ("weight", "bias"):
                    parts = [_take(fusion, f"blockflow.{k}.lstm.conv_{letter}{g}.{kind}") for g in _GATES]
                    state[f"backbone.stages.{k}.memory.{gate_of}.{kind}"] = torch.cat(parts)
        notes = ["gradient_step is false, as in the released code"]
        if any(key.startswith(_UNUSED) for key in fusion):
            notes.append("init_conv_f0 was dropped: the released network never uses it")
        leftover = [key for key in fusion if not key.startswith(_UNUSED)]
        if leftover:
            raise DataError(
                f"released weights hold {len(leftover)} tensors that this importer does not support: {leftover[:5]}"
            )
        channels = int(state["backbone.stages.0.mix.0.weight"].shape[0])
        model: dict[str, Any] = {
            "backbone": {
                "use": "uaafusion.unfolding",
                "params": {
                    "stages": stages,
                    "channels": channels,
                    "stage": {
                        "use": "uaafusion.stage",
                        "params": {"channels": channels, "gradient_step": False},
                    },
                },
            }
        }
        classes = _add_task(task, model, state, notes)
        return ImportedWeights(model, state, ("infrared", "visible"), classes, tuple(notes))


def _split(released: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The fusion and the segmentation state dict, without the prefix of a data-parallel wrapper."""
    if not isinstance(released, Mapping):
        raise DataError(f"expected a state dict, found {type(released).__name__}")
    fusion: Any = released
    task: Any = {}
    for key in ("fusion", "model", "state_dict", "net"):
        if isinstance(released.get(key), Mapping):
            fusion = released[key]
            break
    for key in ("task", "seg", "segmentation"):
        if isinstance(released.get(key), Mapping):
            task = released[key]
            break

    def clean(state: Mapping[str, Any]) -> dict[str, Tensor]:
        odd = [key for key, value in state.items() if isinstance(value, Tensor) and not isinstance(key, str)]
        if odd:
            raise DataError(f"released weights have the key {odd[0]!r}, which is not a name of a weight")
        return {re.sub(r"^module\.", "", k): v for k, v in state.items() if isinstance(v, Tensor)}

    return clean(fusion), clean(task)


def _take(state: dict[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise DataError(
            f"released weights lack {key!r}",
            hint="this importer supports only the state dict of UAAFusion's released fusion network",
        )
    return state.pop(key)


def _move_unit(released: dict[str, Tensor], name: str, state: dict[str, Tensor], ours: str) -> None:
    """Move the weights of a conv unit (convolution, PReLU, convolution) to their new names."""
    for part in ("0.weight", "0.bias", "1.weight", "2.weight", "2.bias"):
        state[f"{ours}.{part}"] = _take(released, f"{name}.conv_unit.{part}")


def _add_task(
    task: dict[str, Tensor], model: dict[str, Any], state: dict[str, Tensor], notes: list[str]
) -> dict[str, Any] | None:
    if not task:
        return None
    head = task.get("segmentation_head.0.weight")
    if head is None or "encoder.features.0.0.weight" not in task:
        notes.append("the segmentation network in the file is not supported by fusekit and was not imported")
        return None
    count = int(head.shape[0])
    model["guidance"] = {"use": "uaafusion.attribution_guidance"}
    model["task"] = {
        "use": "tasks.smp",
        "params": {
            "architecture": "deeplabv3plus",
            "encoder": "mobilenet_v2",
            "channels": int(task["encoder.features.0.0.weight"].shape[1]),
            "activation": "sigmoid",
        },
    }
    state.update({f"task.net.{key}": value for key, value in task.items()})
    notes.append("class names are not in the release; classes are numbered")
    return {
        "names": [f"class {c}" for c in range(count)],
        "palette": [[(37 * c) % 256, (91 * c) % 256, (151 * c) % 256] for c in range(count)],
        "ignore_index": 255,
        "unlabelled": 0,
    }
