"""The survey: load it, validate a reader's own, simulate one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from radon_gallery._checks import (
    FloatArray,
    IntArray,
    finite_numbers,
    listed,
    reject_rows,
    require_count,
    require_same_length,
    shortened,
    whole_numbers,
)

__all__ = [
    "Rows",
    "Simulation",
    "Survey",
    "check_rows",
    "load_minnesota",
    "require_rows",
    "simulate_survey",
    "survey_from_frame",
]


#: Added to every measurement before the logarithm, in pCi/L: three homes measured 0.
LOG_OFFSET_PCI_L: Final = 0.1


class Rows(NamedTuple):
    """Three aligned vectors, one entry a home.

    They are NumPy arrays for a whole survey and symbolic tensors for a minibatch; the models take
    either.

    Parameters
    ----------
    log_radon : array, shape (n_obs,), float64, log pCi/L
        The response.
    floor : array, shape (n_obs,), int64
        Where the home was measured: 0 in the basement, 1 on the first floor.
    county_idx : array, shape (n_obs,), int64
        The home's county, as a position in the list of counties.
    """

    log_radon: Any
    floor: Any
    county_idx: Any


@dataclass(frozen=True, eq=False)
class Survey:
    """A radon survey: homes within counties. Checked when it is made; its arrays are read-only.

    Parameters
    ----------
    log_radon : array_like, shape (n_obs,), log pCi/L
        Logarithm of the measured radon.
    floor : array_like, shape (n_obs,)
        0 for a measurement in the basement, 1 for one on the first floor.
    county_idx : array_like, shape (n_obs,)
        Position of each home's county in `county`.
    county : sequence of str, length n_county
        Names of the counties, each with at least one home.
    log_uranium : array_like, shape (n_county,), log parts per million, optional
        Uranium in the county's soil.
    longitude, latitude : array_like, shape (n_county,), degrees, optional
        The county's centre.

    Raises
    ------
    ValueError
        If a vector is empty, of another length, or holds what is not a finite number; if a floor is
        neither 0 nor 1, a code is out of range, a county is named twice or has no home. The message
        names the rows.
    """

    log_radon: FloatArray
    floor: IntArray
    county_idx: IntArray
    county: tuple[str, ...]
    log_uranium: FloatArray | None = None
    longitude: FloatArray | None = None
    latitude: FloatArray | None = None

    def __post_init__(self) -> None:
        county = tuple(str(name) for name in self.county)
        rows = check_rows(self.rows, n_county=len(county))
        _require_inhabited(county, rows.county_idx)
        checked: dict[str, Any] = {**rows._asdict(), "county": county}
        for name in ("log_uranium", "longitude", "latitude"):
            values = getattr(self, name)
            if values is not None:
                checked[name] = finite_numbers(name, values)
                require_same_length(**{name: checked[name]}, county=np.asarray(county))
        for name, value in checked.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Tell the size: the numbers themselves would fill pages."""
        return f"<Survey: {self.n_obs} homes in {self.n_county} counties>"

    def __reduce__(self) -> tuple[type[Survey], tuple[Any, ...]]:
        """Have copies and pickles made as any survey is: checked, and with read-only arrays."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def n_obs(self) -> int:
        """Number of homes."""
        return len(self.log_radon)

    @property
    def n_county(self) -> int:
        """Number of counties."""
        return len(self.county)

    @property
    def homes(self) -> IntArray:
        """Number of homes in each county, shape (n_county,)."""
        return np.bincount(self.county_idx, minlength=self.n_county)

    @property
    def rows(self) -> Rows:
        """The three aligned vectors of the whole survey."""
        return Rows(self.log_radon, self.floor, self.county_idx)

    @property
    def coords(self) -> dict[str, list[str] | IntArray]:
        """Labels of the dimensions `county` and `obs_id`, as the models take them."""
        return {"county": list(self.county), "obs_id": np.arange(self.n_obs)}

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimension of each vector that the survey has."""
        by_county = ("log_uranium", "longitude", "latitude")
        found = [name for name in by_county if getattr(self, name) is not None]
        homes: dict[str, tuple[str, ...]] = dict.fromkeys(Rows._fields, ("obs_id",))
        return homes | dict.fromkeys(found, ("county",))


class Simulation(NamedTuple):
    """A simulated survey and the values it was made from.

    Parameters
    ----------
    survey : Survey
        The survey.
    truth : xarray.Dataset
        `mu_alpha`, `sigma_alpha`, `mu_beta`, `sigma_beta`, `eps`, and by `county` `alpha` and
        `beta`, all in log pCi/L.
    """

    survey: Survey
    truth: xr.Dataset


