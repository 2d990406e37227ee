"""The HTML report of a run, in one self-contained file."""

from fusekit.report.data import (
    Curve,
    ImageRow,
    MethodRow,
    MetricColumn,
    MetricTable,
    Picture,
    ReportData,
    SceneRow,
    Stamp,
    TaskRow,
    TaskTable,
)
from fusekit.report.render import render, write_report

__all__ = [
    "Curve",
    "ImageRow",
    "MethodRow",
    "MetricColumn",
    "MetricTable",
    "Picture",
    "ReportData",
    "SceneRow",
    "Stamp",
    "TaskRow",
    "TaskTable",
    "render",
    "write_report",
]
