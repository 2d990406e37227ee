"""Degradations against the formulas of their models, written down here once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.interfaces import SEVERITIES, ComponentRef, Sample, Severity, Transform, degrade
from fusekit.model.assembly import Builder
from fusekit_degradations.weather import Rain

Array = npt.NDArray[np.float64]


def per(light: float, medium: float, heavy: float) -> dict[str, float]:
    return {"light": light, "medium": medium, "heavy": heavy}


def built(name: str, data: tuple[str, ...] = ("infrared", "visible"), **params: Any) -> Transform:
    made: Transform = Builder(data, None).build("transform", ComponentRef(use=f"degradations.{name}", params=params))
    return made


def changed(
    name: str, image: Tensor, role: str = "visible", severity: Severity = "medium", seed: int = 0, **params: Any
) -> Array:
    """One source, degraded."""
    transform = built(name, (role,), **params)
    found = transform(Sample("s", (image,)), severity, np.random.default_rng(seed)).images[0]
    return found.double().numpy()


def flat(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value)


def texture(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def light(values: Any) -> Array:
    """Linear light of sRGB values, by IEC 61966-2-1."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


# Sensor -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "saturation", "read"), [(0.7, 400.0, 0.0), (0.5, 1000.0, 30.0)])
def test_noise_has_the_variance_of_shot_and_read_noise(value: float, saturation: float, read: float) -> None:
    found = light(
        changed("noise", flat(value, 1, 200, 200), saturation=per(9e6, saturation, saturation), read_noise=read)
    )
    x = float(light(value))
    assert found.mean() == pytest.approx(x, rel=0.005)
    assert found.var() == pytest.approx(x / saturation + (read / saturation) ** 2, rel=0.03)


def test_noise_of_a_thermal_source_is_its_netd() -> None:
    found = changed("noise", flat(0.4, 3, 200, 200), "infrared", netd=per(0.1, 0.6, 1.0), span=20.0)
    assert found.std() == pytest.approx(0.6 / 20, rel=0.02)
    assert np.array_equal(found[0], found[1])  # a grey image stays grey


def test_noise_of_colours_is_independent() -> None:
    image = torch.stack([flat(0.3, 150, 150), flat(0.4, 150, 150), flat(0.5, 150, 150)])
    found = changed("noise", image).reshape(3, -1)
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 0.03


def test_stripes_are_constant_along_columns() -> None:
    options = {"offset": per(0.01, 0.03, 0.1), "gain": per(0.0, 0.05, 0.1)}
    image = 0.3 + 0.4 * texture(1, 64, 4000)
    offsets = (
        changed("stripes", image, "infrared", gain=per(0, 0, 0), offset=per(0.01, 0.02, 0.03))[0] - image[0].numpy()
    )
    spectrum = np.abs(np.fft.fft2(offsets)) ** 2
    assert spectrum[1:].sum() < 1e-9 * spectrum[0].sum()  # no vertical frequency
    found = changed("stripes", flat(0.5, 1, 2, 20000), "infrared", **options)[0]
    assert np.array_equal(found[0], found[1])
    assert found[0].std() == pytest.approx(np.hypot(0.03, 0.5 * 0.05), rel=0.03)


def test_low_light_divides_light_and_keeps_its_noise() -> None:
    image = texture(3, 20, 20)
    found = changed("low_light", image, stops=per(1, 2, 3), saturation=1e7, read_noise=0.0)
    assert np.abs(light(found) - light(image) / 4).max() < 2e-3
    noisy = light(changed("low_light", flat(1.0, 1, 200, 200), stops=per(1, 2, 3), saturation=4000.0, read_noise=10.0))
    assert noisy.var() == pytest.approx(0.25 / 4000 + (10 / 4000) ** 2, rel=0.03)


def test_over_exposure_clips() -> None:
    image = texture(3, 20, 20)
    found = changed("over_exposure", image, stops=per(0.5, 1.5, 3))
    assert np.allclose(light(found), np.minimum(1.0, light(image) * 2**1.5), atol=1e-5)
    assert (found == 1.0).any()


def test_contrast_keeps_the_mean() -> None:
    image = texture(3, 20, 20)
    found = changed("contrast", image, "mri", factor=per(0.5, 0.3, 0.1))
    assert found.mean() == pytest.approx(float(image.mean()), rel=1e-6)
    assert found.std() == pytest.approx(0.3 * float(image.std(correction=0)), rel=1e-5)


def test_a_lost_source_has_lost_rows() -> None:
    image = texture(1, 20, 10)
    found = changed("lost_source", image, share=per(0.1, 0.4, 1), value=0.25)
    assert np.array_equal(found[:, :12], image[:, :12].double().numpy())
    assert (found[:, 12:] == 0.25).all()


