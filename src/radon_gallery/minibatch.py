"""Rows drawn together, so that they stay aligned."""

from __future__ import annotations

from radon_gallery._checks import require_count
from radon_gallery.data import Rows, check_rows, require_rows
from radon_gallery.editions import edition

__all__ = ["build_minibatch", "draw_batches"]


def build_minibatch(rows: Rows, batch_size: int, *, random_seed: int) -> Rows:
    """Build a minibatch: symbolic rows that are drawn anew each time a compiled function runs.

    One vector of random row numbers picks from all three vectors, so a home's radon, floor and
    county cannot come apart. Rows are drawn uniformly and with replacement.

    Parameters
    ----------
    rows : Rows
        The aligned vectors of a whole survey, each of shape (n_obs,).
    batch_size : int
        Number of rows in a batch, from 1 to n_obs.
    random_seed : int
        Seed of the row numbers: the same seed gives the same sequence of batches. `fit_advi`
        starts the sequence anew from its own seed, so that fits with one seed read the same rows,
        whatever seeds their minibatches were built with.

    Returns
    -------
    Rows
        Three symbolic vectors of shape (batch_size,), to be given to a model together with
        ``total_size=n_obs``.

    Raises
    ------
    TypeError
        If `batch_size` or `random_seed` is not a whole number, or `rows` are not those of a whole
        survey.
    ValueError
        If `batch_size` is below 1 or larger than the survey, `random_seed` is negative, or the
        rows are empty, differ in length or hold what they may not.

    See Also
    --------
    draw_batches : Look at the batches.

    References
    ----------
    Robbins and Monro (1951) [robbins1951stochastic]; Hoffman et al. (2013)
    [hoffman2013stochastic].
    """
    require_rows(rows)
    if any(edition.is_symbolic(vector) for vector in rows):
        raise TypeError("rows are a minibatch already; give the rows of a whole survey.")
    checked = check_rows(rows)
    n_obs = len(checked.log_radon)
    require_count("batch_size", batch_size)
    require_count("random_seed", random_seed, at_least=0)
    if batch_size > n_obs:
        raise ValueError(
            f"batch_size must be at most the number of homes, {n_obs}, got {batch_size}; "
            "give the model the whole survey's rows instead, without total_size."
        )
    return Rows(*edition.minibatch_tensors(checked, int(batch_size), int(random_seed)))


def draw_batches(minibatch: Rows, n_batches: int) -> Rows:
    """Look at the batches that come next, without using them up.

    Parameters
    ----------
    minibatch : Rows
        Symbolic rows from `build_minibatch`.
    n_batches : int
        Number of batches, at least 1.

    Returns
    -------
    Rows
        Three arrays of shape (n_batches, batch_size).

    Raises
    ------
    TypeError
        If `minibatch` is not symbolic, or `n_batches` is not a whole number.
    ValueError
        If `n_batches` is below 1.
    """
    require_rows(minibatch)
    if not all(edition.is_symbolic(vector) for vector in minibatch):
        raise TypeError("expected a minibatch from build_minibatch, got rows that are data.")
    require_count("n_batches", n_batches)
    return Rows(*edition.draw_batches(minibatch, int(n_batches)))
