"""What components of all kinds share: their options and what the wiring knows. Imports no torch."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.context import BuildContext


class Component:
    """Base of every component but datasets; its constructor keeps the options and the context.

    A subclass needs a constructor only to build something. It calls ``super().__init__(config, context)`` first and
    then reads `config` and `context`; ``config: MyConfig`` in its body tells type checkers which options it has.

    Attributes:
        Config: Class of the options.
        context: What only the wiring knows, a default `BuildContext` where none is given.

    Args:
        config: Its options, an instance of ``Config``; the defaults when None.
        context: What only the wiring knows.
    """

    Config: ClassVar[type[ComponentConfig]] = ComponentConfig
    context: BuildContext

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__()  # of nn.Module, where the component is one
        if config is not None:
            self.config = config
        self.context = BuildContext() if context is None else context

    # Made on first read: a Config with required fields has no defaults, and constructors of plugins may pass none.
    @cached_property
    def config(self) -> Any:
        """The options, an instance of ``Config``."""
        return self.Config()
