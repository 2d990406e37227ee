"""Images and scenes: what plugins and programs use of it is exported here, and loaded when it is used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
