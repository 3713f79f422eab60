"""Run the peers side by side and write what was measured to one JSON file; see README.md."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import click
import judge
import numpy as np
from summary import REFERENCE, judge_targets, rotate, shorten, summarise

from radon_gallery.data import Survey, load_minnesota, simulate_survey

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "src" / "radon_gallery" / "_data" / "benchmark.json"
CASES = ("centred", "noncentred")
BATCH = 100


class Peer(NamedTuple):
    """A peer: the environment and the module that it runs in, and what it takes part in."""

    title: str
    environment: str
    module: str
    measures: tuple[str, ...]
    settings: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()  # in place of the worker's own


_ADVI = ("advi step", "advi accuracy")
PEERS = {
    "gallery-pytensor": Peer(
        "this gallery, PyTensor edition", "pytensor", "gallery",
        (*_ADVI, "scaling", "second process"),
    ),
    "hand": Peer("a Numba loop by hand", "pytensor", "hand", _ADVI),
    "hand-softplus": Peer(
        "the same, sd by softplus", "pytensor", "hand", _ADVI, {"softly": True},
        ("as the loop by hand, but Adam moves PyMC's own free parameter of an sd",),
    ),
    "gallery-aesara": Peer(
        "this gallery, Aesara edition", "aesara", "gallery", (*_ADVI, "scaling")
    ),
    "pymc-pytensor": Peer("PyMC 6", "pytensor", "pymc", (*_ADVI, "scaling", "nuts")),
    "pymc-aesara": Peer("PyMC 4", "aesara", "pymc", (*_ADVI, "scaling", "nuts")),
    "pymc-extras": Peer("pymc-extras", "pymc-extras", "pymc_extras", _ADVI),
    "numpyro": Peer("NumPyro, rows by number", "numpyro", "numpyro", (*_ADVI, "scaling", "nuts")),
    "numpyro-plate": Peer(
        "NumPyro, subsampling plate", "numpyro", "numpyro", _ADVI, {"plate": True},
        ("as NumPyro with rows by number, but a subsampling plate draws the rows without "
         "replacement, as in its documentation",),
    ),
    "nutpie": Peer("nutpie", "pytensor", "nutpie", ("nuts",)),
    "exact": Peer(
        "the exact answer", "pytensor", "gallery", ("exact",), {},
        ("quadrature over the three scales with NumPy and SciPy; independent draws",),
    ),
}  # fmt: skip


class Settings(NamedTuple):
    """How much is done."""

    launches: int = 2
    rounds: int = 5
    seconds_a_round: float = 1.0
    budgets: tuple[int, ...] = tuple(1250 * 2**k for k in range(7))
    fits: int = 3
    within: float = 0.5
    default_steps: int = 100_000
    chains: int = 4
    cores: int = 2
    draws: int = 1000
    tune: int = 1000
    target: float = 0.9
    nuts_rounds: int = 3
    patience: float = 60.0
    rows: tuple[int, ...] = tuple(10**k for k in range(3, 8))
    iid_draws: int = 4000
    limit: float = 900.0


QUICK = Settings(
    launches=1, rounds=2, seconds_a_round=0.05, budgets=(200, 400), fits=1, default_steps=400,
    chains=2, draws=50, tune=100, nuts_rounds=1, rows=(1000, 10_000), iid_draws=200,
)  # fmt: skip


class Worker:
    """A peer's process, which answers one request at a time."""

    def __init__(self, name: str, bench: Bench, **flags: str) -> None:
        peer = PEERS[name]
        self.name, self.limit = name, bench.settings.limit
        self.log = (bench.scratch / f"{name}.log").open("a")
        self.process = subprocess.Popen(
            [bench.pythons[peer.environment], "-P", "-m", f"peers.{peer.module}"],
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log},
            **{"text": True, "env": bench.environment(peer.environment) | flags},
        )

    def ask(self, do: str, **settings: Any) -> dict[str, Any]:
        """Send a request and wait for the answer, which has `error` if there is none."""
        timer = threading.Timer(self.limit, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **settings}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return dict(json.loads(line))
        return {"error": f"the worker ended; it may take {self.limit:.0f} s a request"}

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):  # it has ended by itself
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Bench:
    """One run: where things are, and the records so far."""

    def __init__(
        self, settings: Settings, pythons: Mapping[str, str], scratch: Path, peers: Iterable[str]
    ) -> None:
        self.settings, self.pythons, self.scratch = settings, pythons, scratch
        self.records: list[dict[str, Any]] = []
        self.abouts: dict[str, dict[str, Any]] = {}
        self.started = time.perf_counter()
        scratch.mkdir(parents=True, exist_ok=True)
        self.peers = list(peers)

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a worker: one thread a process, compiled code kept here."""
        lock = ROOT / "requirements" / f"{LOCKS[name]}.txt"
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12] if lock.exists() else "none"
        folder = (self.scratch / f"compiled-{name}-{digest}").resolve()
        own = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "benchmarks", ROOT / "src")))}
        own |= {f"{each}_FLAGS": f"base_compiledir={folder}" for each in ("AESARA", "PYTENSOR")}
        own |= {f"{each}_NUM_THREADS": "1" for each in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
        own["NUMBA_CACHE_DIR"] = str(folder)
        own["PYTHONDONTWRITEBYTECODE"] = ""  # a second process finds Python's own cache too
        own["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 "
            f"--xla_force_host_platform_device_count={self.settings.cores}"
        )
        return {**os.environ, **own}

    def tell(self, text: str) -> None:
        """Report progress."""
        click.echo(f"[{(time.perf_counter() - self.started) / 60:5.1f} min] {text}")

    def note(
        self, measure: str, peer: str, case: str, answer: Mapping[str, Any], **more: Any
    ) -> bool:
        """Keep a record; tell whether it is of a success."""
        self.records.append({"measure": measure, "peer": peer, "case": case, **more, **answer})
        if "error" in answer:
            self.tell(f"{measure}, {peer}, {case}: {answer['error']}")
        return "error" not in answer

    def taking_part(self, measure: str) -> list[str]:
        """Return the peers of a measure; those without an environment are recorded as such."""
        wanted = [name for name in self.peers if measure in PEERS[name].measures]
        for name in wanted:
            if PEERS[name].environment not in self.pythons:
                self.note(measure, name, "all", {"error": "its environment was not given"})
        return [name for name in wanted if PEERS[name].environment in self.pythons]

    @contextmanager
    def workers(self, names: Iterable[str]) -> Iterator[dict[str, Worker]]:
        """Start the workers of these peers and end them afterwards."""
        running = {name: Worker(name, self) for name in names}
        try:
            for name, worker in running.items():
                if name not in self.abouts:
                    about = worker.ask("describe")
                    if "error" not in about:  # else it has no results to describe either
                        self.abouts[name] = about | (
                            {"notes": own} if (own := PEERS[name].notes) else {}
                        )
            yield running
        finally:
            for worker in running.values():
                worker.close()

    def save_data(self, survey: Survey) -> str:
        """Write a survey to a file, for the workers."""
        path = self.scratch / f"{survey.n_obs}.npz"
        arrays = survey.rows._asdict()
        np.savez(path, **arrays, n_county=survey.n_county)
        return str(path)

    # --- the measures -------------------------------------------------------------------------

    def check_densities(self) -> None:
        """Stop unless every peer that has a model of its own has the same log density."""
        data = self.save_data(load_minnesota())
        own = [
            name for name in ("hand", "numpyro", "gallery-aesara")
            if name in self.peers and PEERS[name].environment in self.pythons
        ]  # fmt: skip
        with self.workers(own) as workers:
            for case in CASES:
                point, wanted = judge.random_point(case)
                for name, worker in workers.items():
                    answer = worker.ask("log_density", case=case, data=data, point=point)
                    if not abs(answer.get("log_density", np.inf) - wanted) < 1e-8 * abs(wanted):
                        raise click.ClickException(
                            f"{name}'s log density of the {case} model at a random point is "
                            f"{answer}, PyMC's {wanted}; they must be the same model."
                        )
        self.tell("log densities agree")

    def measure_steps(self) -> None:
        """Time steps of ADVI."""
        data = self.save_data(load_minnesota())
        names = self.taking_part("advi step")
        ours = [name for name in names if name.startswith("gallery")]
        for launch in range(self.settings.launches):
            with self.workers(names) as workers:
                for case in CASES:
                    self._time_steps(workers, names, "advi step", case, launch, data=data)
                    self._time_steps(
                        *(workers, ours, "advi step full rank", case, launch),
                        **{"data": data, "method": "fullrank"},
                    )

    def _time_steps(
        self, workers: Mapping[str, Worker], names: Iterable[str], measure: str, case: str,
        launch: int, rows: int | None = None, **settings: Any,
    ) -> list[str]:  # fmt: skip
        """Prepare the peers and time them in turn; return those that did it."""
        more = {} if rows is None else {"rows": rows}
        ready: dict[str, int] = {}
        for name in names:
            of_peer = {"case": case, "batch": BATCH, **PEERS[name].settings, **settings}
            answer = workers[name].ask("prepare", **of_peer)
            if launch + 1 < self.settings.launches and "compile_seconds" in answer:
                # Perhaps with an empty cache: kept, but not summarised.
                answer["earlier_compile_seconds"] = answer.pop("compile_seconds")
            if self.note(measure, name, case, answer, launch=launch, **more):
                workers[name].ask("run", steps=250)
                pilot = workers[name].ask("run", steps=250).get("microseconds", 1000.0)
                wanted = self.settings.seconds_a_round * 1e6 / pilot
                ready[name] = max(250, round(wanted / 250) * 250)
        for number in range(self.settings.rounds):
            for name in rotate(list(ready), number):
                answer = workers[name].ask("run", steps=ready[name])
                self.note(measure, name, case, answer, launch=launch, round=number, **more)
        self.tell(f"{measure}, {case}{f', {rows:,} rows' if rows else ''}")
        return list(ready)

    def measure_accuracy(self) -> None:
        """Find the smallest number of steps whose fits all end close to the optimum."""
        data = self.save_data(load_minnesota())
        names = self.taking_part("advi accuracy")
        with self.workers(names) as workers:
            for case in CASES:
                left = {}
                for name in names:
                    of_peer = {"case": case, "batch": BATCH, "data": data, **PEERS[name].settings}
                    answer = workers[name].ask("prepare", **of_peer)
                    if self.note("advi accuracy", name, case, answer):
                        left[name] = workers[name]
                for budget in self.settings.budgets if left else ():
                    left = self._try_budget(case, left, budget)
                    still = ", ".join(left) or "none"
                    self.tell(f"advi accuracy, {case}, {budget:,} steps; still short: {still}")
                    if not left:
                        break
                for name in left:
                    reason = f"not within {self.settings.within} nats after {budget:,} steps"
                    self.note("advi accuracy", name, case, {"error": reason})
            for name in ("pymc-pytensor", "pymc-aesara"):
                if name in names:
                    self._try_default(workers[name], data)

    def _try_budget(self, case: str, left: dict[str, Worker], budget: int) -> dict[str, Worker]:
        """Fit with all peers that are not there yet; return those that still are not."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in left}
        close = dict(left)
        for number in range(self.settings.fits):
            for name in rotate(list(close), number):
                answer = self._fit(left[name], case, budget)
                found[name].append(answer)
                if not answer.get("gap", -np.inf) >= -self.settings.within:  # NaN falls short too
                    del close[name]
        for name, answers in found.items():
            for number, answer in enumerate(answers):
                reached = name in close
                # Seconds of budgets that fell short are no seconds to the optimum.
                short = {} if reached else {"seconds": None, "seconds_taken": answer.get("seconds")}
                tried = {} if reached else {"gap": None, "gap_reached": answer.get("gap")}
                more = {"round": number, "steps" if reached else "steps_tried": budget}
                self.note("advi accuracy", name, case, answer | short | tried, **more)
        return {name: worker for name, worker in left.items() if name not in close}

    def _fit(
        self, worker: Worker, case: str, steps: int, draws: int = judge.ELBO_DRAWS
    ) -> dict[str, Any]:
        """Fit and judge."""
        path = str(self.scratch / "fit.npz")
        answer = worker.ask("fit", steps=steps, out=path)
        if "error" not in answer:
            answer["gap"], answer["gap_error"] = judge.elbo_gap(case, path, draws)
        return answer

    def _try_default(self, worker: Worker, data: str) -> None:
        """Fit as `pm.fit` does by default, for long."""
        for case in CASES:
            worker.ask("prepare", case=case, batch=BATCH, data=data, optimiser="default")
            # Far from the optimum the weights spread more.
            draws = 4 * judge.ELBO_DRAWS
            answer = self._fit(worker, case, self.settings.default_steps, draws)
            if answer.get("gap", 0.0) < -self.settings.within:
                answer["seconds_taken"] = answer.pop("seconds", None)
                answer["seconds"] = None
            more = {"steps": self.settings.default_steps, "round": 0}
            self.note("advi accuracy", worker.name, f"{case}, default optimiser", answer, **more)
            self.tell(f"advi accuracy, {worker.name}, {case}, default optimiser")

    def measure_nuts(self) -> None:
        """Sample, each run in a process of its own, until a case's patience is used up."""
        data = self.save_data(load_minnesota())
        names = self.taking_part("nuts")
        wanted = ("draws", "tune", "chains", "cores", "target")
        settings = {name: getattr(self.settings, name) for name in wanted}
        spent: dict[tuple[str, str], float] = {}
        for number in range(self.settings.nuts_rounds):
            for case in CASES:
                for name in rotate(names, number):
                    if spent.get((name, case), 0.0) > self.settings.patience:
                        continue
                    path = str(self.scratch / "draws.npz")
                    with self.workers([name]) as workers:
                        answer = workers[name].ask(
                            "sample", case=case, data=data, seed=number + 1, out=path, **settings
                        )
                    if "error" not in answer:
                        answer |= judge.judge_draws(path)
                        answer["ess_a_second"] = answer["worst_ess"] / answer["seconds"]
                    self.note("nuts", name, case, answer, round=number)
                    took = answer.get("seconds", np.inf) + answer.get("compile_seconds", 0.0)
                    spent[name, case] = spent.get((name, case), 0.0) + took
                    self.tell(f"nuts, {name}, {case}: {took:.0f} s")

    def measure_scaling(self) -> None:
        """Time steps and look at memory as the survey grows."""
        names = self.taking_part("scaling")
        small = self.save_data(load_minnesota())
        for rows in self.settings.rows:
            survey = simulate_survey(rows, 85, random_seed=rows).survey
            data = self.save_data(survey)
            held = sum(vector.nbytes for vector in survey.rows) / 2**20
            del survey
            with self.workers(names) as workers:
                done = self._time_steps(
                    *(workers, names, "scaling", "centred", self.settings.launches),
                    **{"rows": rows, "data": data},
                )
                for name in done:
                    answer = workers[name].ask("memory")
                    if "error" not in answer:
                        growth = answer["peak_mib"] - answer["base_mib"]
                        answer |= {"growth_mib": growth, "over_data_mib": growth - held}
                    self.note("scaling", name, "centred", answer, rows=rows, data_mib=held)
                if rows == self.settings.rows[-1] and REFERENCE in names:
                    # Right beside the largest, what its step is to be compared with.
                    with self.workers([REFERENCE]) as again:
                        self._time_steps(
                            *(again, [REFERENCE], "scaling", "centred", self.settings.launches),
                            **{"rows": 919, "data": small},
                        )
            Path(data).unlink()

    def measure_second_process(self) -> None:
        """Time a new process up to its first loss, with an empty cache and with a warm one."""
        data = self.save_data(load_minnesota())
        folder = self.scratch.resolve() / "cold"
        shutil.rmtree(folder, ignore_errors=True)
        flags = {"PYTENSOR_FLAGS": f"base_compiledir={folder}", "NUMBA_CACHE_DIR": str(folder)}
        for name in self.taking_part("second process"):
            for number in range(1 + self.settings.rounds):
                started = time.perf_counter()
                worker = Worker(name, self, **flags)
                answer = worker.ask("first_loss", case="centred", data=data, batch=BATCH)
                seconds = time.perf_counter() - started
                worker.close()
                case = "warm" if number else "cold"
                answer |= {} if "error" in answer else {"seconds": seconds}
                self.note("second process", name, case, answer, round=max(0, number - 1))
                self.tell(f"second process, {case}: {seconds:.1f} s")

    def measure_exact(self) -> None:
        """Time the exact answer, refine it, and draw from it."""
        data = self.save_data(load_minnesota())
        for name in self.taking_part("exact"):
            for number in range(self.settings.rounds):
                with self.workers([name]) as workers:
                    answer = workers[name].ask("exact", data=data, draws=self.settings.iid_draws)
                self.note("exact", name, "wide priors", answer, round=number)
            self.tell("exact")


