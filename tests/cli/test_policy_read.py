"""``breaker policy list``, ``get`` and ``diff``."""

import json
from pathlib import Path

import pytest

from breaker import Policy
from support.places import InFiles, Where
from support.shell import Terminal

NAME = "http:payment-api"
HOSTILE = "a\x1b]0;owned\x07\nb\x85"


def fill(where: Where) -> None:
    where.write("default", '{"failureThreshold": 20, "successThreshold": 3}')
    where.write(NAME, '{"failureThreshold": 9, "openStateTimeout": "30s"}')


# -- list --


def test_list_shows_each_document_and_what_is_wrong_with_it(where: Where) -> None:
    fill(where)
    where.write("bad", '{"failureThreshold": "5"}')
    done = where.run("policy", "list")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["NAME", "REVISION", "DOCUMENT"]
    assert [line.split()[0] for line in lines[1:]] == ["bad", "default", NAME]
    assert "NOT VALID" in lines[1]
    assert "write 5 without quotes" in lines[1]
    assert lines[3].endswith("failureThreshold=9 openStateTimeout=30s")


def test_list_as_json(where: Where) -> None:
    fill(where)
    where.write("bad", "[")
    said = where.run("policy", "list", "--json").json
    assert (said["source"], said["path"]) == (where.source, where.path)
    by_name = {each["name"]: each for each in said["documents"]}
    assert by_name[NAME]["document"] == {"failureThreshold": 9, "openStateTimeout": "30s"}
    assert (by_name[NAME]["valid"], by_name[NAME]["error"]) == (True, None)
    assert by_name[NAME]["place"].endswith(f"{where.path}{NAME}.json")
    assert (by_name["bad"]["valid"], by_name["bad"]["document"]) == (False, None)
    assert "no JSON" in by_name["bad"]["error"]
    assert len({each["revision"] for each in said["documents"]}) == 3


def test_an_empty_place_says_so(where: Where) -> None:
    done = where.run("policy", "list")
    assert (done.code, done.out) == (0, "")
    assert "no documents at " in done.err
    assert where.run("policy", "list", "--json").json["documents"] == []


# -- get --


def test_get_shows_the_document_and_where_each_field_is_from(where: Where) -> None:
    fill(where)
    done = where.run("policy", "get", NAME)
    assert (done.code, done.err) == (0, "")
    assert '{"failureThreshold": 9, "openStateTimeout": "30s"}' in done.out
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.out.splitlines() if line.startswith("  f")}
    assert lines["failureThreshold"] == ["9", "its own document"]
    assert "successThreshold       3               default.json" in done.out
    assert "halfOpenMaxCalls       1               built in, or the program's default policy" in done.out


def test_get_as_json_agrees_with_a_program(where: Where) -> None:
    fill(where)
    said = where.run("policy", "get", NAME, "--json").json
    effective = said["effective"]
    assert effective["from"]["failureThreshold"] == "own"
    assert effective["from"]["successThreshold"] == "default.json"
    assert effective["from"]["mode"] == "built-in"
    assert effective["error"] is None
    with where.follow() as provider:
        policy = provider.get_breaker(NAME).policy
    without_none = {key: value for key, value in effective["policy"].items() if value is not None}
    assert Policy.from_json(json.dumps(without_none)) == policy
    assert set(effective["policy"]) == {field.key for field in Policy.fields.values()}


def test_get_of_a_breaker_without_a_document(where: Where) -> None:
    fill(where)
    done = where.run("policy", "get", "http:payment-apo")
    assert (done.code, done.err) == (0, "")
    assert f"has no document of its own; did you mean {NAME}?" in done.out
    assert "failureThreshold       20              default.json" in done.out
    said = where.run("policy", "get", "http:payment-apo", "--json").json
    assert (said["document"], said["revision"], said["valid"]) == (None, None, True)
    assert said["effective"]["policy"]["failureThreshold"] == 20


def test_get_of_default(where: Where) -> None:
    fill(where)
    said = where.run("policy", "get", "default", "--json").json
    assert said["effective"]["from"]["failureThreshold"] == "own"
    assert "policy of all breakers without a document of their own" in where.run("policy", "get", "default").out


def test_get_of_a_document_that_is_not_valid(where: Where) -> None:
    where.write(NAME, b'{"failureThreshold": "\x1b[2J\xff"}')
    where.write("default", "[")
    done = where.run("policy", "get", NAME)
    assert done.code == 0
    assert "not valid: " in done.out
    assert "default.json is left out: " in done.out
    assert "\x1b" not in done.out
    said = where.run("policy", "get", NAME, "--json").json
    assert (said["valid"], said["effective"]["policy"]["failureThreshold"]) == (False, 5)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"x": 1e999}', {"x": "1e999"}),
        ('{"x": [-1E400]}', {"x": ["-1E400"]}),
        ('{"x": 1%s}' % ("0" * 5000), {"x": "1" + "0" * 5000}),
        ('{"x": NaN}', None),
    ],
    ids=["too large", "too small", "too long", "no number"],
)
def test_what_is_printed_is_json_whatever_a_document_says(
    where: Where, text: str, shown: dict[str, object] | None
) -> None:
    where.write(NAME, text)
    assert where.run("policy", "get", NAME, "--json").json["document"] == shown
    (listed,) = where.run("policy", "list", "--json").json["documents"]
    assert (listed["document"], listed["valid"]) == (shown, shown is not None)


