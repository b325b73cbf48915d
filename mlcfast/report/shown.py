"""A report as a notebook shows it."""

import html
from dataclasses import dataclass
from pathlib import Path

HEIGHT = 700  # pixels


@dataclass(frozen=True)
class Report:
    """A run's report.html: one page, with everything in it."""

    path: Path

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its styles and the notebook's do not meet."""
        page = html.escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe title="{html.escape(str(self.path))}" srcdoc="{page}" width="100%" height="{HEIGHT}"></iframe>'
