"""The conformance kit: the contract of each kind of component, as checks that plugin authors inherit.

Usage in a plugin's test file::

    from fusekit.testing import TaskContract

    class TestSmall(TaskContract):
        name = "toyseg.small"
        params = {"width": 8}

pytest finds the checks; ``fusekit plugins check toyseg`` and `fusekit.testing.check.check` run the same checks without
pytest. Contracts are imported on first use, because they import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
