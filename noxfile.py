"""One command for each job; see CONTRIBUTING.md.

Each session installs the edition's lock exactly, with its hashes, and then the
project itself. Nothing is left over from an earlier run, and nothing is fetched
that the lock does not name.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import nox
from python_discovery import get_interpreter

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "docs"]

EDITION = "aesara"
PYTHON = "3.11"
LOCK = Path("requirements", f"{EDITION}.txt")
BROWSER_LOCK = Path("requirements", "browser.txt")
HTML = Path("build", EDITION, "html")

UV_ENV = {"UV_PYTHON_DOWNLOADS": "never"}  # the reader installs Python, not we

NO_PYTHON = f"""\
Python {PYTHON} is needed and was not found. Install it, then run this again:
    Debian, Ubuntu    sudo apt install python{PYTHON}-dev python{PYTHON}-venv
    Fedora            sudo dnf install python{PYTHON}-devel
    macOS             brew install python@{PYTHON}
    Windows           winget install Python.Python.{PYTHON}
    anywhere          pyenv install {PYTHON}, or uv python install {PYTHON}
The {EDITION.capitalize()} edition runs on Python {PYTHON} and on no later one"""

NO_COMPILER = f"""\
A C++ compiler and Python's headers are needed, because Aesara compiles each model.
Missing here: {{missing}}. Install it, then run this again:
    Debian, Ubuntu    sudo apt install g++ python{PYTHON}-dev
    Fedora            sudo dnf install gcc-c++ python{PYTHON}-devel
    macOS             xcode-select --install
    conda             conda install cxx-compiler"""

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


@functools.cache
def has_python() -> bool:
    """Whether nox will find the interpreter; a pyenv shim alone does not count."""
    return get_interpreter(PYTHON) is not None


def edition_session(function: Session) -> Session:
    """Make a session of the edition; without its Python it says what to install."""
    if has_python():
        return nox.session(python=PYTHON)(function)

    @functools.wraps(function)
    def refuse(session: nox.Session) -> None:
        session.error(NO_PYTHON)

    return nox.session(python=False)(refuse)


def install(session: nox.Session, *also: Path, editable: bool = False) -> None:
    """Bring the environment to exactly the lock, and others with it, then add the project."""
    session.env.update(UV_ENV)
    locks = map(str, (LOCK, *also))
    session.run_install("uv", "pip", "sync", "--quiet", "--require-hashes", *locks, env=UV_ENV)
    # The build backend is in the lock, so no isolated environment is fetched.
    session.install(
        *("--quiet", "--no-deps", "--no-build-isolation"),
        *("--reinstall-package=radon-gallery",),  # never a wheel built earlier
        *(("--editable", ".") if editable else (".",)),
    )


def prepare_compiler(session: nox.Session) -> None:
    """Stop early without a compiler; keep Aesara's compiled code in the project."""
    missing = session.run("python", "-c", FIND_MISSING, silent=True, log=False)
    if missing and missing.strip():
        session.error(NO_COMPILER.format(missing=missing.strip()))
    # Compiled code fits one set of versions only, so its folder carries the lock's.
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = Path(session.cache_dir, f"{EDITION}-{digest}").resolve()
    session.env["AESARA_FLAGS"] = f"base_compiledir={folder}"


@edition_session
def lint(session: nox.Session) -> None:
    """Check style, types and spelling; --fix mends what it can."""
    install(session)
    code = ["src", "tests", "docs", "tools", "noxfile.py"]
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", *code)
        session.run("ruff", "format", *code)
    session.run("ruff", "check", *code)
    session.run("ruff", "format", "--check", *code)
    session.run("mypy")
    session.run("codespell")


@edition_session
def tests(session: nox.Session) -> None:
    """Run the tests; what follows -- goes to pytest."""
    install(session)
    prepare_compiler(session)
    session.run("pytest", *session.posargs)


