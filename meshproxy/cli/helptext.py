"""What ``--help`` says of a command beside its options: in which words it is listed, examples, exit statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from meshproxy.cli.arguments import EX_CONFIG, EX_USAGE

_WRONG_USAGE = "wrong usage"
NOT_LOADED = {EX_CONFIG: "the configuration does not load"}
"""For commands that load one."""


@frozen
class Help:
    """The help of a command.

    ``summary`` is a line in the list of commands, ``text`` what it does in lines of at most 79 characters. ``examples``
    are command lines with what they are for; ``other_statuses`` what else than 64 it ends with, and when.
    """

    summary: str
    text: str
    examples: Sequence[tuple[str, str]]
    other_statuses: Mapping[int, str]

    @property
    def statuses(self) -> dict[int, str]:
        """All exit statuses, in order."""
        return dict(sorted({**self.other_statuses, EX_USAGE: _WRONG_USAGE}.items()))

    @property
    def epilog(self) -> str:
        """Examples and exit statuses."""
        lines = ["examples:"]
        for example, purpose in self.examples:
            lines += [f"  {example}", f"      {purpose}"]
        lines += ["", "exit status:"]
        lines += [f"  {status:<4}{meaning}" for status, meaning in self.statuses.items()]
        return "\n".join(lines)
