"""fusekit's conformance checks of every component."""

from fusekit.testing import TaskContract


class TestSmallSegmenter(TaskContract):
    name = "toyseg.small"
    params = {"width": 8}
