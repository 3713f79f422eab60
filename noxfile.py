"""One command for each job; see CONTRIBUTING.md.

Each session installs its edition's lock exactly, with its hashes, and then the
project itself. Nothing is left over from an earlier run, and nothing is fetched
that the lock does not name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nox
from python_discovery import get_interpreter

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "docs"]


class Edition(NamedTuple):
    """A stack that the gallery runs on: its name is that of its extra, lock and build folder."""

    name: str
    title: str
    python: str
    which_python: str

    @property
    def lock(self) -> Path:
        """Its locked environment."""
        return Path("requirements", f"{self.name}.txt")

    @property
    def html(self) -> Path:
        """Where its site is built."""
        return Path("build", self.name, "html")


AESARA = Edition("aesara", "Aesara", "3.11", "Python 3.11 and on no later one")
PYTENSOR = Edition("pytensor", "PyTensor", "3.13", "Python 3.12 or newer, and is locked for 3.13")

BROWSER_LOCK = Path("requirements", "browser.txt")

# The peers of the benchmark that are in neither edition.
BENCH_LOCKS = {
    name: Path("requirements", f"bench-{name}.txt") for name in ("numpyro", "pymc-extras")
}

UV_ENV = {"UV_PYTHON_DOWNLOADS": "never"}  # the reader installs Python, not we

NO_PYTHON = """\
Python {0.python} is needed and was not found. Install it, then run this again:
    Debian, Ubuntu    sudo apt install python{0.python}-dev python{0.python}-venv
    Fedora            sudo dnf install python{0.python}-devel
    macOS             brew install python@{0.python}
    Windows           winget install Python.Python.{0.python}
    anywhere          pyenv install {0.python}, or uv python install {0.python}
The {0.title} edition runs on {0.which_python}"""

NO_COMPILER = f"""\
A C++ compiler and Python's headers are needed, because Aesara compiles each model.
Missing here: {{missing}}. Install it, then run this again:
    Debian, Ubuntu    sudo apt install g++ python{AESARA.python}-dev
    Fedora            sudo dnf install gcc-c++ python{AESARA.python}-devel
    macOS             xcode-select --install
    conda, on Linux   conda install -c conda-forge gxx"""

# Aesara's own rule for the compiler; the headers come with Python's -dev package.
FIND_MISSING = """\
import shutil, sys, sysconfig
from pathlib import Path
missing = []
if not shutil.which("clang++" if sys.platform == "darwin" else "g++"):
    missing.append("the compiler")
if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
    missing.append("Python.h")
print(" and ".join(missing))
"""

Session = Callable[[nox.Session], None]
EditionSession = Callable[[nox.Session, Edition], None]


@functools.cache
def has_python(version: str) -> bool:
    """Whether nox will find the interpreter; a pyenv shim alone does not count."""
    return get_interpreter(version) is not None


def edition_session(edition: Edition) -> Callable[[EditionSession], Session]:
    """Make a session of an edition; without its Python it says what to install."""

    def make(function: EditionSession) -> Session:
        @functools.wraps(function)
        def run(session: nox.Session) -> None:
            if not has_python(edition.python):
                session.error(NO_PYTHON.format(edition))
            function(session, edition)

        python = edition.python if has_python(edition.python) else False
        return nox.session(python=python)(run)

    return make


def install(session: nox.Session, edition: Edition, *also: Path, editable: bool = False) -> None:
    """Bring the environment to exactly the lock, and others with it, then add the project."""
    session.env.update(UV_ENV)
    locks = map(str, (edition.lock, *also))
    session.run_install("uv", "pip", "sync", "--quiet", "--require-hashes", *locks, env=UV_ENV)
    # The build backend is in the lock, so no isolated environment is fetched.
    session.install(
        *("--quiet", "--no-deps", "--no-build-isolation"),
        *("--reinstall-package=radon-gallery",),  # never a wheel built earlier
        *(("--editable", ".") if editable else (".",)),
    )


def prepare_compiler(session: nox.Session, edition: Edition) -> None:
    """Keep compiled code in the project and to one thread; without a compiler stop early."""
    if edition is AESARA:
        missing = session.run("python", "-c", FIND_MISSING, silent=True, log=False)
        if missing and missing.strip():
            session.error(NO_COMPILER.format(missing=missing.strip()))
    # The matrices are small: more threads would only wait for one another.
    session.env["OMP_NUM_THREADS"] = "1"
    # Compiled code fits one set of versions only, so its folder carries the lock's.
    digest = hashlib.sha256(edition.lock.read_bytes()).hexdigest()[:12]
    folder = Path(session.cache_dir, f"{edition.name}-{digest}").resolve()
    session.env[f"{edition.name.upper()}_FLAGS"] = f"base_compiledir={folder}"


@edition_session(AESARA)
def lint(session: nox.Session, edition: Edition) -> None:
    """Check style, types and spelling; --fix mends what it can."""
    install(session, edition)
    code = ["src", "tests", "docs", "tools", "benchmarks", "noxfile.py"]
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", *code)
        session.run("ruff", "format", *code)
    session.run("ruff", "check", *code)
    session.run("ruff", "format", "--check", *code)
    session.run("mypy")
    session.run("codespell")


@edition_session(AESARA)
def tests(session: nox.Session, edition: Edition) -> None:
    """Run the tests; what follows -- goes to pytest."""
    run_tests(session, edition)


@edition_session(PYTENSOR)
def tests_pytensor(session: nox.Session, edition: Edition) -> None:
    """Run the same tests in the PyTensor edition."""
    run_tests(session, edition)


def run_tests(session: nox.Session, edition: Edition) -> None:
    """Run the tests in an edition's environment."""
    install(session, edition)
    prepare_compiler(session, edition)
    session.run("pytest", *session.posargs)


