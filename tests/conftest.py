"""Settings of every test: torchvision made importable, one thread, kept memory, no colour codes in output."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_COLOR", "1")

from fusekit.compat.torchvision_ops import import_torchvision
from fusekit.pipeline.memory import keep_memory

keep_memory()
import_torchvision()

pytest_plugins = ["tests.command_line"]
