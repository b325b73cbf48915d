"""Print the completion script of a shell for `mlcfast`: its commands, their options and files."""

import argparse
import re
import sys
from collections.abc import Sequence

from mlcfast import cli
from mlcfast.__main__ import commands, source_of

SHELLS = ("bash",)
SCRIPT = """\
_mlcfast() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands} --help --version" -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
        *) words="" ;;
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$words --debug --help" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -o filenames -F _mlcfast mlcfast"""


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.completion`."""
    parser = cli.Parser("completion", __doc__, 'eval "$(mlcfast completion bash)"    # in ~/.bashrc')
    parser.add_argument("shell", choices=SHELLS, help="zsh takes bash's after autoload -U bashcompinit && bashcompinit")
    return parser


def options_of(command: str) -> list[str]:
    """The options that a command's source names, without importing it."""
    return sorted(set(re.findall(r'"(--[a-z][a-z-]*)"', source_of(command).read_text(encoding="utf-8"))))


def script() -> str:
    """The shell's script, as long as the commands stay as they are."""
    cases = [f'        {name}) words="{" ".join(options_of(name))}" ;;' for name in commands()]
    return SCRIPT.format(commands=" ".join(commands()), cases="\n".join(cases))


def work(args: argparse.Namespace) -> None:
    """Print the script; bash is the only shell so far."""
    print(script())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
