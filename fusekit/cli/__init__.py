"""The command line: parse, call the API, render. Imports torch only inside the commands that need it."""

from __future__ import annotations

import os

# pydantic reads the entry points of every installed distribution, and a single damaged third-party distribution would
# end every command with a traceback, even those that report the damage. fusekit uses none of pydantic's plugins.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