# Optics -----------------------------------------------------------------------------------------------------


def moments(image: Array) -> tuple[Array, Array]:
    """Mean and variance of the position of light, by rows and columns."""
    rows, columns = np.indices(image.shape)
    weights = image / image.sum()
    mean = np.array([(weights * rows).sum(), (weights * columns).sum()])
    return mean, np.array([(weights * (rows - mean[0]) ** 2).sum(), (weights * (columns - mean[1]) ** 2).sum()])


def point(size: int = 81) -> Tensor:
    image = torch.zeros(1, size, size)
    image[0, size // 2, size // 2] = 1.0
    return image


def test_blur_has_its_sigma() -> None:
    found = changed("blur", point(), "infrared", sigma=per(1, 2.5, 5))[0]
    mean, variance = moments(found)
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    assert mean == pytest.approx([40, 40], abs=1e-4)
    assert variance == pytest.approx([6.25, 6.25], rel=2e-3)  # the Gaussian ends at four sigma
    # In linear light: half of the light of white remains on an edge, not half of its value.
    edge = torch.zeros(1, 9, 60)
    edge[..., 30:] = 1.0
    assert light(changed("blur", edge)[0, 4, 29:31]).mean() == pytest.approx(0.5, abs=1e-4)


def test_motion_blur_is_a_line() -> None:
    for angle, axis in ((0.0, 1), (90.0, 0)):
        found = changed("motion_blur", point(), "infrared", length=per(5, 12, 20), angle=angle)[0]
        mean, variance = moments(found)
        assert found.sum() == pytest.approx(1.0, abs=1e-5)
        assert mean == pytest.approx([40, 40], abs=1e-4)
        assert variance[axis] == pytest.approx(13 * 13 / 12 - 1 / 12)  # thirteen points, one pixel apart
        assert variance[1 - axis] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_a_shift_moves_the_image(seed: int) -> None:
    image = texture(1, 24, 30)
    angles = []
    for severity, distance in zip(SEVERITIES, (3.0, 6.0, 9.0), strict=True):
        found = changed("shift", image, "infrared", severity, seed, distance=per(3, 6, 9))[0]
        padded = np.pad(image[0].double().numpy(), 10, mode="reflect")
        places = [
            (down, right)
            for down in range(-10, 11)
            for right in range(-10, 11)
            if np.array_equal(padded[10 - down : 34 - down, 10 - right : 40 - right], found)
        ]
        assert len(places) == 1
        assert np.hypot(*places[0]) == pytest.approx(distance, abs=0.71)
        angles.append(np.arctan2(*places[0]))
    assert np.abs(np.angle(np.exp(1j * (np.array(angles) - angles[-1])))).max() < 0.3  # all in one direction
    assert built("shift").moves_content
    assert not built("blur").moves_content


def test_a_border_wider_than_the_image_is_reflected_again() -> None:
    found = changed("shift", texture(1, 1, 3), "infrared", "heavy", 1, distance=per(1, 2, 9))
    assert set(found.ravel()) <= set(texture(1, 1, 3).double().numpy().ravel())


# Weather ----------------------------------------------------------------------------------------------------


def test_haze_is_the_scattering_model() -> None:
    image = texture(3, 50, 4)
    options = {"visibility": per(900, 200, 100), "near": 4.0, "far": 50.0, "horizon": 0.3, "airlight": 0.8}
    found = light(changed("haze", image, **options))
    below = (np.arange(50) + 0.5) / 50 - 0.3
    distance = np.where(below > 0, np.minimum(50.0, 4.0 * 0.7 / np.maximum(below, 1e-9)), 50.0)
    transmission = (0.02 ** (distance / 200))[:, None]
    assert np.allclose(found, light(image) * transmission + float(light(0.8)) * (1 - transmission), atol=1e-5)


def test_contrast_at_the_visibility_is_two_percent() -> None:
    image = torch.cat([flat(0.0, 1, 8, 1), flat(1.0, 1, 8, 1)], dim=2)
    found = light(changed("haze", image, visibility=per(900, 60, 30), far=60.0))
    assert found[0, 0, 1] - found[0, 0, 0] == pytest.approx(0.02, rel=1e-3)


def test_airlight_follows_the_light_of_the_scene() -> None:
    grey = 0.4613561  # sRGB of 18% light: a scene in which white is 1
    assert light(changed("haze", flat(grey, 3, 20, 8), "visible", "heavy", visibility=per(9, 5, 2)))[0, 0, 0] == (
        pytest.approx(1.0, rel=1e-3)
    )
    assert changed("haze", flat(0.0, 3, 20, 8)).max() == 0.0  # no fog is seen without light


def test_rain_covers_what_its_drops_cover() -> None:
    rain = built("rain", rate=per(10, 30, 150), exposure=0.001, focal=384.0)
    assert isinstance(rain, Rain)
    cover = rain.cover(240, 320, "heavy", np.random.default_rng(0))
    slope, focal, near, far = 4.1 * 150**-0.21, 384.0, 0.4, 5.0
    drops = 8000 / slope * np.exp(-slope) * 240 * 320 / focal**2 * (far**3 - near**3) / 3
    square = (1 + 2 / slope + 2 / slope**2) * 1e-6  # mean square of the diameters, m²
    area = np.pi / 4 * focal**2 * square * 3 * (far - near) / (far**3 - near**3)
    assert cover.sum() == pytest.approx(drops * area, rel=0.05)
    assert 0 <= cover.min() < cover.max() <= 1


def test_streaks_fall_along_the_wind() -> None:
    def steepness(wind: float) -> tuple[float, float]:
        rain = built("rain", wind=wind, exposure=0.01)
        assert isinstance(rain, Rain)
        cover = rain.cover(200, 200, "medium", np.random.default_rng(0))
        rows, columns = np.gradient(cover)
        return float((columns**2).sum() / (rows**2).sum()), float((rows * columns).sum())

    assert steepness(0.0)[0] > 5
    assert steepness(45.0)[0] == pytest.approx(1.0, rel=0.2)
    # From top right to bottom left with positive angles, the other way with negative ones.
    assert steepness(30.0)[1] > 0 > steepness(-30.0)[1]


# Roles and random streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "roles", "expected"),
    [
        ("stripes", ("infrared", "visible"), ("infrared",)),
        ("stripes", ("visible", "thermal"), ("thermal",)),
        ("haze", ("infrared", "visible"), ("visible",)),
        ("haze", ("near", "far"), ("near", "far")),
        ("low_light", ("mri", "other"), ("other",)),  # of unknown spectrum
        ("rain", ("a", "b"), ("a", "b")),
        ("noise", ("mri", "pet"), ("mri", "pet")),
        ("shift", ("visible", "infrared"), ("infrared",)),
        ("lost_source", ("near", "far"), ("near",)),
    ],
)
def test_default_roles(name: str, roles: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert built(name, roles).roles == expected


def test_roles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"have the roles mri, pet, none of which it suits; the option `roles`"):
        built("haze", ("mri", "pet"))
    assert built("haze", ("mri", "pet"), roles=["pet"]).roles == ("pet",)
    with pytest.raises(UsageError, match="have the roles infrared, visible, not radar"):
        built("noise", roles=["visible", "radar"])
    with pytest.raises(UsageError, match=r"(?s)sigma.*at least 3 items"):
        built("blur", sigma={"light": 1.0, "heavy": 4.0})


