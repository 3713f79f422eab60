"""The defaults, ten seeds long: no fit of the recipe's model may be far from its family's optimum.

Run by `nox -s seeds`, which prints the table.
"""

from __future__ import annotations

import numpy as np
import pytest

from radon_gallery.comparison import split_elbo_gap
from radon_gallery.diagnostics import estimate_elbo
from radon_gallery.exact import exact_posterior
from radon_gallery.inference import METHODS, fit_advi
from radon_gallery.minibatch import build_minibatch
from radon_gallery.models import PARAMETERISATIONS, hierarchical_model
from radon_gallery.optimum import family_optimum

# What a default fit may lose, in nats.
LIMIT = 0.25


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", PARAMETERISATIONS)
def test_ten_seeds_come_close_to_the_optimum(method, kind, minnesota, capsys):
    evidence = exact_posterior(minnesota).log_evidence
    best = family_optimum(minnesota, method=method, parameterisation=kind)
    whole = hierarchical_model(minnesota.rows, minnesota.coords, parameterisation=kind)
    gaps = []
    for seed in range(10):
        batch = build_minibatch(minnesota.rows, 100, random_seed=seed)
        model = hierarchical_model(
            batch, minnesota.coords, total_size=minnesota.n_obs, parameterisation=kind
        )
        fit = fit_advi(model, method=method, random_seed=seed, progressbar=False)
        elbo = estimate_elbo(fit, whole, draws=4000, random_seed=seed)
        gap = split_elbo_gap(elbo.log_weights, best.elbo, evidence)
        drawn = fit.sample(4000, random_seed=seed).posterior["sigma_beta"]
        gaps.append(gap)
        with capsys.disabled():
            print(
                f"{method:>10} {kind:>11} seed {seed}: optimiser {gap.optimiser:+.3f} "
                f"({gap.error:.3f}), family {gap.family:+.3f}, total {gap.total:+.3f} nats; "
                f"sigma_beta {float(drawn.mean()):.3f} ({float(drawn.std()):.3f}); "
                f"{fit.seconds:.1f} s, {1e6 * fit.seconds / fit.steps:.0f} us a step"
            )
    lost = np.array([-gap.optimiser for gap in gaps])
    error = max(gap.error for gap in gaps)
    assert lost.min() > -4 * error
    assert lost.max() < LIMIT + 2 * error
