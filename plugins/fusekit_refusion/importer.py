"""Import of the weights of ReFusion's release."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fusekit.errors import DataError
from fusekit.interfaces import ImportedWeights, WeightsImporter


class ReleaseImporter(WeightsImporter):
    """Maps the released state dict to `refusion.network`.

    | released | here |
    | --- | --- |
    | ``project_in_{1,2}``, ``encoder{1,2}.k`` | ``encoders.{0,1}.0``, ``encoders.{0,1}.{k+1}`` |
    | ``norm1``, ``attn``, ``norm2``, ``ffn`` of a block | norm_attention, attention, norm_feed_forward, feed_forward |
    | ``FM.temperature{1,2}``, ``FM.qkv{1,2}``, ``FM.project_mid{1,2}`` | ``fusion.temperature``, ``.qkv``, ``.out`` |
    | ``FM.project_E``, ``FM.project_E{1,2}``, ``FM.project_out{1,2}`` | ``fusion.gate``, ``.expand``, ``.contract`` |
    | ``decoder.k``, ``project_out_0``, ``project_out_1`` | ``decoder.0.k``, ``decoder.1``, ``decoder.3`` |

    The release contains every convolution twice, as ``X.weight`` and ``X.conv.weight``; both must be equal. The files
    of all four tasks have the same layout and do not name the task, so the sources are called ``a`` and ``b``, in the
    order of the authors' scripts.
    """

    def convert(self, released: Any) -> ImportedWeights:
        if isinstance(released, Mapping):
            for key in ("model", "state_dict", "net", "fusion"):
                if isinstance(released.get(key), Mapping):
                    released = released[key]
        if not isinstance(released, Mapping):
            raise DataError(f"expected a state dict, found {type(released).__name__}")
        weights = _without_copies({k: v for k, v in released.items() if isinstance(v, Tensor)})
        state: dict[str, Tensor] = {}
        for theirs, ours in _names(weights):
            if theirs not in weights:
                raise DataError(
                    f"released weights lack {theirs!r}",
                    hint="this importer supports only the state dict of ReFusion's released fusion network",
                )
            state[f"backbone.{ours}"] = weights.pop(theirs)
        if weights:
            raise DataError(
                f"released weights hold {len(weights)} tensors that this importer does not support: "
                f"{sorted(weights)[:5]}"
            )
        channels = int(state["backbone.encoders.0.0.weight"].shape[0])
        hidden = int(state["backbone.encoders.0.1.feed_forward.out.weight"].shape[1])
        params = {
            "channels": channels,
            "heads": int(state["backbone.fusion.temperature.0"].shape[0]),
            "blocks": _blocks(state, r"backbone\.encoders\.0\.(\d+)\.attention\.temperature"),
            "expansion": hidden // channels,
            "arithmetic": "released",
        }
        notes = (
            "the sources are called a and b, in the order of the authors' scripts, because the file does not name them",
            "the model uses the released code's order of operations, which reproduces its output bit for bit; "
            "`arithmetic: fused` is faster and differs by rounding",
        )
        return ImportedWeights(
            {"backbone": {"use": "refusion.network", "params": params}}, state, ("a", "b"), None, notes
        )


def _without_copies(released: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefix of a data-parallel wrapper and without the second copy of each convolution.

    Raises:
        DataError: The two copies of a convolution differ, so that it is unclear which one to use; or a key is not a
            string.
    """
    odd = [key for key in released if not isinstance(key, str)]
    if odd:
        raise DataError(f"released weights have the key {odd[0]!r}, which is not a name of a weight")
    plain = {re.sub(r"^module\.", "", key): value for key, value in released.items()}
    kept = {key: value for key, value in plain.items() if not key.endswith(".conv.weight")}
    for key, value in plain.items():
        if key.endswith(".conv.weight"):
            name = key.removesuffix(".conv.weight") + ".weight"
            if not torch.equal(kept.setdefault(name, value), value):
                raise DataError(f"released weights {name!r} and {key!r} should be copies of each other, but differ")
    return kept


def _names(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Pairs of (released name, fusekit's name) of all weights."""
    for n, i in ((1, 0), (2, 1)):
        yield f"project_in_{n}.weight", f"encoders.{i}.0.weight"
        for k in range(_blocks(weights, rf"encoder{n}\.(\d+)\.attn\.temperature")):
            yield from _block(f"encoder{n}.{k}", f"encoders.{i}.{k + 1}")
        yield f"FM.temperature{n}", f"fusion.temperature.{i}"
        yield f"FM.qkv{n}.weight", f"fusion.qkv.{i}.0.weight"
        yield f"FM.qkv{n}_dwconv.weight", f"fusion.qkv.{i}.1.weight"
        yield f"FM.project_mid{n}.weight", f"fusion.out.{i}.weight"
        yield f"FM.project_E{n}.weight", f"fusion.expand.{i}.0.weight"
        yield f"FM.project_E{n}_d.weight", f"fusion.expand.{i}.1.weight"
        yield f"FM.project_out{n}.weight", f"fusion.contract.{i}.weight"
    yield "FM.project_E.weight", "fusion.gate.0.weight"
    yield "FM.project_E_d.weight", "fusion.gate.1.weight"
    for k in range(_blocks(weights, r"decoder\.(\d+)\.attn\.temperature")):
        yield from _block(f"decoder.{k}", f"decoder.0.{k}")
    yield "project_out_0.weight", "decoder.1.weight"
    yield "project_out_1.weight", "decoder.3.weight"


def _block(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    for n, name in (("1", "attention"), ("2", "feed_forward")):
        yield f"{theirs}.norm{n}.body.weight", f"{ours}.norm_{name}.weight"
        yield f"{theirs}.norm{n}.body.bias", f"{ours}.norm_{name}.bias"
    yield f"{theirs}.attn.temperature", f"{ours}.attention.temperature"
    yield f"{theirs}.attn.qkv.weight", f"{ours}.attention.qkv.0.weight"
    yield f"{theirs}.attn.qkv_dwconv.weight", f"{ours}.attention.qkv.1.weight"
    yield f"{theirs}.attn.project_out.weight", f"{ours}.attention.out.weight"
    yield f"{theirs}.ffn.project_in.weight", f"{ours}.feed_forward.expand.0.weight"
    yield f"{theirs}.ffn.dwconv.weight", f"{ours}.feed_forward.expand.1.weight"
    yield f"{theirs}.ffn.project_out.weight", f"{ours}.feed_forward.out.weight"


def _blocks(weights: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in weights)
