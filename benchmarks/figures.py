"""Draw the results as SVG and PNG. Runs in the baselines' environment, which has matplotlib.

Called as `python -m benchmarks.figures RESULTS.json FOLDER` by __main__.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "servd"
mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False

from matplotlib import pyplot as plt  # noqa: E402 - the backend is chosen before

COLOURS = {
    "servd": "#1b6ca8",
    "fastapi": "#d1495b",
    "fastapi x2": "#edae49",
    "ceiling": "#8d99ae",
    "nginx": "#c5ccd6",
    "litserve": "#66a182",
    "ray serve": "#2e4057",
}


def main(source: Path, folder: Path) -> None:
    """Draw what the results hold."""
    results = json.loads(source.read_text())
    if "medians" in results:
        draw_bars(results["medians"], "rate", "throughput", folder)
        draw_bars(results["medians"], "p99_ms", "latency", folder)
    if "figures" in results:
        draw_paper(results["figures"], folder)


def draw_bars(rows: list[dict[str, Any]], figure: str, name: str, folder: Path) -> None:
    """Draw a panel for each workload: bars by number of connections and server."""
    rows = [row for row in rows if row["loop"] == "closed"]
    keys = sorted({row["workload"] for row in rows})
    canvas, axes = plt.subplots(1, len(keys), figsize=(3.2 * len(keys) + 1, 3.6), squeeze=False)
    for axis, key in zip(axes[0], keys, strict=True):
        draw_panel(axis, [row for row in rows if row["workload"] == key], figure)
        axis.set_title(key)
    is_rate = figure == "rate"
    axes[0][0].set_ylabel("answers a second" if is_rate else "p99, ms (logarithmic)")
    canvas.supxlabel("connections (closed loop)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    save(canvas, folder, name, top=0.88)


def draw_panel(axis: Any, rows: list[dict[str, Any]], figure: str) -> None:
    """Draw one workload."""
    groups = sorted({row["connections"] for row in rows})
    servers = list(dict.fromkeys(row["server"] for row in rows))
    width = 0.8 / len(servers)
    for i, server in enumerate(servers):
        found = {row["connections"]: row[figure] for row in rows if row["server"] == server}
        places = [g + (i - (len(servers) - 1) / 2) * width for g in range(len(groups))]
        heights = [found.get(group, 0) for group in groups]
        axis.bar(places, heights, width, label=server, color=COLOURS.get(server))
    axis.set_xticks(range(len(groups)), [str(group) for group in groups])
    if figure == "rate":
        axis.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    else:
        axis.set_yscale("log")


def draw_paper(figures: list[dict[str, Any]], folder: Path) -> None:
    """Draw a panel for each experiment: throughput and p99 of each setting."""
    canvas, axes = plt.subplots(2, len(figures), figsize=(3.2 * len(figures) + 1, 6), squeeze=False)
    for i, figure in enumerate(figures):
        labels = [row["setting"] for row in figure["rows"]]
        for axis, name, text in (
            (axes[0][i], "rate", "good answers/s"),
            (axes[1][i], "p99_ms", "p99, ms"),
        ):
            axis.bar(range(len(labels)), [row[name] for row in figure["rows"]], color="#1b6ca8")
            axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
            if i == 0:
                axis.set_ylabel(text)
        axes[0][i].set_title(figure["title"], fontsize=9)
    save(canvas, folder, "paper", top=1.0)


def save(canvas: Any, folder: Path, name: str, top: float) -> None:
    """Write SVG and PNG, the same bytes for the same figures."""
    canvas.tight_layout(rect=(0, 0, 1, top))
    canvas.savefig(folder / f"{name}.svg", metadata={"Date": None})
    canvas.savefig(folder / f"{name}.png", dpi=120)
    plt.close(canvas)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
