"""A small site, built with the real settings: what one page tells of another stays right.

Two short pages stand in for the gallery's; the rest is the site's own configuration.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import radon_gallery

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "https://example.org/gallery/"

INDEX = """\
# Start

```{gallery-cards}
```

```{toctree}
:hidden:

pages
api/data
bibliography
```
"""

PAGE = """\
---
file_format: mystnb
kernelspec:
  name: python3
gallery:
  description: A promise.
  level: introductory
  goals: [look]
  tags: [line]
  category: Lines
  figure: fig-%(stem)s
---

# %(title)s

```{code-cell} ipython3
from radon_gallery.data import %(name)s
```

```{code-cell} ipython3
RANDOM_SEED = 1
%(name)s;
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A line that rises from left to right.
  figure:
    name: fig-%(stem)s
    caption: It rises.
---
import matplotlib.pyplot as plt
import pandas as pd
fig, ax = plt.subplots(figsize=(4, 2))
ax.plot([0, %(height)s]);
```

```{code-cell} ipython3
print("line\\n" * 29)
```

```{code-cell} ipython3
pd.DataFrame([["wide" * 10] * 4] * 8)  # in plain text 36 lines
```
"""


class Site:
    """A project of two pages with the docs folder of this one."""

    def __init__(self, root: Path) -> None:
        self.root, self.html = root, root / "build" / "aesara" / "html"
        shutil.copytree(
            ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns("examples", "__pycache__")
        )
        shutil.copytree(ROOT / "requirements", root / "requirements")
        (root / "examples").mkdir()
        docs = root / "docs"
        keep = {"index.md", "pages.md", "api/data.md", "bibliography.md"}
        for path in docs.rglob("*.md"):
            if path.relative_to(docs).as_posix() not in keep:
                path.unlink()
        (docs / "index.md").write_text(INDEX)
        self.write("01_one", title="One", name="load_minnesota", height=1)
        self.write("02_two", title="Two", name="load_minnesota", height=2)

    def write(self, stem: str, **about: object) -> None:
        """Write a page."""
        (self.root / "examples" / f"{stem}.md").write_text(PAGE % (about | {"stem": stem}))

    def build(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Build the site; there is one page of the reference, so links to others may break."""
        command = [sys.executable, "-m", "sphinx", "-b", "html", *options]
        command += ["docs", str(self.html)]
        done = subprocess.run(
            command,
            cwd=self.root,
            env=os.environ | {"RADON_GALLERY_URL": ADDRESS},
            capture_output=True,
            text=True,
            check=False,
        )
        done.stdout += done.stderr
        return done

    def read(self, name: str) -> str:
        """Return a built page."""
        return (self.html / f"{name}.html").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, built once from nothing, with reading and writing in parallel."""
    site = Site(tmp_path_factory.mktemp("site"))
    done = site.build("-W", "-j", "2")
    assert done.returncode == 0, done.stdout
    return site


def count_runs(output: str) -> int:
    """Count the pages that a build executed."""
    return output.count("Executed notebook in")


def pictures(html: str) -> list[str]:
    """Return the thumbnails that a page shows."""
    return re.findall(r'src="(_images/cards/[^"]+)"', html)


# The tests build on one another and run in this order.


def test_first_build_draws_a_card_for_each_page(site: Site) -> None:
    html = site.read("index")
    assert re.findall(r'<h3><a href="(.*?)">(.*?)</a>', html) == [
        ("examples/01_one.html", "One"),
        ("examples/02_two.html", "Two"),
    ]
    shown = pictures(html)
    assert len(set(shown)) == 4
    assert all((site.html / path).exists() for path in shown)
    assert html.count('alt="A line that rises from left to right."') == 4


def test_page_shows_its_figure_for_light_and_dark(site: Site) -> None:
    images = re.findall(r"<img [^>]*on-(light|dark)[^>]*>", site.read("examples/01_one"))
    assert images == ["light", "dark"]
    sources = re.findall(r'src="\.\./(_images/[0-9a-f]{64}\d*\.png)"', site.read("examples/01_one"))
    assert len({(site.html / path).read_bytes() for path in sources}) == 2


def test_what_is_long_is_folded_and_tables_have_no_empty_heading(site: Site) -> None:
    html = site.read("examples/01_one")
    assert re.findall("<summary>(.*?)</summary>", html) == [
        "Code of this figure",
        "Output, 30 lines",
    ]
    assert 'class="dataframe"' in html
    assert not re.search(r"<th[^>]*></th>", html)


def test_reference_and_pages_point_at_each_other(site: Site) -> None:
    entry = site.read("api/data")
    for stem, title in (("01_one", "One"), ("02_two", "Two")):
        assert f'href="../examples/{stem}.html">{title}</a>' in entry
        page = site.read(f"examples/{stem}")
        assert 'href="../api/data.html#radon_gallery.data.load_minnesota"' in page


def test_foot_tells_of_the_run(site: Site) -> None:
    html = site.read("examples/01_one")
    assert re.search(r"Seed 1\. Run on .* UTC, in \d+ s.*Executed in this build\.", html)
    assert "Executed" not in site.read("api/data")
    for page in ("examples/01_one", "api/data"):
        assert f'<p class="edition">{radon_gallery.version_line()}' in site.read(page)


def test_table_tells_time_and_memory_of_each_page(site: Site) -> None:
    table = site.read("pages").split('class="table runs"')[1]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    heads = re.findall(r"<th .*?>(.*?)</th>", rows[0])
    assert heads[4:6] == ["Run (s)", "Peak memory (MB)"]
    assert len(rows) == 3
    for row in rows[1:]:
        seconds, memory = re.findall(r'<td class="number">(.*?)</td>', row)[2:]
        assert int(seconds) < 300
        assert memory == "not known" or 20 < int(memory) < 5000


def test_preview_has_the_pages_own_picture(site: Site) -> None:
    one, two = site.read("examples/01_one"), site.read("examples/02_two")
    for html in (one, two):
        about = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', html))
        assert about["og:url"].startswith(f"{ADDRESS}examples/")
        assert about["og:image"].startswith(ADDRESS)
        with Image.open(site.html / about["og:image"].removeprefix(ADDRESS)) as picture:
            wide, high = (int(about[f"og:image:{of}"]) for of in ("width", "height"))
            assert picture.size == (wide, high)
        assert about["og:image:alt"] == "A line that rises from left to right."
        assert about["twitter:card"] == "summary_large_image"
        assert about["og:description"] == "A promise."
    assert re.findall("social-[0-9a-f]+", one) != re.findall("social-[0-9a-f]+", two)


def test_site_is_drawn_anew_from_the_cache_alone(site: Site) -> None:
    before = pictures(site.read("index"))
    shutil.rmtree(site.html)
    done = site.build("-W", "--fresh-env")
    assert done.returncode == 0, done.stdout
    assert count_runs(done.stdout) == 0
    assert pictures(site.read("index")) == before
    assert all((site.html / path).exists() for path in before)
    assert "from a cache whose key matches" in site.read("examples/01_one")


def test_build_without_change_writes_nothing(site: Site) -> None:
    assert "no targets are out of date" in site.build("-W").stdout


def test_changed_page_runs_alone_and_changes_what_is_told_of_it(site: Site) -> None:
    before = pictures(site.read("index"))
    site.write("02_two", title="Second", name="simulate_survey", height=-2)
    done = site.build("-W")
    assert done.returncode == 0, done.stdout
    assert count_runs(done.stdout) == 1
    after = pictures(site.read("index"))
    assert after[:2] == before[:2]
    assert not set(after[2:]) & set(before)
    assert ">Second</a>" in site.read("index")
    assert ">Second</a>" in site.read("pages")
    load, simulate = site.read("api/data").split('id="radon_gallery.data.simulate_survey"')
    assert ">One</a>" in load
    assert ">Second</a>" not in load.split("<article")[1]
    assert ">Second</a>" in simulate
    assert "Executed in this build" in site.read("examples/02_two")
    assert "Executed in this build" not in site.read("examples/01_one")


def test_outputs_of_another_package_fail_the_build(site: Site) -> None:
    records = list(site.root.glob("build/*/cache-*/runs/*.json"))
    assert records
    for record in records:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"key": "other"}))
    done = site.build()
    assert done.returncode != 0
    assert "do not belong to the sources beside them" in done.stdout
    assert "examples/01_one: its outputs were made with another package" in done.stdout
