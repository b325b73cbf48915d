"""Figures as SVG files that follow the reader's light or dark scheme."""

import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

PAPER, INK, FAINT = "#fefefe", "#202124", "#c9cdd2"
DARK = {
    PAPER: "#14171c", INK: "#e6e8eb", FAINT: "#474d56",
    "#0072b2": "#4aa8e0", "#d55e00": "#f0803c", "#009e73": "#2fc79c", "#aa4f8a": "#dc8fc0",
    "#8a6d00": "#e0b93a", "#5b5fc7": "#9ea2f5", "#66707a": "#a3adb8", "#00828c": "#45c3cd", "#9c3b30": "#e08a80",
}  # fmt: skip
COLOURS = list(DARK)[3:]  # told apart by colour-blind readers together with the marks
MARKS = "osD^vP*Xh<>"
SETTINGS = {
    "svg.fonttype": "none", "svg.hashsalt": "mlcfast", "font.family": "sans-serif", "font.size": 11,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "legend.facecolor": PAPER, "legend.edgecolor": FAINT,
    "grid.color": FAINT, "axes.grid": True, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.titlesize": 11,
}  # fmt: skip


def styled() -> matplotlib.RcParams:
    """A context in which figures are drawn with colours that `save` knows."""
    return matplotlib.rc_context(SETTINGS)


def look(index: int) -> dict[str, str | float]:
    """Colour and mark of the index-th line."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKS[index % len(MARKS)], "markersize": 5}


def save(figure: Figure, path: Path, title: str) -> None:
    """Write the figure as SVG, the same bytes for the same figure; every colour becomes a property of the scheme."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Title": title, "Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    names = {colour: f"--c{index}" for index, colour in enumerate(DARK)}
    for colour, name in names.items():
        text = re.sub(re.escape(colour), f"var({name}, {colour})", text, flags=re.IGNORECASE)
    light = "".join(f"{name}:{colour};" for colour, name in names.items())
    dark = "".join(f"{names[colour]}:{shade};" for colour, shade in DARK.items())
    sheet = f"<style>:root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}</style>"
    lines = re.sub(r"(<svg [^>]*>)", lambda found: f"{found[1]}\n {sheet}", text, count=1).splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
