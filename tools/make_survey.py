"""Make the packaged survey from the raw files of the State Residential Radon Survey.

Usage: python tools/make_survey.py RAW_DIRECTORY

RAW_DIRECTORY holds `srrs2.dat` and `cty.dat`, as Gelman and Hill (2007) distributed them. Both lie
inside the wheel of pymc3 3.8 on PyPI, in `pymc3/examples/data/`; `nox -s data` fetches them from
there and runs this script.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pandas as pd

PACKAGED = Path(__file__).resolve().parents[1] / "src" / "radon_gallery" / "_data"
SHA256 = {
    "srrs2.dat": "241219ed05d4bf7dc171ca279c69db7f8d87ae666feae86161c973483a054877",
    "cty.dat": "b709ee016f57e0c9141f1441bc6d4ae527b283ac06ed612f0849818ecd14061b",
}
# str.title() gets these wrong.
SPELLING = {
    "LAC QUI PARLE": "Lac qui Parle",
    "LAKE OF THE WOODS": "Lake of the Woods",
    "MCLEOD": "McLeod",
    "ST LOUIS": "St. Louis",
}


def read_raw(path: Path) -> pd.DataFrame:
    """Read one raw file after checking that it is the file this script was written for."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256[path.name]:
        raise SystemExit(f"{path.name}: expected sha256 {SHA256[path.name]}, got {digest}")
    # Numbers are padded with spaces, and so are names.
    return pd.read_csv(path, skipinitialspace=True)


def make_homes(survey: pd.DataFrame) -> pd.DataFrame:
    """One row a Minnesota home, in the order of the survey."""
    homes = survey.loc[survey["state"] == "MN", ["cntyfips", "floor", "activity"]]
    homes.columns = pd.Index(["county_fips", "floor", "radon_pci_l"])
    return homes.astype({"county_fips": int, "floor": int, "radon_pci_l": float})


def make_counties(survey: pd.DataFrame, counties: pd.DataFrame) -> pd.DataFrame:
    """One row a Minnesota county that has homes, by name."""
    surveyed = survey.loc[survey["state"] == "MN", ["cntyfips", "county"]].drop_duplicates()
    names = surveyed["county"].str.strip()
    spelled = names.str.title().where(~names.isin(SPELLING), names.map(SPELLING))
    surveyed = surveyed.assign(county=spelled, key=names).sort_values("key")
    # Carver and Lac qui Parle are listed twice, each time first with the county's own centre.
    soil = counties[counties["st"] == "MN"].drop_duplicates("ctfips")
    table = surveyed.merge(soil, left_on="cntyfips", right_on="ctfips", validate="one_to_one")
    table = table[["cntyfips", "county", "lon", "lat", "Uppm"]]
    table.columns = pd.Index(["county_fips", "county", "longitude", "latitude", "uranium_ppm"])
    return table


def main(raw: Path) -> None:
    """Write the two packaged tables."""
    survey, counties = read_raw(raw / "srrs2.dat"), read_raw(raw / "cty.dat")
    tables = {
        "minnesota_homes.csv": make_homes(survey),
        "minnesota_counties.csv": make_counties(survey, counties),
    }
    for name, table in tables.items():
        table.to_csv(PACKAGED / name, index=False, lineterminator="\n")
        digest = hashlib.sha256((PACKAGED / name).read_bytes()).hexdigest()
        print(f"{name}: {len(table)} rows, sha256 {digest}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