def load_minnesota() -> Survey:
    """Load the 919 Minnesota homes of the State Residential Radon Survey.

    Three homes measured 0 pCi/L, so the response is ``log(radon + 0.1)``, as in the published
    recipe. Where the tables come from is told beside them, in ``_data/README.md``.

    Returns
    -------
    Survey
        919 homes in 85 counties, with log uranium, longitude and latitude by county.

    References
    ----------
    Gelman and Hill (2007), section 12.2 [gelman2007data].
    """
    folder = files("radon_gallery") / "_data"
    with (folder / "minnesota_homes.csv").open() as homes_file:
        homes = pd.read_csv(homes_file)
    with (folder / "minnesota_counties.csv").open() as counties_file:
        counties = pd.read_csv(counties_file)
    code = pd.Series(np.arange(len(counties)), index=counties["county_fips"])
    return Survey(
        log_radon=np.log(homes["radon_pci_l"].to_numpy() + LOG_OFFSET_PCI_L),
        floor=homes["floor"].to_numpy(),
        county_idx=code[homes["county_fips"]].to_numpy(),
        county=tuple(counties["county"]),
        log_uranium=np.log(counties["uranium_ppm"].to_numpy()),
        longitude=counties["longitude"].to_numpy(),
        latitude=counties["latitude"].to_numpy(),
    )


