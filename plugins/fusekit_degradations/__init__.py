"""Degradations of sources by sensors, lenses and the weather, as a plugin. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"

_TRANSFORMS = (
    ("noise", "sensor:Noise", "NoiseConfig", "Shot noise and read noise; white noise in thermal sources"),
    ("stripes", "sensor:Stripes", "StripesConfig", "Column noise of microbolometers: offsets and gain errors"),
    ("blur", "optics:Blur", "BlurConfig", "Defocus with a Gaussian point spread function"),
    ("motion_blur", "optics:MotionBlur", "MotionConfig", "Blur by a straight motion of constant speed"),
    ("haze", "weather:Haze", "HazeConfig", "Haze and fog of a given visibility over a flat ground"),
    ("rain", "weather:Rain", "RainConfig", "Streaks of rain of a given rate"),
    ("low_light", "sensor:LowLight", "LowLightConfig", "Underexposure with shot noise and read noise"),
    ("over_exposure", "sensor:OverExposure", "OverExposureConfig", "Overexposure with clipping"),
    ("contrast", "sensor:Contrast", "ContrastConfig", "Loss of contrast around the mean"),
    ("shift", "optics:Shift", "ShiftConfig", "Misregistration: a shift by whole pixels in a random direction"),
    ("lost_source", "sensor:LostSource", "LostConfig", "Rows of a source, or all, replaced by a constant"),
)


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """The degradations."""
    return [
        component(
            "transform",
            f"degradations.{name}",
            target=f"fusekit_degradations.{target}",
            config=f"fusekit_degradations.config:{config}",
            summary=summary,
        )
        for name, target, config, summary in _TRANSFORMS
    ]
