"""Pages as readers take them away: plain text, code that stands alone, outputs kept."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbformat.v4 import new_output

from radon_gallery import _pages
from radon_gallery._pages import convert_page, read_page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import downloads  # noqa: E402  (found through the line above)

PAGES = sorted((ROOT / "examples").glob("*.md"))
MYST = re.compile(r"\{[\w:]+\}`|^(```|:::)\{|^\(\S+\)=$|^\$\$ \(", re.MULTILINE)

SMALL = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
gallery:
  description: A small page.
---

# A `small` page

It found {glue:text}`answer:.1f` {footcite:p}`kingma2015adam`; {footcite:t}`dhaka2020robust` and
{footcite:t}`blei2017variational` differ. [Next](02_other.md) has {glue:text}`count:,.0f` more.
The page on [installing](../install.md) stays behind.

```{code-cell} ipython3
import matplotlib.pyplot as plt

answer = 41.96
answer
```

```{code-cell} ipython3
---
mystnb:
  figure:
    caption: A line.
---
plt.plot([0, answer]);
```

$$
a &= b
$$

$$
c = d
$$ (eq-small)

The second {eq}`eq-later` comes after {eq}`eq-small`.

$$
e = f
$$ (eq-later)

```{code-cell} ipython3
---
tags: [remove-cell]
---
from myst_nb import glue

glue("answer", answer, display=False)
glue("count", 12345, display=False)
```

## Further reading

```{footbibliography}
```
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A page with everything that the site alone understands."""
    folder = tmp_path / "docs" / "examples"
    folder.mkdir(parents=True)
    path = folder / "01_small.md"
    path.write_text(SMALL)
    return path


def glued(name: str, value: object) -> Any:
    """Return the output that hands a value to the prose."""
    mime = "application/papermill.record/"
    about = {"scrapbook": {"name": name, "mime_prefix": mime}}
    return new_output("display_data", {f"{mime}text/plain": repr(value)}, metadata=about)


def execute(path: Path) -> Any:
    """Return the small page as if it had been run."""
    notebook = read_page(path)
    first, second, last = (cell for cell in notebook.cells if cell.cell_type == "code")
    first.outputs = [new_output("execute_result", {"text/plain": "41.96"}, execution_count=1)]
    second.outputs = [new_output("display_data", {"image/png": "iVBORw0KGgo="})]
    last.outputs = [glued("answer", 41.96), glued("count", 12345)]
    for count, cell in enumerate((first, second, last), start=1):
        cell.execution_count = count
    return notebook


def test_script_of_an_executed_page(small: Path):
    assert (
        convert_page(small, "py", executed=execute(small))
        == """\
# %% [markdown]
# From the Radon Gallery. To run this you need the package `radon-gallery` and PyMC; `radon-gallery
# doctor` tells what is missing.

# %% [markdown]
# # A `small` page
#
# It found 42.0 (Kingma and Ba, 2015); Dhaka et al. (2020) and
# Blei et al. (2017) differ. [Next](02_other.py) has 12,345 more.
# The page on installing stays behind.

# %%
import matplotlib.pyplot as plt

answer = 41.96
print(answer)

# %%
plt.plot([0, answer])

# %% [markdown]
# *A line.*

# %% [markdown]
# $$
# a &= b
# $$
#
# $$
# c = d
# \\tag{1}
# $$
#
# The second (2) comes after (1).
#
# $$
# e = f
# \\tag{2}
# $$

# %% [markdown]
# ## Further reading
#
# - David M. Blei, Alp Kucukelbir, and Jon D. McAuliffe. Variational inference: a review for
#   statisticians. Journal of the American Statistical Association, 112(518):859–877, 2017.
#   doi:10.1080/01621459.2017.1285773.
# - Akash Kumar Dhaka, Alejandro Catalina, Michael Riis Andersen, Måns Magnusson, Jonathan H.
#   Huggins, and Aki Vehtari. Robust, accurate stochastic optimization for variational inference. In
#   Advances in Neural Information Processing Systems, volume 33, 10961–10973. 2020.
# - Diederik P. Kingma and Jimmy Ba. Adam: a method for stochastic optimization. In International
#   Conference on Learning Representations. 2015. URL: https://arxiv.org/abs/1412.6980.

# %%
plt.show()
"""
    )


def test_page_that_was_not_run_names_its_numbers(small: Path):
    text = convert_page(small, "py")
    assert "It found [answer] (Kingma" in text
    assert "has [count] more" in text
    assert "Names in brackets stand for numbers that the page computes" in text


def test_notebook_keeps_the_outputs_and_leaves_out_what_serves_the_site(small: Path):
    notebook = nbformat.reads(convert_page(small, "ipynb", executed=execute(small)), as_version=4)
    nbformat.validate(notebook)
    shown, drawn = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert shown.outputs[0]["data"]["text/plain"] == "41.96"
    assert drawn.outputs[0]["data"]["image/png"] == "iVBORw0KGgo="
    assert (shown.execution_count, drawn.execution_count) == (1, 2)
    assert drawn.source.endswith(";")
    assert "[Next](02_other.ipynb)" in notebook.cells[1].source


