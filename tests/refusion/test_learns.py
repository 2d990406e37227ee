"""The loss proposal module learns: a known answer, by the real strategy and trainer, on synthetic scenes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.noisy_scenes import Setting, train


@pytest.mark.slow
@pytest.mark.parametrize("noisy", ["a", "b"])
def test_the_weights_come_to_prefer_the_source_without_noise(noisy: str) -> None:
    """Half of one source is noise, and noise says nothing of the classes: the other source serves the task better.

    The same seed, weights and schedule with the noise in the other source must give the opposite weights, so neither
    the start nor a bias of the method can pass for the answer; nor was it there before the proposer learned. What is
    learned here is a liking for a source: it holds outside of the noise as well (docs/papers/learned-loss.md).
    """
    setting = replace(Setting(), noisy=noisy, steps=96)
    before, after = train(setting, seed=0)
    assert 0.4 < before.in_noise < 0.6, "the proposer was to rest"
    assert after.in_noise > 0.8


@pytest.mark.slow
def test_with_noise_in_either_source_the_weights_choose_the_clean_one_in_each_place() -> None:
    """One half of each source is noise, another half in every scene, and each scene is also there exchanged.

    So a liking for a source gains nothing: the weights have to depend on the pixels around them.
    """
    before, after = train(Setting(noisy="either", place=True, steps=96), seed=0)
    assert 0.45 < before.in_noise < 0.55, "the proposer was to rest"
    assert after.in_noise > 0.75
    assert after.outer < 0.85 * before.outer