@edition_session(AESARA)
def docs(session: nox.Session, edition: Edition) -> None:
    """Execute the pages and build the site; any warning is an error."""
    build_site(session, edition)


@edition_session(PYTENSOR)
def docs_pytensor(session: nox.Session, edition: Edition) -> None:
    """Execute the same pages in the PyTensor edition and build its site."""
    build_site(session, edition)


@nox.session(python=False)
def site(session: nox.Session) -> None:
    """Build both editions' sites and join them: a click leads from one to the other."""
    both = (AESARA, PYTENSOR)
    missing = [edition for edition in both if not has_python(edition.python)]
    if missing:
        session.error("\n".join(NO_PYTHON.format(edition) for edition in missing))
    address = os.environ.get("RADON_GALLERY_URL", "").rstrip("/")
    for name, below in (("docs", ""), ("docs_pytensor", "/pytensor")):
        # Previews of pages need the full address that they will have in the joined site.
        env = {"RADON_GALLERY_URL": f"{address}{below}/"} if address else {}
        session.run(sys.executable, "-m", "nox", "-s", name, env=env, external=True)
    join_sites(session)
    session.log("The site is built. Open build/site/index.html in a browser.")


def join_sites(session: nox.Session) -> None:
    """Join the built sites of both editions in build/site."""
    built = [f"{edition.title}={edition.html}" for edition in (AESARA, PYTENSOR)]
    session.run(sys.executable, "tools/join_editions.py", *built, "build/site", external=True)


def build_site(session: nox.Session, edition: Edition) -> None:
    """Build the site of an edition in its environment."""
    # Editable: the reference is read again only where a source file has changed.
    install(session, edition, editable=True)
    prepare_compiler(session, edition)
    # After a build that failed Sphinx would not read again what it has read, and pass.
    clean = edition.html.parent / "clean"
    fresh = [] if clean.exists() else ["--fresh-env"]
    clean.unlink(missing_ok=True)
    build = ["-W", "-n", "--keep-going", *fresh, *session.posargs]
    session.run("sphinx-build", "-b", "html", *build, "docs", str(edition.html))
    clean.touch()
    session.log(f"The site is built. Open {edition.html / 'index.html'} in a browser.")


@edition_session(AESARA)
def downloads(session: nox.Session, edition: Edition) -> None:
    """Run the pages' scripts, each in an empty folder, with only the wheel installed."""
    run_downloads(session, edition)


@edition_session(PYTENSOR)
def downloads_pytensor(session: nox.Session, edition: Edition) -> None:
    """Run the same scripts in the PyTensor edition."""
    run_downloads(session, edition)


def run_downloads(session: nox.Session, edition: Edition) -> None:
    """Run the pages' scripts in an environment that has the wheel and its edition's extra."""
    wheel = f".[{edition.name}]"
    settings = (f"--constraint={edition.lock}", "--reinstall-package=radon-gallery")
    session.run_install("uv", "pip", "install", "--quiet", *settings, wheel, env=UV_ENV)
    prepare_compiler(session, edition)
    pages = [path.stem for path in sorted(Path("examples").glob("*.md"))]
    for page in session.posargs or pages:
        folder = Path(session.create_tmp(), "empty")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with session.chdir(folder):
            session.run("radon-gallery", "copy", page, "page.py")
            session.run("python", "page.py", env={"MPLBACKEND": "Agg"}, silent=True)


@edition_session(AESARA)
def browser(session: nox.Session, edition: Edition) -> None:
    """Test the built site in Chromium, of both editions where both are built; -- as for tests."""
    built = [each for each in (AESARA, PYTENSOR) if (each.html / "index.html").exists()]
    if not built:
        build_site(session, edition)
    if built == [AESARA, PYTENSOR]:
        join_sites(session)
    install(session, edition, BROWSER_LOCK)
    session.run("pytest", "tests/browser", *session.posargs)


