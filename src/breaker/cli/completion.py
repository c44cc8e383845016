"""``breaker completion bash|zsh``: a script made of the parsers, so that it knows what they know."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Iterator

from breaker.cli.output import say
from breaker.cli.parsing import Commands
from breaker.policies.policy import Policy

_SCRIPT = """\
# Completion of the command breaker. Load it with: source <(breaker completion {shell})
_breaker() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words="" at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "$command ${{COMP_WORDS[at]}}" in
            {commands}) command="$command ${{COMP_WORDS[at]}}" ;;
        esac
    done
    case "$previous" in
        {files}) COMPREPLY=($(compgen -f -- "$current")); return ;;
{choices}
    esac
    case "$command" in
{words}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    case "$command" in
        {with_files}) COMPREPLY+=($(compgen -f -- "$current")) ;;
        {with_fields}) if [[ "${{COMPREPLY[0]}}" == *= ]]; then compopt -o nospace 2>/dev/null; fi ;;
    esac
    return 0
}}
{register}
"""
_REGISTER = {
    "bash": "complete -F _breaker breaker",
    "zsh": """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
autoload -Uz bashcompinit && bashcompinit && complete -F _breaker breaker""",
}
_FILES = frozenset({"FILE", "DIR", "OTHER"})  # what arguments are called in the help that are files


def add_parser(commands: Commands[argparse.ArgumentParser], name: str, line: str) -> None:
    """Add ``completion``."""
    epilog = "examples:\n  source <(breaker completion bash)\n  source <(breaker completion zsh)\n"
    text = "Print a script for the shell to source; put the line into ~/.bashrc or ~/.zshrc."
    parser = commands.add_parser(name, help=line, description=text, epilog=epilog)
    parser.add_argument("shell", choices=sorted(_REGISTER), help="the shell")
    parser.set_defaults(run="breaker.cli.completion:run")


def run(args: argparse.Namespace) -> int:
    """``breaker completion``."""
    from breaker.cli.commands import make_parser

    for line in script(make_parser(), args.shell).splitlines():
        say(line)
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of a shell. Zsh runs that of bash, by its own ``bashcompinit``."""
    parsers = dict(_walk(parser, ""))
    actions = [action for each in parsers.values() for action in each._actions if action.option_strings]
    return _SCRIPT.format(
        shell=shell,
        register=_REGISTER[shell],
        commands=_patterns(path for path in parsers if path),
        files=_patterns(_names(action for action in actions if action.metavar in _FILES)),
        choices="\n".join(
            f"        {_patterns(action.option_strings)}) "
            f'COMPREPLY=($(compgen -W "{" ".join(map(str, action.choices))}" -- "$current")); return ;;'
            for action in {action.option_strings[0]: action for action in actions if action.choices}.values()
            if action.choices
        ),
        words="\n".join(f'        {_patterns([path])}) words="{_words(each)}" ;;' for path, each in parsers.items()),
        with_files=_patterns(path for path, each in parsers.items() if _takes(each, _FILES)),
        with_fields=_patterns(path for path, each in parsers.items() if _takes(each, {"FIELD=VALUE"})),
    )


def _walk(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each parser by the words that lead to it, each with a space before it."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from _walk(each, f"{path} {name}")


def _words(parser: argparse.ArgumentParser) -> str:
    """What may stand after a command: its options, its sub-commands and choices, the fields of a policy."""
    words = _names(parser._actions)
    for action in parser._actions:
        if not action.option_strings:
            words += map(str, action.choices or ())
    if _takes(parser, {"FIELD=VALUE"}):
        words += (f"{field.key}=" for field in Policy.fields.values())
    return " ".join(words)


def _names(actions: Iterable[argparse.Action]) -> list[str]:
    """The long options, each once."""
    return list(dict.fromkeys(option for action in actions for option in action.option_strings if len(option) > 2))


def _takes(parser: argparse.ArgumentParser, metavars: Collection[object]) -> bool:
    return any(not action.option_strings and action.metavar in metavars for action in parser._actions)


def _patterns(words: Iterable[str]) -> str:
    return "|".join(f'"{word}"' for word in words)