#: The measures in their order, and about how many minutes each takes on two quiet cores.
MEASURES: dict[str, tuple[Callable[[Bench], None], float]] = {
    "exact": (Bench.measure_exact, 1),
    "second process": (Bench.measure_second_process, 2),
    "advi step": (Bench.measure_steps, 13),
    "advi accuracy": (Bench.measure_accuracy, 10),
    "scaling": (Bench.measure_scaling, 8),
    "nuts": (Bench.measure_nuts, 11),
}

#: The lock of each environment.
LOCKS = {
    "pytensor": "pytensor",
    "aesara": "aesara",
    "numpyro": "bench-numpyro",
    "pymc-extras": "bench-pymc-extras",
}


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to judge the times, and nothing that names the machine."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if "model name" in line), model
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
    }


def read_published() -> dict[str, Any]:
    """Return what the package carries, if it was measured on a machine like this."""
    published: dict[str, Any] = json.loads(PUBLISHED.read_text())
    if (machine := describe_machine()) != published["machine"]:
        raise click.ClickException(
            f"the published benchmark is of {published['machine']}, this machine is {machine}; "
            "publish a run of everything."
        )
    return published


def keep(bench: Bench, published: Mapping[str, Any]) -> None:
    """Add what was published of the measures and peers that this run left out."""
    for name in bench.abouts.keys() & published["peers"].keys():
        now, then = (each[name]["versions"] for each in (bench.abouts, published["peers"]))
        if now != then:
            raise click.ClickException(
                f"{name} was published with {then} and has {now}; publish a run of everything."
            )
    measured = {(record["measure"], record["peer"]) for record in bench.records}
    bench.records[:0] = [
        record
        for record in published["records"]
        if (record["measure"], record["peer"]) not in measured
    ]
    bench.abouts = published["peers"] | bench.abouts


