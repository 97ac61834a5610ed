"""All measurements of speed, as rows for tables and files."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numba
import torch

from aq_gym import datasets
from baselines.studies.speed import environments, learning, placement, solvers, start_up
from baselines.studies.speed.comparison import Comparison, peer
from baselines.studies.tables import markdown, text_table

SECTIONS = ("environments", "start", "solvers", "placement", "learning")
PEERS = ("quantecon", "envpool", "pymoo")
INTRODUCTION = (
    "Both sides of a comparison take turns on one thread; a ratio is taken within each turn, and the tables give the "
    "median and the range. Machines like this one are shared: the same command gives other rates an hour later, and "
    "ratios that differ by a fifth. CartPole's observation has four numbers and infers nothing; MultiDevice's with ten "
    "devices has 124, eighty of them about what the map's errors would become."
)
Row = dict[str, str]


@dataclass
class Report:
    """What was measured."""

    tables: list[str] = field(default_factory=list)  # in Markdown
    frames: list[dict[str, Any]] = field(default_factory=list)  # the numbers, one row a measurement

    def add(self, title: str, rows: list[Row]) -> None:
        """Print a table of rows with equal keys and remember it; nothing without rows."""
        if rows:
            heads, cells = list(rows[0]), [list(row.values()) for row in rows]
            self.tables.append(markdown(heads, cells).rstrip())
            print(f"\n{title}\n{text_table(heads, cells, width=170)}", flush=True)


def short(x: float) -> str:
    """A number with three significant digits at least."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def ratio(found: dict[str, Any]) -> str:
    """The median of the ratios and their range."""
    return f"{found['ratio']:.3g} [{found['least']:.3g}, {found['most']:.3g}]"


def row(found: dict[str, Any]) -> Row:
    """A comparison as a line of the table."""
    goal = found["goal"]
    return {
        "what": found["what"],
        "peer": found["peer"],
        "ours": f"{short(found['ours'])} {found['unit']}",
        "peer's": short(found["theirs"]),
        "ratio": ratio(found),
        "goal": "" if goal is None else f"{goal:.3g}",
        "reached": "" if goal is None else "yes" if found["ratio"] >= goal else "no",
    }


def against_row(found: dict[str, Any]) -> Row:
    """A row of `against.compare` as a line of the table."""
    if "reason" in found:
        return {"what": found["what"], "unit": found["reason"], "new": "", "old": "", "ratio": ""}
    numbers = {name: short(found[name]) for name in ("new", "old")}
    return {"what": found["what"], "unit": found["unit"], **numbers, "ratio": ratio(found)}


def comparisons(args: Any) -> Iterator[Comparison]:
    """Those of the chosen sections, each made when its turn comes."""
    if "environments" in args.sections:
        yield from environments.comparisons(args.seconds)
    if "solvers" in args.sections:
        yield from solvers.comparisons()
    if "placement" in args.sections:
        yield from placement.comparisons()
    if "learning" in args.sections:
        yield from learning.comparisons(args.decisions, args.reach_seconds, args.reach_seeds[: args.rounds])


def alone(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """An instance that no peer can solve, in a process of its own: how long, and how much memory."""
    code = (
        "import json, re, pathlib; from baselines.studies.speed import solvers; "
        f"found = solvers.{measure.__name__}(); peak = pathlib.Path('/proc/self/status').read_text(); "
        "found['gib'] = int(re.search(r'VmHWM:\\s+(\\d+)', peak)[1]) / 2**20; print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    return {"what": name, **json.loads(done.stdout)}


def measure_large() -> list[dict[str, Any]]:
    """The largest instances."""
    found = [alone("two devices, T=144 B=24 D=24, 6 levels", solvers.largest_joint)]
    try:
        datasets.load_pku2018("pku2018", datasets.data_folder())
    except FileNotFoundError as error:
        print(f"full resolution: left out, {error}")
        return found
    return [alone("one device, T=144 B=24 D=24, a level for every µg/m³", solvers.full_resolution), *found]


def measure(args: Any) -> Report:
    """Measure the chosen sections on one thread; the arguments are those of `scripts.measure_speed`."""
    numba.config.NUMBA_NUM_THREADS = 1  # the solvers' and searches' own threads; the kernels have none
    torch.set_num_threads(1)
    for name in (x for x in PEERS if peer(x) is None):
        print(f"{name} is not installed, its rows are left out: pip install 'aq-gym[peers]'")
    report, lines = Report(), []
    for comparison in comparisons(args):
        found = comparison.run(args.rounds)
        lines.append(row(found))
        print(" | ".join(lines[-1].values()), flush=True)
        report.frames.append(found)
    report.add(f"Ours beside others, in turns, at most {args.rounds} rounds: median ratio and its range", lines)
    if "solvers" in args.sections:
        large = measure_large()
        texts = [{name: f"{x:.4g}" if isinstance(x, float) else str(x) for name, x in one.items()} for one in large]
        report.add("Exact, in a process of its own: seconds of solving, GiB at most", texts)
        report.frames += [{"what": x["what"], "unit": "s", "ours": x["seconds"], "gib": x["gib"]} for x in large]
    if "start" in args.sections:
        starts = start_up.rows([start_up.start_up() for _ in range(args.start_rounds)])
        report.add(f"Start-up in seconds, {args.start_rounds} fresh interpreters", starts)
        report.frames += [{"what": s["what"], "unit": "s", "ours": float(s["median"])} for s in starts]
    return report