def test_a_scene_is_degraded_in_the_same_way_for_everybody() -> None:
    images = (0.4 + 0.2 * texture(1, 16, 16), 0.4 + 0.2 * texture(3, 16, 16))
    scene = Sample("one", images, torch.zeros(16, 16).long(), images[0])
    noise = built("noise")

    def pattern(found: Sample) -> Tensor:
        return found.images[0] - images[0]

    first = degrade(scene, noise, "light", name="degradations.noise", seed=3)
    degrade(scene, noise, "light", name="degradations.noise", seed=4)
    again = degrade(scene, built("noise"), "light", name="degradations.noise", seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert (first.id, first.label, first.ideal) == (scene.id, scene.label, scene.ideal)
    # One pattern for all severities, and another one for each scene, seed and transform.
    heavy = degrade(scene, noise, "heavy", name="degradations.noise", seed=3)
    assert torch.allclose(pattern(heavy) / pattern(first), torch.tensor(6.0), rtol=1e-2)  # of NETD 0.6 and 0.1 K
    others = (
        degrade(Sample("two", images), noise, "light", name="degradations.noise", seed=3),
        degrade(scene, noise, "light", name="degradations.noise", seed=4),
        degrade(scene, noise, "light", name="other.noise", seed=3),
    )
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([pattern(first).ravel(), pattern(other).ravel()]))[0, 1])) < 0.2
    # The choice of roles does not change the pattern of a source.
    alone = degrade(scene, built("noise", roles=["visible"]), "light", name="degradations.noise", seed=3)
    assert torch.equal(alone.images[1], first.images[1])
    assert torch.equal(alone.images[0], images[0])
