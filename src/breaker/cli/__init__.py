"""The command line: ``breaker COMMAND`` or ``python -m breaker COMMAND``.

A command is a module with ``add_parser(commands, name, help)``, which adds its sub-parser and sets the default ``run``:
the function that takes the parsed arguments and returns the exit code, named as ``"module:function"`` so that it is
loaded when it runs. To add a command, write its module and give it a line in `COMMANDS`.

Exit codes and what is done about errors are in `breaker.cli.trouble`.
"""

from __future__ import annotations

from breaker.cli.commands import COMMANDS, main

__all__ = ["COMMANDS", "main"]
