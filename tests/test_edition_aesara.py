"""What holds in the Aesara edition only; see conftest.py."""

from __future__ import annotations

import numpy as np
import pymc as pm

from radon_gallery.data import Rows, simulate_survey
from radon_gallery.inference import fit_advi
from radon_gallery.minibatch import draw_batches


def test_separate_minibatches_of_pymc_stay_in_step_when_reseeded():
    """As in the original recipe: three `pm.Minibatch`, aligned before a fit and after it."""
    survey = simulate_survey(60, 3, random_seed=2).survey
    numbered = np.arange(60.0)
    separate = Rows(
        pm.Minibatch(numbered, 10),
        pm.Minibatch(survey.floor, 10),
        pm.Minibatch(survey.county_idx, 10),
    )
    with pm.Model(coords={"county": list(survey.county)}) as model:
        theta = pm.Normal("theta", dims="county")
        pm.Normal("y", theta[separate.county_idx], observed=separate.log_radon, total_size=60)
    before = draw_batches(separate, 50)
    fit_advi(model, steps=100, random_seed=3, progressbar=False)
    after = draw_batches(separate, 50)
    assert not np.array_equal(before.log_radon, after.log_radon)
    for batches in (before, after):
        drawn = batches.log_radon.astype(int)
        # The model does not read the floor, so its stream stays where the others left it.
        np.testing.assert_array_equal(batches.county_idx, survey.county_idx[drawn])
