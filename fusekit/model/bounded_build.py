"""Building what a file describes, no larger than the file: its author may be a stranger."""

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

# What a network may register on the way beyond what it keeps. Encoders make heads of a thousand classes and drop them,
# and wrap layers again: networks of segmentation-models-pytorch register up to 5 things for each tensor that they keep.
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
    """Inside of the ``with`` block, tensors of more than a few values are made on the device ``meta``.

    Small ones are real, because constructors look at some, such as rates that grow from layer to layer.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in _FACTORIES and given.get("device") is None:
            drawn = func(*args, **{**given, "device": "meta"})
            if drawn.numel() > _SMALL:
                return drawn
        return func(*args, **given)


class Limit:
    """Ends the building of a network that grows beyond what a file can hold.

    Counts every weight, buffer and module that is registered in this thread inside of the ``with`` block.

    Args:
        tensors: Number of tensors in the file.
        size: Size of the file in bytes.

    Attributes:
        exceeded: Whether the building was ended; told apart from what else may go wrong in it, since components
            may wrap or swallow the error.
    """

    def __init__(self, tensors: int, size: int) -> None:
        self.entries = _ENTRIES + _ENTRIES_PER_TENSOR * tensors
        self.bytes = _BYTES + _BYTES_PER_BYTE * size
        self.exceeded = False

    def __enter__(self) -> Limit:
        thread = threading.get_ident()

        def count(module: nn.Module, name: str, entry: Any) -> None:
            if threading.get_ident() != thread:  # the hooks are of the whole process
                return
            self.entries -= 1
            self.bytes -= entry.numel() * entry.element_size() if isinstance(entry, Tensor) else 0
            if self.entries < 0 or self.bytes < 0:
                self.exceeded = True
                raise RuntimeError("the network is larger than the file that holds its weights")

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
    """Builds what a file describes once without memory, to see whether it fits the file, and then in earnest.

    What is made without memory is thrown away: it lacks values that constructors compute and state dicts do not
    hold. A component that cannot be made so, because it looks at values of a large tensor, is made in earnest at
    once and ended when it outgrows the file.

    Args:
        build: Builds it, in this thread.
        check: Raises where it does not fit the file.
        tensors: Number of tensors in the file.
        size: Size of the file in bytes.
        what: What the file is called, for messages.

    Raises:
        DataError: It outgrows the file.
    """
    try:
        with LargeWithoutMemory():
            drawn = _limited(build, tensors, size, what)
    except DataError:
        raise
    except Exception:  # a component that looks at large values, or one that is broken and says so again below
        return _limited(build, tensors, size, what)
    check(drawn)
    return build()


def _limited(build: Callable[[], Made], tensors: int, size: int, what: str) -> Made:
    limit = Limit(tensors, size)
    try:
        with limit:
            made = build()
    except Exception as error:
        if not limit.exceeded:
            raise
        raise _outgrown(what) from error
    if limit.exceeded:
        raise _outgrown(what)
    return made


def _outgrown(what: str) -> DataError:
    return DataError(
        f"{what} does not fit the model that it describes, which is far larger than the file",
        hint="the file is damaged, or was made to use up memory",
    )
