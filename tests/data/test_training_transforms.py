"""Training samples degraded by transforms: pure, and independent of everything else that is drawn for a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from fusekit.data.colour import luminance
from fusekit.data.training_data import TrainingData
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.model.assembly import Builder
from fusekit.recipe.problems import RecipeProblems
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import SamplingSection

LOST = {"use": "degradations.lost_source", "params": {"roles": ["b"], "value": 1.0}, "severity": ["heavy"]}


class Scenes(FusionDataset):
    """A grey source and a coloured one."""

    def __init__(self, count: int) -> None:
        self.count = count

    @property
    def ids(self) -> Sequence[str]:
        return [str(number) for number in range(self.count)]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        return Sample(
            str(index), (torch.rand(1, 24, 30, generator=generator), 0.9 * torch.rand(3, 24, 30, generator=generator))
        )


def data(*transforms: dict[str, Any], count: int = 4, colour: Any = "luma", **options: Any) -> TrainingData:
    plain = {"mode": "crop", "size": 16, "flip": True, "transforms": list(transforms), **options}
    sampling = SamplingSection.model_validate(plain)
    build = Builder(("a", "b"), None).build
    made = [build("transform", ComponentRef(use=part.use, params=part.params)) for part in sampling.transforms]
    return TrainingData(Scenes(count), sampling, 2, seed=5, colour=colour, transforms=made)


@pytest.mark.parametrize("mode", ["crop", "patches", "full"])
def test_a_batch_depends_on_nothing_but_its_place(mode: str) -> None:
    parts = ({"use": "degradations.noise", "probability": 0.5}, {"use": "degradations.shift"})
    one, other = data(*parts, mode=mode), data(*parts, mode=mode)
    wanted = [one.batch("train", epoch, index).sources for epoch in (0, 1) for index in (0, 1)]
    assert not torch.equal(wanted[0][0], wanted[2][0])
    found = [other.batch("train", epoch, index).sources for epoch in (1, 0) for index in (1, 0)][::-1]  # resumed
    for sources, again in zip(wanted, found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(sources, again, strict=True))


def test_crops_flips_and_other_sources_stay() -> None:
    clean, lossy = data().batch("train", 0, 0).sources, data(LOST).batch("train", 0, 0).sources
    assert torch.equal(clean[0], lossy[0])
    assert (lossy[1] == 1.0).all()
    assert not (clean[1] == 1.0).any()


def test_probability_and_severity() -> None:
    part = {**LOST, "probability": 0.3, "severity": ["light", "heavy"]}
    samples = data(part, count=400)
    images = torch.cat([samples.batch("train", 0, index).sources[1] for index in range(200)])
    lost = (images == 1.0).float().mean(dim=(1, 2, 3))  # whole images, or a quarter of the rows
    assert set(lost.tolist()) == {0.0, 0.25, 1.0}
    assert float((lost > 0).float().mean()) == pytest.approx(0.3, abs=0.07)
    assert float((lost == 1).float().sum() / (lost > 0).float().sum()) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("resize", [None, [20, 20]])
def test_colours_are_degraded_before_they_become_luminance(resize: Any) -> None:
    part = {"use": "degradations.over_exposure", "params": {"roles": ["b"]}, "severity": ["heavy"]}
    colours = data(part, colour="rgb", resize=resize).batch("train", 0, 0).sources[1]
    assert torch.equal(luminance(colours), data(part, resize=resize).batch("train", 0, 0).sources[1])
    clean = data(colour="rgb", resize=resize).batch("train", 0, 0).sources[1]
    assert (colours == 1.0).any(dim=1).float().mean() > (colours == 1.0).all(dim=1).float().mean() + 0.1  # each clips
    assert not (clean == 1.0).any()


def recipe(*transforms: Any) -> Recipe:
    section = {"strategy": {"use": "uaafusion.joint"}, "sampling": {"transforms": list(transforms)}}
    plain = {
        "schema": 1,
        "name": "n",
        "data": {"use": "scenes.streets"},
        "model": {
            "backbone": {"use": "refusion.network"},
            "proposer": {"use": "refusion.proposer"},
            "task": {"use": "tasks.smp"},
        },
        "train": section,
    }
    return Recipe.from_dict(plain, check_data=False)


def test_recipes_resolve_the_options_of_transforms() -> None:
    made = recipe({"use": "degradations.blur", "severity": ["light"]})
    assert made.plain["train"]["sampling"]["transforms"] == [
        {
            "use": "degradations.blur",
            "params": {"roles": None, "sigma": {"light": 1.0, "medium": 2.0, "heavy": 4.0}},
            "probability": 1.0,
            "severity": ["light"],
        }
    ]
    assert Recipe.from_dict(made.plain, check_data=False).plain == made.plain


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"use": "degradations.haze", "params": {"roles": ["visble"]}}, "roles infrared, visible, not visble"),
        ({"use": "degradations.blurr"}, "no transform named 'degradations.blurr'; did you mean 'degradations.blur'"),
        ({"use": "losses.ssim"}, "'losses.ssim' is of kind loss-term, not transform"),
        ({"use": "degradations.blur", "probability": 0}, r"probability: must be more than 0"),
        ({"use": "degradations.blur", "severity": ["strong"]}, r"severity.*(light|medium|heavy)"),
        ({"use": "degradations.blur", "params": {"sigma": {"heavy": 3.0}}}, r"params\.sigma"),
        ({"use": "degradations.blur", "params": {"sigma": {"light": -1, "medium": 1, "heavy": 2}}}, r"sigma\.light"),
    ],
)
def test_recipes_are_refused(part: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeProblems, match=rf"train\.sampling\.transforms[.\[]0.*{message}"):
        recipe(part)
