"""Sphinx's settings. `nox -s docs` builds; see CONTRIBUTING.md."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

# Without a BLAS library Aesara says so on import; it concerns nobody who builds the site.
logging.getLogger("aesara.tensor.blas").setLevel(logging.ERROR)

import radon_gallery  # noqa: E402  (after the line above)
from radon_gallery.editions import NAME  # noqa: E402

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "_ext"))

import explorer  # noqa: E402  (found through the line above)
import gallery  # noqa: E402
from runs import describe_commit  # noqa: E402

EDITION = NAME.lower()
BUILD = ROOT / "build" / EDITION
PACKAGE = Path(radon_gallery.__file__).parent
LOCK = ROOT / "requirements" / f"{EDITION}.txt"

project = "Radon Gallery"
author = "The Radon Gallery developers"
project_copyright = author
release = radon_gallery.__version__
language = "en"  # Sphinx's en_GB has the same words and code that a strict policy forbids

extensions = [
    "downloads",
    "explorer",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinxext.opengraph",
    "figures",
    "site_pages",
]
exclude_patterns = ["_*", "**/.*"]

# The pages run in a kernel that sees these settings and none of the reader's own.
os.environ["IPYTHONDIR"] = str(BUILD / "ipython")
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
PROFILE = BUILD / "ipython" / "profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
shutil.copytree(DOCS / "_kernel", PROFILE, dirs_exist_ok=True)

# jupyter-cache compares the page's code only, so the rest is in the folder's name.
KEY = gallery.cache_key(PACKAGE, LOCK, DOCS / "_kernel")
CACHE = gallery.open_cache(BUILD, KEY)
nb_execution_mode = "cache"
nb_execution_cache_path = str(CACHE)
gallery_key, gallery_cache = KEY, str(CACHE)
# For the records that the kernel leaves of its runs.
os.environ |= {"RADON_GALLERY_KEY": KEY, "RADON_GALLERY_RUNS": str(CACHE)}
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 1800
nb_kernel_rgx_aliases = {".*": "python3"}
nb_merge_streams = True

myst_enable_extensions = [
    "amsmath",
    "attrs_block",
    "attrs_inline",
    "colon_fence",
    "deflist",
    "dollarmath",
]
myst_heading_anchors = 3

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

# Types stand in the docstrings, with shapes and units.
autodoc_typehints = "none"
default_role = "literal"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autosummary_generate = False
numpydoc_show_class_members = False

copybutton_copy_empty_lines = False
copybutton_exclude = ".linenos"
copybutton_prompt_text = r"\$ |>>> |\.\.\. |In \[\d*\]: "
copybutton_prompt_is_regexp = True
copybutton_selector = "div:not(.output) > div.highlight > pre"

# A reader's browser asks nobody else for anything.
mathjax_path, mathjax3_config = gallery.vendor_mathjax(BUILD / "vendor")
explorer_vega = explorer.vendor_vega(BUILD / "vendor")
ogp_site_url = os.environ.get("RADON_GALLERY_URL", "")
ogp_social_cards = {"enable": False}
ogp_custom_meta_tags = ('<meta name="twitter:card" content="summary_large_image" />',)

html_theme = "pydata_sphinx_theme"
html_title = project
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static", str(BUILD / "vendor")]
html_extra_path = ["_extra"]
html_css_files = ["gallery.css", "cards.css", "downloads.css", "print.css"]
html_js_files = [("gallery.js", {"defer": "defer"})]
html_copy_source = False
html_context = {
    "commit": describe_commit(ROOT),
    "default_mode": "auto",
    "edition": NAME,
    "language": "en-GB",
    "version_line": radon_gallery.version_line(),
}
html_domain_indices = False
templates_path = ["_templates"]
html_sidebars = {
    name: []
    for name in ("index", "explorer", "install", "contributing", "bibliography", "licences")
}
html_theme_options = {
    "logo": {"text": project},
    "article_header_end": ["downloads"],
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navbar_end": ["edition-switch", "theme-switcher"],
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "back_to_top_button": False,
    "article_footer_items": ["functions"],
    "footer_start": ["edition"],
    "footer_end": ["licence"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app):
    """Connect the steps that come before and after Sphinx's own."""
    app.connect(
        "builder-inited",
        lambda _app: gallery.copy_pages(ROOT / "examples", DOCS / "examples"),
    )
    app.connect("autodoc-process-docstring", gallery.link_citations)
    app.connect("autodoc-skip-member", gallery.skip_undescribed)
    app.connect("html-page-context", gallery.drop_roles)
    app.connect(
        "build-finished",
        lambda app, _error: gallery.drop_stale_pages(Path(app.outdir), app.env.found_docs),
    )
