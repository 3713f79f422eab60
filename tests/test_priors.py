"""Priors as plain values."""

from __future__ import annotations

import math
import re

import pytest

from radon_gallery.priors import (
    WEAK,
    WIDE,
    HalfNormalPrior,
    NormalPrior,
    Priors,
    UniformPrior,
    get_priors,
)


def test_wide_priors_are_the_recipes():
    assert WIDE == Priors(NormalPrior(0.0, 10_000.0), UniformPrior(100.0), UniformPrior(100.0))


def test_weak_priors_are_on_the_scale_of_log_radon():
    assert WEAK == Priors(NormalPrior(0.0, 5.0), HalfNormalPrior(1.0), HalfNormalPrior(1.0))


def test_priors_come_by_name_or_as_they_are():
    own = Priors(NormalPrior(1.0, 2.0), HalfNormalPrior(0.5), UniformPrior(3.0))
    assert get_priors("wide") is WIDE
    assert get_priors("weak") is WEAK
    assert get_priors(own) is own


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown priors 'flat'; .*'weak', 'wide'"):
        get_priors("flat")


@pytest.mark.parametrize("priors", [None, 1.0, NormalPrior(0.0, 1.0)])
def test_what_is_no_set_of_priors_is_refused(priors):
    told = f"a name or a Priors, got {type(priors).__name__}"
    with pytest.raises(TypeError, match=told):
        get_priors(priors)


def test_priors_of_another_kind_are_refused():
    scale = UniformPrior(1.0)
    with pytest.raises(
        TypeError, match="effect of Priors must be of type NormalPrior, got UniformPrior"
    ):
        Priors(scale, scale, scale)
    with pytest.raises(TypeError, match="noise of Priors must be of type UniformPrior or Half"):
        Priors(NormalPrior(0.0, 1.0), scale, NormalPrior(0.0, 1.0))


@pytest.mark.parametrize("value", ["1", None, True, [1.0]])
@pytest.mark.parametrize(
    "make", [lambda value: NormalPrior(value, 1.0), HalfNormalPrior, UniformPrior]
)
def test_what_is_no_number_is_refused(make, value):
    with pytest.raises(TypeError, match=re.escape(f"must be a number, got {value!r}")):
        make(value)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: NormalPrior(0.0, value), "NormalPrior needs a positive, finite sd"),
        (HalfNormalPrior, "HalfNormalPrior needs a positive, finite sd"),
        (UniformPrior, "UniformPrior needs a positive, finite upper"),
    ],
)
def test_a_spread_must_be_positive_and_finite(make, name, value):
    with pytest.raises(ValueError, match=f"{name}, got {value!r}; give .* in units of log radon"):
        make(value)


@pytest.mark.parametrize("mean", [math.nan, -math.inf])
def test_a_mean_must_be_finite(mean):
    with pytest.raises(ValueError, match=f"NormalPrior needs a finite mean, got {mean!r}"):
        NormalPrior(mean, 1.0)
