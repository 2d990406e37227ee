"""The command line: parse, call the API, render. Imports torch only inside the commands that need it."""

from __future__ import annotations

import os

# pydantic reads the entry points of everything installed, and one damaged distribution of anybody's would end
# every command with its traceback, even those that say what is damaged. None of its plugins is used here.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