def survey_from_frame(
    frame: pd.DataFrame,
    *,
    log_radon: str = "log_radon",
    floor: str = "floor",
    county: str = "county",
    log_uranium: str | None = None,
    longitude: str | None = None,
    latitude: str | None = None,
) -> Survey:
    """Make a survey from a table of the reader's own, one row a home.

    Counties are taken in alphabetical order; in the order of the categories if the column is
    categorical.

    Parameters
    ----------
    frame : pandas.DataFrame, n_obs rows
        The table.
    log_radon, floor, county : str
        Columns that hold the response (log pCi/L), the floor (0 or 1) and the county's name.
    log_uranium, longitude, latitude : str, optional
        Columns that hold a value of the home's county, the same in each of the county's rows.

    Returns
    -------
    Survey
        The survey, its homes in the order of the table.

    Raises
    ------
    TypeError
        If `frame` is not a data frame.
    ValueError
        If a column is missing (the message lists those found), a row has no county, a county's
        value differs between its rows, or as `Survey` raises.
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"expected a pandas DataFrame, got {type(frame).__name__}.")
    by_county = {"log_uranium": log_uranium, "longitude": longitude, "latitude": latitude}
    wanted = [log_radon, floor, county, *(column for column in by_county.values() if column)]
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise ValueError(
            f"the table has no column {listed(missing)}; it has {listed(frame.columns)}. "
            "Name the right one, such as log_radon='my_column'."
        )
    repeated = [column for column in wanted if list(frame.columns).count(column) > 1]
    if repeated:
        raise ValueError(f"the table has more than one column {listed(repeated)}; keep one.")
    names = frame[county].astype("category")
    codes = names.cat.codes.to_numpy().astype(np.int64)
    reject_rows(county, names.to_numpy(), codes < 0, "the name of a county")
    _, first_row, position = np.unique(codes, return_index=True, return_inverse=True)
    values: dict[str, FloatArray] = {}
    for name, column in by_county.items():
        if column is not None:
            numbers = finite_numbers(column, frame[column])
            values[name] = numbers[first_row]
            differs = numbers != values[name][position]
            reject_rows(column, numbers, differs, "the county's number, the same")
    return Survey(
        log_radon=finite_numbers(log_radon, frame[log_radon]),
        floor=frame[floor].to_numpy(),
        county_idx=codes,
        county=tuple(names.cat.categories.astype(str)),
        **values,
    )


def simulate_survey(
    n_obs: int,
    n_county: int,
    *,
    mu_alpha: float = 1.5,
    sigma_alpha: float = 0.3,
    mu_beta: float = -0.65,
    sigma_beta: float = 0.25,
    eps: float = 0.7,
    random_seed: int,
) -> Simulation:
    """Simulate a survey of any size from known parameters.

    Homes fall into counties as unevenly as in Minnesota (log-normal weights), each county gets at
    least one, and one home in six is measured on the first floor.

    Parameters
    ----------
    n_obs : int
        Number of homes, at least `n_county`.
    n_county : int
        Number of counties, at least 1.
    mu_alpha, sigma_alpha : float, log pCi/L
        Mean and standard deviation of the county intercepts; 0 makes all counties alike.
    mu_beta, sigma_beta : float, log pCi/L
        The same of the county floor effects.
    eps : float, log pCi/L
        Residual standard deviation.
    random_seed : int
        Seed; the same seed gives the same survey.

    Returns
    -------
    Simulation
        The survey and the values it was made from.

    Raises
    ------
    TypeError
        If a size or the seed is not a whole number.
    ValueError
        If a size is below 1, the seed is negative, there are fewer homes than counties, a standard
        deviation is negative, or a parameter is not finite.
    """
    require_count("n_obs", n_obs)
    require_count("n_county", n_county)
    require_count("random_seed", random_seed, at_least=0)
    if n_obs < n_county:
        raise ValueError(
            f"each county needs a home: got n_obs={n_obs} homes for n_county={n_county} counties."
        )
    centres = {"mu_alpha": mu_alpha, "mu_beta": mu_beta}
    scales = {"sigma_alpha": sigma_alpha, "sigma_beta": sigma_beta, "eps": eps}
    for name, value in (centres | scales).items():
        if not np.isfinite(value) or (name in scales and value < 0):
            wanted = "finite" if name in centres else "finite and not negative"
            raise ValueError(f"{name} must be {wanted}, got {value!r}.")
    rng = np.random.default_rng(random_seed)
    weights = rng.lognormal(sigma=1.1, size=n_county)
    further = rng.choice(n_county, size=n_obs - n_county, p=weights / weights.sum())
    county_idx = rng.permutation(np.concatenate([np.arange(n_county), further]))
    floor = rng.binomial(1, 1 / 6, size=n_obs)
    alpha = rng.normal(mu_alpha, sigma_alpha, size=n_county)
    beta = rng.normal(mu_beta, sigma_beta, size=n_county)
    log_radon = rng.normal(alpha[county_idx] + beta[county_idx] * floor, eps)
    county = tuple(f"County {number}" for number in range(1, n_county + 1))
    truth = xr.Dataset(
        {"alpha": ("county", alpha), "beta": ("county", beta), **centres, **scales},
        coords={"county": list(county)},
    )
    return Simulation(Survey(log_radon, floor, county_idx, county), truth)


def require_rows(rows: object) -> None:
    """Check that rows are such, of data or of a minibatch.

    Parameters
    ----------
    rows : Rows
        What is to be checked.

    Raises
    ------
    TypeError
        If they are anything else, such as a survey.
    """
    if not isinstance(rows, Rows):
        raise TypeError(f"expected Rows, such as survey.rows, got {type(rows).__name__}.")


def check_rows(rows: Rows, *, n_county: int | None = None) -> Rows:
    """Return the rows of a whole survey as arrays of their proper types, after checking them.

    Parameters
    ----------
    rows : Rows
        Three vectors of shape (n_obs,).
    n_county : int, optional
        Number of counties, which bounds `county_idx`.

    Returns
    -------
    Rows
        Copies: float64, int64 and int64.

    Raises
    ------
    TypeError
        If `rows` are not `Rows`.
    ValueError
        If the vectors are empty, differ in length, or hold what they may not; the message names
        the rows.
    """
    require_rows(rows)
    require_same_length(**{name: np.asarray(vector) for name, vector in rows._asdict().items()})
    if len(rows.log_radon) == 0:
        raise ValueError("the survey is empty: expected at least one home, got none.")
    below = np.iinfo(np.int64).max if n_county is None else n_county
    codes = "0 or larger" if n_county is None else f"from 0 to {n_county - 1}"
    return Rows(
        log_radon=finite_numbers("log_radon", rows.log_radon),
        floor=whole_numbers(
            "floor", rows.floor, below=2, expected="0 (basement) or 1 (first floor)"
        ),
        county_idx=whole_numbers(
            "county_idx",
            rows.county_idx,
            below=below,
            expected=f"the code of a county, a whole number {codes},",
        ),
    )


def _require_inhabited(county: tuple[str, ...], county_idx: IntArray) -> None:
    if len(set(county)) < len(county):
        twice = sorted({name for name in county if county.count(name) > 1})
        raise ValueError(f"each county may be named once; named more often: {listed(twice)}.")
    homes = np.bincount(county_idx, minlength=len(county))
    empty = [repr(county[code]) for code in np.flatnonzero(homes == 0)]
    if empty:
        raise ValueError(
            f"each county needs at least one home; without one: {shortened(empty)}. "
            "Leave these out."
        )