def test_same_page_gives_the_same_text(small: Path):
    for to in _pages.FORMATS:
        first, second = (convert_page(small, to, executed=execute(small)) for _ in range(2))
        assert first == second


@pytest.mark.parametrize(
    ("code", "script"),
    [
        ("x", "print(x)"),
        ("x;", "x"),
        ("x = 1", "x = 1"),
        ("y = 2\nf(\n    y,\n)", "y = 2\nprint(f(\n    y,\n))"),
        ("f(x)  # why", "print(f(x))  # why"),
        ("for x in y:\n    f(x)", "for x in y:\n    f(x)"),
    ],
)
def test_script_prints_what_a_notebook_would_show(code: str, script: str):
    assert _pages._print_last(code) == script


def test_processes_that_a_script_starts_do_not_run_it_again(small: Path):
    code = """\
print("once")

def sample_nuts():
    process = get_context("spawn").Process(target=abs, args=(-7,))
    process.start()
    process.join()
    assert process.exitcode == 0

sample_nuts()"""
    lead = "import matplotlib.pyplot as plt\n"
    code = f"from multiprocessing import get_context\n{code}\n"
    small.write_text(SMALL.replace(lead, lead + code))
    script = small.with_suffix(".py")
    script.write_text(convert_page(small, "py"), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("once") == 1


def test_unknown_format_is_refused(small: Path):
    with pytest.raises(ValueError, match="unknown format 'pdf'; choose one of ipynb, py, md"):
        convert_page(small, "pdf")


@pytest.fixture
def site(small: Path, tmp_path: Path) -> SimpleNamespace:
    """A site whose one page has been run."""
    cache = get_cache(tmp_path / "cache")
    cache.cache_notebook_bundle(CacheBundleIn(execute(small), str(small)), check_validity=False)
    (tmp_path / "html" / "examples").mkdir(parents=True)
    return SimpleNamespace(
        builder=SimpleNamespace(name="html"),
        config=SimpleNamespace(nb_execution_cache_path=str(tmp_path / "cache")),
        outdir=tmp_path / "html",
        env=SimpleNamespace(
            found_docs={"index", "examples/01_small"},
            doc2path=lambda document: small.parents[1] / f"{document}.md",
        ),
    )


def test_build_writes_each_format_beside_the_page(site: SimpleNamespace):
    folder = site.outdir / "examples"
    (folder / "01_gone.ipynb").touch()
    (folder / "01_gone.html").touch()  # another's business
    downloads.write_downloads(site, None)
    names = ["01_gone.html", "01_small.ipynb", "01_small.md", "01_small.py"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "It found 42.0" in (folder / "01_small.py").read_text(encoding="utf-8")
    assert (folder / "01_small.md").read_text() == SMALL


def test_build_refuses_outputs_of_other_code(site: SimpleNamespace):
    page = Path(site.env.doc2path("examples/01_small"))
    page.write_text(SMALL.replace("41.96", "41.97"))
    with pytest.raises(KeyError):
        downloads.write_downloads(site, None)


def test_build_that_failed_writes_nothing(site: SimpleNamespace):
    downloads.write_downloads(site, RuntimeError("stopped"))
    assert list((site.outdir / "examples").iterdir()) == []


@pytest.mark.parametrize("name", ["examples/01_small", "index", "api/data"])
def test_only_pages_link_to_downloads(name: str):
    context: dict[str, Any] = {}
    downloads.link_downloads(None, name, "page.html", context, None)
    if name == "examples/01_small":
        assert context["downloads"] == [
            ("Notebook", "01_small.ipynb"),
            ("Script", "01_small.py"),
            ("Markdown", "01_small.md"),
        ]
    else:
        assert context == {}


# Every page; `nox -s downloads` runs them, which takes minutes.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_text_of_each_page_is_plain(page: Path):
    script = convert_page(page, "py")
    text = "\n".join(re.findall(r"^# ?(?!%%)(.*)$", script, re.MULTILINE))
    assert MYST.findall(text) == []
    assert re.findall(r"\]\((?!https?:|\d\d_\w+\.py\)).*", text) == []
    assert "myst_nb" not in script
    notebook = nbformat.reads(convert_page(page, "ipynb"), as_version=4)
    nbformat.validate(notebook)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert [cell for cell in cells if MYST.search(cell)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_script_of_each_page_has_the_code_that_the_site_shows(page: Path):
    script = ast.parse(convert_page(page, "py"))
    shown = [
        _pages._print_last(cell.source)
        for cell in read_page(page).cells
        if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", ())
    ]
    wanted = [ast.unparse(node) for code in shown for node in ast.parse(code).body]
    written = [ast.unparse(node) for node in script.body]
    if any("sample_nuts(" in code for code in shown):
        assert written.pop(0) == "globals().pop('__file__', None)"
    assert written[: len(wanted)] == wanted
    plt = "import matplotlib.pyplot as plt"
    assert written[len(wanted) :] == (["plt.show()"] if plt in wanted else [plt, "plt.show()"])


def test_scripts_use_no_name_that_they_do_not_define(tmp_path: Path):
    for page in PAGES:
        (tmp_path / f"{page.stem}.py").write_text(convert_page(page, "py"), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821", str(tmp_path)]
    run = subprocess.run(ruff, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