def test_get_says_what_no_program_takes(where: Where) -> None:
    where.write(NAME, '{"slowCallRateThreshold": 0.5}')
    assert "no program takes this" in where.run("policy", "get", NAME).out
    assert "slowCallDuration" in where.run("policy", "get", NAME, "--json").json["effective"]["error"]


def test_names_and_documents_of_others_reach_no_terminal_as_they_are(where: Where) -> None:
    where.write(HOSTILE, '{"failureThreshold": 3, "x\\u001b[31m": "\\u0007\\u2028"}')
    for words in (["list"], ["get", HOSTILE], ["diff", HOSTILE], ["delete", HOSTILE, "--dry-run"]):
        done = where.run("policy", *words)
        assert done.code in (0, 1), done
        for hostile in "\x1b\x07\x85\u2028":
            assert hostile not in done.out + done.err
    assert where.run("policy", "list", "--json").json["documents"][0]["name"] == HOSTILE


def test_a_terminal_gets_a_table_and_colours_unless_it_does_not_want_any(files: InFiles) -> None:
    fill(files)
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with Terminal("policy", "get", NAME, *files.options, environment=environment) as terminal:
            assert terminal.end() == 0
            assert ("\x1b[" in terminal.seen) == coloured
        with Terminal("policy", "list", *files.options, environment=environment) as terminal:
            assert terminal.end() == 0
            assert ("\x1b[" in terminal.seen) == coloured
            assert "failureThreshold=9" in terminal.seen


# -- diff --


def test_diff_with_a_file(where: Where, tmp_path: Path) -> None:
    fill(where)
    file = tmp_path / "new.json"
    file.write_text('{"failureThreshold": 4, "mode": "shadow"}')
    done = where.run("policy", "diff", NAME, str(file))
    assert (done.code, done.err) == (1, "")
    assert done.out.splitlines()[2:] == [
        "- failureThreshold: 9",
        "+ failureThreshold: 4",
        "- openStateTimeout: 30s",
        "+ mode: shadow",
    ]
    said = where.run("policy", "diff", NAME, str(file), "--json").json
    assert said["changes"] == {
        "failureThreshold": [9, 4],
        "openStateTimeout": ["30s", None],
        "mode": [None, "shadow"],
    }
    assert (said["same"], said["right"]) == (False, str(file))


def test_diff_that_finds_nothing(where: Where, tmp_path: Path) -> None:
    fill(where)
    file = tmp_path / "same.json"
    file.write_text('{"openStateTimeout":"30s",\n"failureThreshold":9}')
    done = where.run("policy", "diff", NAME, str(file))
    assert (done.code, done.err) == (0, "")
    assert "say the same" in done.out
    assert where.run("policy", "diff", NAME, "-", stdin=file.read_text()).code == 0


def test_diff_of_a_document_and_what_its_breaker_would_have_without_it(where: Where) -> None:
    fill(where)
    said = where.run("policy", "diff", NAME, "--json").json
    assert said["changes"] == {"failureThreshold": [20, 9], "openStateTimeout": ["1m", "30s"]}


def test_diff_of_two_breakers_and_of_their_policies(where: Where) -> None:
    fill(where)
    where.write("grpc:users", '{"failureThreshold": 9}')
    said = where.run("policy", "diff", NAME, "grpc:users", "--json").json
    assert said["changes"] == {"openStateTimeout": ["30s", None]}
    said = where.run("policy", "diff", NAME, "grpc:users", "--resolved", "--json").json
    assert said["changes"] == {"openStateTimeout": ["30s", "1m"]}
    said = where.run("policy", "diff", NAME, "never:seen", "--resolved", "--json").json
    assert said["changes"] == {"failureThreshold": [9, 20], "openStateTimeout": ["30s", "1m"]}


def test_diff_of_a_policy_and_that_of_a_file_in_its_place(where: Where, tmp_path: Path) -> None:
    fill(where)
    file = tmp_path / "new.json"
    file.write_text("{}")
    said = where.run("policy", "diff", NAME, str(file), "--resolved", "--json").json
    assert said["changes"] == {"failureThreshold": [9, 20], "openStateTimeout": ["30s", "1m"]}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["never:seen"], 1, "has no document"),
        ([NAME, "never:seen"], 1, "never:seen has no document"),
        ([NAME, "absent.json"], 2, "there is no such file"),
        ([NAME, "x" * 256], 2, "is no file, and no breaker's name"),
        ([NAME, ""], 2, "is no file, and no breaker's name"),
        (["http:payment-apo", NAME], 1, f"did you mean {NAME}?"),
    ],
    ids=ascii,
)
def test_diff_of_what_is_not_there(where: Where, words: list[str], code: int, text: str) -> None:
    fill(where)
    where.run("policy", "diff", *words).failed(code, text)


@pytest.mark.parametrize("text", [b"\xff", b"[]", b"{", b"", b'{"a": 1, "a": 2}'])
def test_diff_with_a_file_that_is_no_document(files: InFiles, tmp_path: Path, text: bytes) -> None:
    fill(files)
    file = tmp_path / "bad.json"
    file.write_bytes(text)
    for options in ([], ["--resolved"]):
        files.run("policy", "diff", NAME, str(file), *options).failed(1, str(file))
    files.write("bad", text)
    files.run("policy", "diff", NAME, "bad").failed(1, "bad.json")