@edition_session
def docs(session: nox.Session) -> None:
    """Execute the pages and build the site; any warning is an error."""
    # Editable: the reference is read again only where a source file has changed.
    install(session, editable=True)
    prepare_compiler(session)
    # After a build that failed Sphinx would not read again what it has read, and pass.
    clean = HTML.parent / "clean"
    fresh = [] if clean.exists() else ["--fresh-env"]
    clean.unlink(missing_ok=True)
    build = ["-W", "-n", "--keep-going", *fresh, *session.posargs]
    session.run("sphinx-build", "-b", "html", *build, "docs", str(HTML))
    clean.touch()
    session.log(f"The site is built. Open {HTML / 'index.html'} in a browser.")


@edition_session
def downloads(session: nox.Session) -> None:
    """Run the pages' scripts, each in an empty folder, with only the wheel installed."""
    wheel = (f"--constraint={LOCK}", "--reinstall-package=radon-gallery", f".[{EDITION}]")
    session.run_install("uv", "pip", "install", "--quiet", *wheel, env=UV_ENV)
    prepare_compiler(session)
    pages = [path.stem for path in sorted(Path("examples").glob("*.md"))]
    for page in session.posargs or pages:
        folder = Path(session.create_tmp(), "empty")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with session.chdir(folder):
            session.run("radon-gallery", "copy", page, "page.py")
            session.run("python", "page.py", env={"MPLBACKEND": "Agg"}, silent=True)


@edition_session
def browser(session: nox.Session) -> None:
    """Test the built site in Chromium, what follows -- goes to pytest; builds it if need be."""
    if not list(Path("build").glob("*/html/index.html")):
        docs(session)
    install(session, BROWSER_LOCK)
    session.run("pytest", "tests/browser", *session.posargs)


@edition_session
def live(session: nox.Session) -> None:
    """Serve the site and rebuild it on every save."""
    install(session, editable=True)
    prepare_compiler(session)
    watch = [f"--watch={folder}" for folder in ("examples", "src")]
    ignore = [f"--ignore={Path(path).resolve()}" for path in ("docs/examples", "build")]
    session.run("sphinx-autobuild", *watch, *ignore, *session.posargs, "docs", str(HTML))


@edition_session
def data(session: nox.Session) -> None:
    """Make the packaged survey anew from the raw files, which lie in the wheel of pymc3 3.8."""
    install(session)
    raw = Path(session.create_tmp(), "raw")
    session.run_install(
        *("uv", "pip", "install", "--quiet", "--no-deps", f"--target={raw}", "pymc3==3.8"),
        env=UV_ENV,
    )
    session.run("python", "tools/make_survey.py", str(raw / "pymc3" / "examples" / "data"))


@edition_session
def lock(session: nox.Session) -> None:
    """Write the lock anew: the newest versions that work together."""
    # uv narrows a resolution to one Python only by a setting beside the project.
    scratch = Path(session.create_tmp(), "pyproject.toml").resolve()
    narrow = f"[tool.uv]\nenvironments = [\"python_version == '{PYTHON}'\"]\n"
    scratch.write_text(f"{Path('pyproject.toml').read_text()}\n{narrow}")
    LOCK.parent.mkdir(exist_ok=True)
    wanted = {
        LOCK: ("pyproject.toml", f"--extra={EDITION}", "--group=dev"),
        BROWSER_LOCK: ("--group=browser", f"--constraint={LOCK.resolve()}"),
    }
    for target, parts in wanted.items():
        session.run_install(
            *("uv", "pip", "compile", "--quiet", f"--directory={scratch.parent}"),
            *(*parts, "--upgrade", "--universal"),
            *(f"--python-version={PYTHON}", "--generate-hashes"),
            *("--no-header", "--no-annotate", "--no-emit-index-url"),
            *("--no-emit-find-links", f"--output-file={target.resolve()}"),
            *session.posargs,
            env=UV_ENV,
        )
