"""What the site reads off a page's source: its front matter, its length, what it uses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import pages  # noqa: E402  (found through the line above)

PAGE = """\
---
kernelspec:
  name: python3
gallery:
  description: One promise.
  level: introductory
  goals: [fit a model]
  tags: [ADVI]
  category: Fitting
  figure: fig-one
---

# A `title`

{prose}

```{{code-cell}} ipython3
from radon_gallery.data import load_minnesota
```

```{{code-cell}} ipython3
load_minnesota()
```
"""


def write_page(folder: Path, text: str) -> Path:
    """Write a page and return its file."""
    path = folder / "01_page.md"
    path.write_text(text)
    return path


def test_front_matter_title_and_code_are_read(tmp_path: Path) -> None:
    page = pages.read_page(write_page(tmp_path, PAGE.format(prose="word " * 600)), "examples/01")
    assert (page.title, page.level, page.figure) == ("A `title`", "introductory", "fig-one")
    assert (page.goals, page.tags) == (("fit a model",), ("ADVI",))
    assert page.code[1] == "load_minnesota()"
    assert page.minutes == 3


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        pytest.param("  figure: fig-one\n", "", "`gallery: figure:`.*text, got None", id="missing"),
        pytest.param("[ADVI]", "ADVI", "`gallery: tags:`.*list, got 'ADVI'", id="not a list"),
        pytest.param("introductory", "easy", "`gallery: level:`.*one of.*got 'easy'", id="level"),
        pytest.param("# A `title`", "", "expected a title", id="title"),
    ],
)
def test_bad_front_matter_is_refused(before: str, after: str, message: str, tmp_path: Path) -> None:
    text = PAGE.format(prose="").replace(before, after)
    with pytest.raises(ValueError, match=rf"01_page\.md: .*{message}"):
        pages.read_page(write_page(tmp_path, text), "examples/01_page")


def test_every_page_of_the_gallery_can_be_read() -> None:
    found = pages.read_pages(ROOT / "examples")
    assert list(found) == [f"examples/{path.stem}" for path in sorted(ROOT.glob("examples/*.md"))]


def test_each_goal_is_served_and_said_in_one_way() -> None:
    goals = [goal for page in pages.read_pages(ROOT / "examples").values() for goal in page.goals]
    assert {goal.lower() for goal in goals} == set(goals)


def test_used_names_follow_every_form_of_import() -> None:
    code = [
        "from radon_gallery.data import load_minnesota, simulate_survey as simulate",
        "from radon_gallery import plots\nimport radon_gallery.exact as ex, numpy as np",
        "import radon_gallery.models",
        "simulate(np.ones(3)); plots.use_style(); ex.exact_posterior(1)",
        "radon_gallery.models.hierarchical_model",
        "np.ones(3).sum(); [1].append",
    ]
    found = pages.used_names(code)
    assert {
        "radon_gallery.data.simulate_survey",
        "radon_gallery.plots.use_style",
        "radon_gallery.exact.exact_posterior",
        "radon_gallery.models.hierarchical_model",
    } <= found
    assert "radon_gallery.data.load_minnesota" not in found  # imported, never used
    assert not any("numpy" in name or "ones" in name for name in found)
