"""The conformance kit: what a component of each kind must keep, as checks that plugin authors inherit.

In a test file of a plugin::

    from fusekit.testing import TaskContract

    class TestSmall(TaskContract):
        name = "toyseg.small"
        params = {"width": 8}

pytest finds the checks; ``fusekit plugins check toyseg`` and `fusekit.testing.check.check` run the same ones without
it. Names are resolved on first use, because contracts import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
