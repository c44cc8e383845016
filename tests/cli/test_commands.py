"""The command line as a whole: help, version, one-line errors, what is loaded, completion."""

import argparse
import importlib.metadata
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import breaker as package
from breaker.cli import COMMANDS
from breaker.cli.commands import make_parser, parse
from breaker.cli.completion import script
from breaker.cli.trouble import in_words_of_the_command_line
from support.processes import run_python
from support.shell import COMMAND, Terminal, breaker


def parsers(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command that does something."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield path
    for action in inner:
        for name, each in action.choices.items():
            yield from parsers(each, (*path, name))


LEAVES = sorted(parsers(make_parser()))


def test_all_commands_are_there() -> None:
    words = {" ".join(path) for path in LEAVES}
    policy = {f"policy {name}" for name in ["list", "get", "set", "delete", "diff", "watch", "validate", "schema"]}
    assert policy | {"force-open", "disable", "shadow", "auto", "doctor", "demo", "completion"} <= words
    assert {path[0] for path in LEAVES} == set(COMMANDS)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_help_has_examples_that_parse(path: tuple[str, ...]) -> None:
    done = breaker(*path, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: breaker {' '.join(path)} ")
    if path == ("demo",):
        return
    examples = re.findall(r"^  (breaker .*|source .*)$", done.out.partition("examples:")[2], re.MULTILINE)
    assert examples
    for example in examples:
        example = re.split(r" [>|] ", example.replace("source <(", "").rstrip(")"))[0]
        parse(shlex.split(example, comments=True)[1:])


def test_help_of_the_whole_and_of_a_group() -> None:
    said = breaker("--help").out
    for name, (_, line) in COMMANDS.items():
        assert name in said
        assert line.split()[0] in said
    for example in re.findall(r"^  (breaker .*)$", said.partition("examples:")[2], re.MULTILINE):
        parse(shlex.split(example)[1:])
    assert "validate" in breaker("policy", "--help").out


def test_version() -> None:
    assert breaker("--version").out == f"cybreaker {package.__version__}\n"


def test_version_of_a_package_that_is_only_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert (breaker("--version").code, breaker("--version").err) == (0, "")
    assert "not installed as a distribution" in breaker("--version").out
    assert breaker("doctor").code == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["policy"], "required: COMMAND"),
        (["policy", "frobnicate"], "invalid choice: 'frobnicate'"),
        (["policy", "get"], "required: NAME"),
        (["policy", "get", "a", "b"], "unrecognized arguments: b"),
        (["policy", "get", "a", "--jso"], "unrecognized arguments: --jso"),
        (["policy", "set", "a", "mode=auto", "--colour"], "unrecognized arguments: --colour"),
        (["policy", "set", "a", "--unset"], "expected one argument"),
        (["policy", "list", "--timeout", "3"], "a unit is missing"),
        (["policy", "list", "--timeout", "\x1b[2J"], "is no duration"),
        (["completion"], "required: shell"),
        (["completion", "fish"], "invalid choice: 'fish'"),
        (["doctor", "now"], "unrecognized arguments: now"),
        (["--json"], "required: COMMAND"),
        (["--", "policy"], "COMMAND"),
    ],
    ids=lambda value: ascii(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_one_line_that_names_the_help(words: list[str], text: str) -> None:
    done = breaker(*words)
    done.failed(2, text)
    assert re.search(r"\(see breaker( \w+)* --help\)$", done.err)
    assert "\x1b" not in done.err
    if "--json" not in words:
        assert done.out == ""


def test_wrong_arguments_as_json() -> None:
    done = breaker("policy", "get", "--json")
    assert (done.code, done.json["error"]["kind"], done.json["error"]["code"]) == (2, "usage", 2)
    assert "required: NAME" in done.json["error"]["message"]


def test_what_is_not_needed_is_not_loaded() -> None:
    program = """
import sys
from breaker.cli import main
unwanted = "structlog rich asyncio ssl http.client grpc importlib.metadata logging"
unwanted += " breaker.sources.etcd breaker.cli.demo.run"
for words in (["--help"], ["policy", "list", "--help"], ["force-open", "--help"], ["nonsense"]):
    main(words)
    loaded = [name for name in unwanted.split() if name in sys.modules]
    assert not loaded, (words, loaded)
assert main(["policy", "list", "--source", "file:.", "--env", "dev", "--service", "none"]) == 0
loaded = [name for name in unwanted.split() if name in sys.modules]
assert not loaded, loaded
"""
    run_python(f"import contextlib, io\nwith contextlib.redirect_stderr(io.StringIO()):\n{indented(program)}")


def indented(program: str) -> str:
    return "\n".join(f"    {line}" for line in program.splitlines())


# -- remedies in the words of the command line --


def test_errors_of_the_package_name_options_and_no_arguments_of_python() -> None:
    """Each remedy that a source gives is one that can be typed here."""
    folder = Path(package.__file__).parent / "sources"
    texts = [
        literal
        for file in folder.rglob("*.py")
        for literal in re.findall(r'"([^"\n]*)"', file.read_text(encoding="utf-8"))
        if re.search(r"\b(user|password|ca|cert|key|server_name)=(?!\w)|transport='etcd3'", literal)
    ]
    assert len(texts) > 5
    for text in texts:
        said = in_words_of_the_command_line(text)
        assert not re.search(r"\b(user|password|ca|cert|server_name|transport)=", said), said


# -- completion --


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    listed = " ".join(map(shlex.quote, words))
    program = f"{script(make_parser(), 'bash')}\nCOMP_WORDS=({listed})\nCOMP_CWORD={len(words) - 1}\n_breaker\n"
    program += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-u", "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_choices_and_fields() -> None:
    assert completed("breaker", "po") == ["policy"]
    assert set(completed("breaker", "")) == {*COMMANDS, "--help", "--version"}
    assert completed("breaker", "policy", "va") == ["validate"]
    assert completed("breaker", "policy", "set", "x", "failureT") == ["failureThreshold="]
    assert completed("breaker", "force-open", "x", "--f") == ["--for"]
    assert completed("breaker", "doctor", "--transport", "") == ["gateway", "etcd3"]
    assert completed("breaker", "completion", "z") == ["zsh"]
    assert completed("breaker", "nonsense", "po") == ["policy"]


def test_bash_completes_files_where_files_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some-policy.json").touch()
    assert completed("breaker", "policy", "validate", "some") == ["some-policy.json"]
    assert completed("breaker", "policy", "set", "x", "--file", "some") == ["some-policy.json"]
    assert completed("breaker", "policy", "list", "some") == []


SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}
TYPED = {  # what somebody types, with the key Tab at its end → the words that the command gets
    "po": ["policy"],
    "policy va": ["policy", "validate"],
    "policy set http:payment-api failureT": ["policy", "set", "http:payment-api", "failureThreshold="],
    "force-open http:payment-api --f": ["force-open", "http:payment-api", "--for"],
    "doctor --transport g": ["doctor", "--transport", "gateway"],
    "policy validate some": ["policy", "validate", "some-policy.json"],
    "policy list some": ["policy", "list", "some"],
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_what_is_typed(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"Debian's {shell}: tools/debian_servers.sh brings it")
    (tmp_path / "some-policy.json").touch()
    monkeypatch.chdir(tmp_path)
    environment = {"PS1": "ready> ", "HOME": str(tmp_path), "TERM": "dumb", "PROMPT_EOL_MARK": ""}
    with Terminal(program=SHELLS[shell], environment=environment) as terminal:

        def type_line(text: str, answer: str) -> None:
            terminal.wait_for("ready> ")
            terminal.seen = ""
            terminal.type(text)
            terminal.wait_for(answer)

        type_line(f"source <({shlex.join(COMMAND)} completion {shell}); echo lo'aded'\n", "loaded")
        type_line("breaker() { printf '<%s>' \"$@\"; echo ' is what it gets'; }; echo ma'de'\n", "made")
        for typed, words in TYPED.items():
            type_line(f"breaker {typed}\t\n", " is what it gets")
            assert "".join(f"<{word}>" for word in words) + " is what it gets" in terminal.seen


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    done = breaker("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert done.out == script(make_parser(), shell)
    subprocess.run(["bash", "-n"], input=script(make_parser(), "bash"), text=True, check=True, timeout=20)
    assert ("bashcompinit" in done.out) == (shell == "zsh")


def test_json_is_json_whatever_it_says() -> None:
    done = breaker("policy", "get", "\udcff\x1b", "--json")
    assert done.code == 2
    assert json.loads(done.out)["error"]["code"] == 2
