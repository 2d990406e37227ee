"""Builds the model that a file describes, limited by the size of the file, whose author may not be trusted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from fusekit.errors import DataError

Made = TypeVar("Made")

# Limits on what a network may register while it is built, beyond what it keeps. Encoders build heads of a thousand
# classes and drop them, and wrap layers again: networks of segmentation-models-pytorch register up to 5 entries for
# each tensor that they keep.
_ENTRIES, _ENTRIES_PER_TENSOR = 10_000, 16
_BYTES, _BYTES_PER_BYTE = 2**30, 4

_SMALL = 2**16
_FACTORIES = frozenset(
    {
        *(torch.empty, torch.zeros, torch.ones, torch.full, torch.eye, torch.arange, torch.linspace, torch.logspace),
        *(torch.rand, torch.randn, torch.randint, torch.randperm),
    }
)


class LargeWithoutMemory(TorchFunctionMode):
    """Inside the ``with`` block, tensors of more than a few values are created on the device ``meta``.

    Small tensors are real, because constructors read some of them, such as rates that grow from layer to layer.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in _FACTORIES and given.get("device") is None:
            meta = func(*args, **{**given, "device": "meta"})
            if meta.numel() > _SMALL:
                return meta
        return func(*args, **given)


class Limit:
    """Aborts the construction of a network that grows beyond what a file can contain.

    Counts every parameter, buffer and module that is registered in this thread inside the ``with`` block.

    Args:
        tensors: Number of tensors in the file.
        size: Size of the file in bytes.

    Attributes:
        exceeded: Whether the limit was exceeded. A flag distinguishes this from other errors, because components
            may wrap or swallow the exception.
    """

    def __init__(self, tensors: int, size: int) -> None:
        self.entries = _ENTRIES + _ENTRIES_PER_TENSOR * tensors
        self.bytes = _BYTES + _BYTES_PER_BYTE * size
        self.exceeded = False

    def __enter__(self) -> Limit:
        thread = threading.get_ident()

        def count(module: nn.Module, name: str, entry: Any) -> None:
            if threading.get_ident() != thread:  # the hooks apply to the whole process
                return
            self.entries -= 1
            self.bytes -= entry.numel() * entry.element_size() if isinstance(entry, Tensor) else 0
            if self.entries < 0 or self.bytes < 0:
                self.exceeded = True
                raise RuntimeError("the network is larger than the file that contains its weights")

        self._hooks = [
            register_module_parameter_registration_hook(count),
            register_module_buffer_registration_hook(count),
            register_module_module_registration_hook(count),
        ]
        return self

    def __exit__(self, *reason: object) -> None:
        for hook in self._hooks:
            hook.remove()


def build_checked(
    build: Callable[[], Made], check: Callable[[Made], None], *, tensors: int, size: int, what: str
) -> Made:
    """Builds a model first without allocating memory, to check whether it fits its file, and then with memory.

    The model without memory is discarded: it lacks values that constructors compute and that state dicts do not
    contain. A component that cannot be built that way, because it reads values of a large tensor, is built with
    memory immediately, and aborted if it becomes larger than the file allows.

    Args:
        build: Builds the model, in this thread.
        check: Raises if the model does not fit the file.
        tensors: Number of tensors in the file.
        size: Size of the file in bytes.
        what: Name of the file, for messages.

    Raises:
        DataError: The model is larger than the file allows.
    """
    try:
        with LargeWithoutMemory():
            on_meta = _limited(build, tensors, size, what)
    except DataError:
        raise
    except Exception:  # the component reads values of a large tensor, or it is broken and raises again below
        return _limited(build, tensors, size, what)
    check(on_meta)
    return build()


def _limited(build: Callable[[], Made], tensors: int, size: int, what: str) -> Made:
    limit = Limit(tensors, size)
    try:
        with limit:
            made = build()
    except Exception as error:
        if not limit.exceeded:
            raise
        raise _too_large(what) from error
    if limit.exceeded:
        raise _too_large(what)
    return made


def _too_large(what: str) -> DataError:
    return DataError(
        f"{what} does not fit the model that it describes, which is far larger than the file",
        hint="the file is damaged, or was made to exhaust memory",
    )
