"""Options of the degradations, with the numbers of their severities. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from fusekit.interfaces import Field, PerSeverity, TransformConfig

THERMAL = frozenset({"infrared", "thermal", "ir", "lwir", "mwir"})
"""Roles of thermal cameras."""

MEDICAL = frozenset({"mri", "pet", "ct", "spect"})
"""Roles of medical images."""

VISIBLE = frozenset({"visible", "rgb", "near", "far", "under", "over"})
"""Roles of cameras for visible light, those of multi-focus and multi-exposure pairs included."""

Stops = Annotated[float, Field(ge=0, le=16)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[float, Field(ge=0, le=100)]
Electrons = Annotated[float, Field(ge=1, le=1e7)]


class VisibleConfig(TransformConfig):
    """Options of a degradation of visible light."""

    def suited_roles(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Roles of visible light; without one, those whose spectrum is unknown."""
        known = tuple(role for role in roles if role in VISIBLE)
        return known or tuple(role for role in roles if role not in THERMAL | MEDICAL)


class ThermalConfig(TransformConfig):
    """Options of a degradation of thermal cameras."""

    def suited_roles(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Roles of thermal cameras; without one, those whose spectrum is unknown."""
        known = tuple(role for role in roles if role in THERMAL)
        return known or tuple(role for role in roles if role not in VISIBLE | MEDICAL)


class SingleConfig(TransformConfig):
    """Options of a degradation of one of the sources."""

    def suited_roles(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """The thermal camera; without one, the first role."""
        return (*(role for role in roles if role in THERMAL), *roles)[:1]


class NoiseConfig(TransformConfig):
    """Options of sensor noise."""

    saturation: PerSeverity[Electrons] = Field(
        {"light": 2000.0, "medium": 500.0, "heavy": 125.0},
        description="signal of a white pixel in electrons; halves with each doubling of the ISO speed",
    )
    read_noise: float = Field(3.0, ge=0, le=1000, description="standard deviation of the read noise in electrons")
    netd: PerSeverity[Annotated[float, Field(ge=0, le=100)]] = Field(
        {"light": 0.1, "medium": 0.25, "heavy": 0.6},
        description="noise-equivalent temperature difference of thermal sources, in kelvin",
    )
    span: float = Field(10.0, gt=0, le=1000, description="temperatures from black to white in a thermal source, in K")


class StripesConfig(ThermalConfig):
    """Options of column noise."""

    offset: PerSeverity[Share] = Field(
        {"light": 0.015, "medium": 0.04, "heavy": 0.08},
        description="standard deviation of the columns' offsets, as a fraction of the range of values",
    )
    gain: PerSeverity[Share] = Field(
        {"light": 0.01, "medium": 0.03, "heavy": 0.08},
        description="standard deviation of the columns' relative gain errors",
    )


class BlurConfig(TransformConfig):
    """Options of defocus."""

    sigma: PerSeverity[Pixels] = Field(
        {"light": 1.0, "medium": 2.0, "heavy": 4.0},
        description="standard deviation of the Gaussian point spread function, in pixels",
    )


class MotionConfig(TransformConfig):
    """Options of motion blur."""

    length: PerSeverity[Pixels] = Field(
        {"light": 5.0, "medium": 11.0, "heavy": 23.0}, description="path of a point during the exposure, in pixels"
    )
    angle: float = Field(0.0, ge=-180, le=180, description="direction of the motion in degrees; 0: horizontal")


class HazeConfig(VisibleConfig):
    """Options of haze and fog."""

    visibility: PerSeverity[Annotated[float, Field(ge=1, le=1e6)]] = Field(
        {"light": 1000.0, "medium": 400.0, "heavy": 150.0},
        description="meteorological visibility in metres, at which contrast falls to 2%",
    )
    near: float = Field(5.0, gt=0, le=1e4, description="distance of the ground at the lower image border, in metres")
    far: float = Field(60.0, gt=0, le=1e5, description="largest distance, also that of everything above the horizon")
    horizon: float = Field(0.4, ge=0, lt=1, description="height of the horizon from the top, as a fraction")
    airlight: float | None = Field(
        None, ge=0, le=1, description="value of the airlight; default: white, as lit by the scene's estimated light"
    )


class RainConfig(VisibleConfig):
    """Options of rain."""

    rate: PerSeverity[Annotated[float, Field(gt=0, le=300)]] = Field(
        {"light": 10.0, "medium": 40.0, "heavy": 150.0}, description="rain rate in millimetres per hour"
    )
    exposure: float = Field(0.002, gt=0, le=0.1, description="exposure time in seconds")
    focal: float = Field(
        800.0, ge=300, le=1e5, description="focal length in pixels; 800 is a view of 44 degrees for a width of 640"
    )
    wind: float = Field(10.0, ge=-60, le=60, description="angle of the streaks to the vertical, in degrees")


class LowLightConfig(VisibleConfig):
    """Options of underexposure with noise."""

    stops: PerSeverity[Stops] = Field(
        {"light": 2.0, "medium": 3.5, "heavy": 5.0}, description="exposure that is missing, in stops (powers of two)"
    )
    saturation: float = Field(
        4000.0, ge=1, le=1e7, description="signal in electrons of a pixel that was white at the original exposure"
    )
    read_noise: float = Field(3.0, ge=0, le=1000, description="standard deviation of the read noise in electrons")


class OverExposureConfig(VisibleConfig):
    """Options of overexposure."""

    stops: PerSeverity[Stops] = Field(
        {"light": 0.7, "medium": 1.3, "heavy": 2.0}, description="excess exposure, in stops (powers of two)"
    )


class ContrastConfig(TransformConfig):
    """Options of a loss of contrast."""

    factor: PerSeverity[Share] = Field(
        {"light": 0.6, "medium": 0.35, "heavy": 0.15}, description="factor of the differences from the mean value"
    )


class ShiftConfig(SingleConfig):
    """Options of a misregistration."""

    distance: PerSeverity[Pixels] = Field(
        {"light": 1.0, "medium": 3.0, "heavy": 6.0},
        description="length of the shift in pixels; each component is rounded to whole pixels",
    )


class LostConfig(SingleConfig):
    """Options of a lost source."""

    share: PerSeverity[Share] = Field(
        {"light": 0.25, "medium": 0.5, "heavy": 1.0}, description="fraction of the rows that is lost, from the bottom"
    )
    value: float = Field(0.0, ge=0, le=1, description="value of the lost pixels")