def report(bench: Bench) -> dict[str, Any]:
    """Put together all that is written."""
    summary = summarise(bench.records)
    settings = bench.settings._asdict() | {
        "batch": BATCH, "ratio_to": REFERENCE, "range": "lowest and highest",
        "elbo_draws": judge.ELBO_DRAWS, "homes": 919, "priors": "wide",
    }  # fmt: skip
    return {
        "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": describe_machine(),
        "peers": {
            name: {"title": peer.title, **bench.abouts[name]}
            for name, peer in PEERS.items()
            if name in bench.abouts
        },
        "settings": settings,
        "targets": judge_targets(summary),
        "records": bench.records,
        "summary": summary,
    }


@click.command()
@click.option("--python", "pythons", multiple=True, metavar="ENVIRONMENT=PATH",
              help="Interpreter of an environment: " + ", ".join(LOCKS))  # fmt: skip
@click.option("--quick", is_flag=True, help="A small case of everything, in minutes.")
@click.option("--only", multiple=True, type=click.Choice(list(MEASURES)), help="These measures.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), help="These peers.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/benchmark.json"))
@click.option("--publish", is_flag=True,
              help="Also put it into the package's file; the rest of that stays.")  # fmt: skip
def main(
    pythons: tuple[str, ...], quick: bool, only: tuple[str, ...], peers: tuple[str, ...],
    output: Path, publish: bool,
) -> None:  # fmt: skip
    """Measure the gallery and its peers side by side."""
    if quick and publish:
        raise click.UsageError("the numbers of a quick run mean little; publish one without it.")
    published = read_published() if publish and (only or peers) else None
    given = {"pytensor": sys.executable, **dict(each.split("=", 1) for each in pythons)}
    settings = QUICK if quick else Settings()
    bench = Bench(settings, given, output.parent / "benchmark", peers or PEERS)
    chosen = {name: MEASURES[name] for name in MEASURES if not only or name in only}
    bench.check_densities()
    ahead = sum(minutes for _, minutes in chosen.values())
    for name, (measure, minutes) in chosen.items():
        bench.tell(name if quick else f"{name}; about {ahead:.0f} minutes to go")
        measure(bench)
        ahead -= minutes
    write(bench, output)
    if publish:
        if published:
            keep(bench, published)
        write(bench, PUBLISHED)


def write(bench: Bench, path: Path) -> None:
    """Write what was measured to a file."""
    text = json.dumps(shorten(report(bench)), indent=None, separators=(",", ":")) + "\n"
    text = text.replace("},{", "},\n{")  # one record a line, for whoever compares two runs
    path.write_text(text)
    bench.tell(f"written: {path}, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