@edition_session(AESARA)
def seeds(session: nox.Session, edition: Edition) -> None:
    """Fit with ten seeds in each family and parameterisation; takes about half an hour."""
    run_seeds(session, edition)


@edition_session(PYTENSOR)
def seeds_pytensor(session: nox.Session, edition: Edition) -> None:
    """Do the same in the PyTensor edition."""
    run_seeds(session, edition)


def run_seeds(session: nox.Session, edition: Edition) -> None:
    """Run the tests that are too slow for every change."""
    install(session, edition)
    prepare_compiler(session, edition)
    session.run("pytest", "tests/slow", *session.posargs)


@edition_session(PYTENSOR)
def bench(session: nox.Session, edition: Edition) -> None:
    """Measure the gallery and its peers side by side; what follows -- goes to benchmarks/run.py."""
    if not has_python(AESARA.python):
        session.error(NO_PYTHON.format(AESARA))
    install(session, edition)
    prepare_compiler(session, edition)
    peers = {AESARA.name: (AESARA.python, AESARA.lock)}
    peers |= {name: (PYTENSOR.python, target) for name, target in BENCH_LOCKS.items()}
    given = []
    for name, (version, locked) in peers.items():
        folder = Path(session.cache_dir, f"bench-{name}").resolve()
        if not folder.exists():
            interpreter = str(get_interpreter(version).executable)
            session.run_install(*("uv", "venv", "--quiet", f"--python={interpreter}"), str(folder))
        python = str(next(folder.glob("bin/python"), folder / "Scripts" / "python.exe"))
        sync = ("uv", "pip", "sync", "--quiet", "--require-hashes", f"--python={python}")
        session.run_install(*sync, str(locked), env=UV_ENV)
        if name != "numpyro":  # which writes the model in its own language
            add = ("uv", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
            fresh = "--reinstall-package=radon-gallery"
            session.run_install(*add, fresh, f"--python={python}", ".", env=UV_ENV)
        given.append(f"--python={name}={python}")
    session.run("python", "benchmarks/run.py", *given, *session.posargs)


@edition_session(AESARA)
def live(session: nox.Session, edition: Edition) -> None:
    """Serve the site and rebuild it on every save."""
    install(session, edition, editable=True)
    prepare_compiler(session, edition)
    watch = [f"--watch={folder}" for folder in ("examples", "src")]
    ignore = [f"--ignore={Path(path).resolve()}" for path in ("docs/examples", "build")]
    session.run("sphinx-autobuild", *watch, *ignore, *session.posargs, "docs", str(edition.html))


@edition_session(AESARA)
def data(session: nox.Session, edition: Edition) -> None:
    """Make the packaged survey anew from the raw files, which lie in the wheel of pymc3 3.8."""
    install(session, edition)
    raw = Path(session.create_tmp(), "raw")
    session.run_install(
        *("uv", "pip", "install", "--quiet", "--no-deps", f"--target={raw}", "pymc3==3.8"),
        env=UV_ENV,
    )
    session.run("python", "tools/make_survey.py", str(raw / "pymc3" / "examples" / "data"))


@nox.session(python=False)
def lock(session: nox.Session) -> None:
    """Write the locks anew: the newest versions that work together."""
    wanted = [
        (each.python, each.lock, ("pyproject.toml", f"--extra={each.name}", "--group=dev"))
        for each in (AESARA, PYTENSOR)
    ]
    browser = ("--group=browser", f"--constraint={AESARA.lock.resolve()}")
    wanted.append((AESARA.python, BROWSER_LOCK, browser))
    wanted += [
        (PYTENSOR.python, target, (f"--group=bench-{name}",))
        for name, target in BENCH_LOCKS.items()
    ]
    for python, target, parts in wanted:
        # uv narrows a resolution to one Python only by a setting beside the project.
        scratch = Path(session.create_tmp(), "pyproject.toml").resolve()
        narrow = f"[tool.uv]\nenvironments = [\"python_version == '{python}'\"]\n"
        scratch.write_text(f"{Path('pyproject.toml').read_text()}\n{narrow}")
        session.run_install(
            *("uv", "pip", "compile", "--quiet", f"--directory={scratch.parent}"),
            *(*parts, "--upgrade", "--universal"),
            *(f"--python-version={python}", "--generate-hashes"),
            *("--no-header", "--no-annotate", "--no-emit-index-url"),
            *("--no-emit-find-links", f"--output-file={target.resolve()}"),
            *session.posargs,
            env=UV_ENV,
        )
