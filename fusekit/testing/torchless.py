"""Detecting in a separate process whether importing a module imports torch."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

_PROGRAM = "import importlib, sys; importlib.import_module(sys.argv[1]); print('torch' in sys.modules)"


@cache
def imports_torch(module: str) -> bool:
    """Whether importing a module imports torch.

    Raises:
        AssertionError: The module cannot be imported in a new process.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise AssertionError(f"module {module}: expected that a new process can import it, found {last}")
    return done.stdout.split()[-1] == "True"
