"""Writes a proposed configuration as commented YAML, and says what to type next."""

from pathlib import Path
from typing import Any

import yaml

from mlcfast.errors import counted
from mlcfast.planning.starting import Proposal

WIDTH = 110  # of a line with its comment; a longer comment goes above its line


def as_yaml(proposal: Proposal) -> str:
    """The file that `load_config` reads back equal: a section a block, a reason behind or above each setting."""
    samples = proposal.found.samples
    labels = samples.train.names
    lines = [
        f"# {counted(len(samples.train), 'image')} for training, {len(samples.validation)} for validation, "
        f"{counted(len(labels), 'label')}.",
        "# Written by mlcfast init. What is not here has its default; a run writes them all to its config.yaml.",
    ]
    for section, settings in proposal.values.items():
        if not isinstance(settings, dict):
            lines.append(f"{section}: {_scalar(settings)}")
            continue
        lines.append(f"{section}:")
        for key, value in settings.items():
            lines += _setting(f"  {key}: {_scalar(value)}", proposal.reasons.get(f"{section}.{key}", ""))
    return "\n".join(lines) + "\n"


def _setting(line: str, reason: str) -> list[str]:
    if not reason:
        return [line]
    if len(line) + len(reason) + 3 <= WIDTH:
        return [f"{line} # {reason}"]
    words, above = reason.split(), ["  #"]
    for word in words:
        if len(above[-1]) + len(word) + 1 > WIDTH:
            above.append("  #")
        above[-1] += f" {word}"
    return [*above, line]


def _scalar(value: Any) -> str:
    """A value on one line, as YAML reads it back; 1e-4 with the point without which YAML takes it for text."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def next_steps(proposal: Proposal, file: Path) -> str:
    """The commands to run next, a line each."""
    best = proposal.config.run_directory / "best"
    commands = {
        f"mlcfast train {file}": "the best weights go to " + str(best),
        f"mlcfast evaluate {file} --checkpoint {best}": "every label's figures",
        f"mlcfast report {proposal.config.run_directory}": "the run on one page",
        f"mlcfast predict {best} PHOTOS": "labels of other images",
    }
    return "\n".join(f"  {command}  # {what}" for command, what in commands.items())
