"""Images and scenes; the names for plugins and programs are exported here and imported on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
