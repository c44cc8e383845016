"""``breaker policy set`` and ``delete``: shown, confirmed, written if the document is still the one that was read."""

from pathlib import Path

import pytest

from breaker import Policy
from support.places import InFiles, Where
from support.shell import Terminal, asleep, breaker
from support.watching import eventually

NAME = "http:payment-api"


def test_fields_are_merged_into_a_document_and_the_others_stay(where: Where) -> None:
    where.write(NAME, '{"failureThreshold": 9, "successThreshold": 4}')
    done = where.run("policy", "set", NAME, "failureThreshold=3", "openStateTimeout=30s", "--yes")
    assert (done.code, done.err) == (0, "")
    assert where.values(NAME) == {"failureThreshold": 3, "successThreshold": 4, "openStateTimeout": "30s"}
    assert "failureThreshold  9" in done.out
    assert "->  3" in done.out
    assert "openStateTimeout  - (1m, built-in)  ->  30s" in done.out
    assert "successThreshold" not in done.out


def test_a_document_is_made_where_there_is_none(where: Where) -> None:
    done = where.run("policy", "set", "/pkg.Users/Get", "failureThreshold=3", "--yes")
    assert (done.code, list(where.raw())) == (0, ["%2Fpkg.Users%2FGet.json"])
    assert "there is none yet" in done.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["failureThreshold=null", "failureRateThreshold=0.5"],
            {"failureThreshold": None, "failureRateThreshold": 0.5},
        ),
        (["mode=shadow"], {"mode": "shadow"}),
        (['mode="shadow"'], {"mode": "shadow"}),
        (['window={"time": "30s"}'], {"window": {"time": "30s"}}),
        (["openStateTimeout=1.5h"], {"openStateTimeout": "1.5h"}),
        (["openStateTimeout=300µs"], {"openStateTimeout": "300µs"}),
        (["openTimeoutMultiplier=2"], {"openTimeoutMultiplier": 2}),
        (["openTimeoutJitter=0.25"], {"openTimeoutJitter": 0.25}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_values_are_json_or_text_without_quotes(files: InFiles, words: list[str], expected: dict[str, object]) -> None:
    assert files.run("policy", "set", NAME, *words, "--yes").code == 0
    assert files.values(NAME) == expected
    assert Policy.from_json(files.text(NAME))


@pytest.mark.parametrize("words", [["failureThreshold="], ["--unset", "failureThreshold"]], ids=" ".join)
def test_a_field_is_taken_out(where: Where, words: list[str]) -> None:
    where.write("default", '{"failureThreshold": 20}')
    where.write(NAME, '{"failureThreshold": 9, "successThreshold": 4}')
    done = where.run("policy", "set", NAME, *words, "--yes")
    assert where.values(NAME) == {"successThreshold": 4}
    assert "failureThreshold  9  ->  - (20, default.json)" in done.out


def test_fields_may_stand_anywhere_between_options(files: InFiles) -> None:
    done = breaker("policy", "set", "--yes", NAME, "failureThreshold=3", *files.options, "successThreshold=4")
    assert done.code == 0, done
    assert files.values(NAME) == {"failureThreshold": 3, "successThreshold": 4}


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("failureThreshold=0", ["failureThreshold must be a whole number from 1", "got 0"]),
        ("failureThreshold=five", ["failureThreshold must be a whole number from 1", "'five'"]),
        ('failureThreshold="5"', ["write 5 without quotes"]),
        ("failureThreshold=5.0", ["a whole number"]),
        ("failureThreshold=-1", ["got -1"]),
        ("failureThreshold=true", ["got True (true or false)"]),
        ("failureThreshold=" + "9" * 5000, ["a whole number"]),
        ("failureThreshold=1e999", ["a whole number"]),
        ("failureThreshold=NaN", ["'NaN'"]),
        ("failureThreshold=[[[[", ["'[[[['"]),
        ("failureThreshold=" + "[" * 40_000, ["a whole number"]),
        ("openStateTimeout=60", ["openStateTimeout", 'write "60s" for seconds']),
        ("openStateTimeout=1d", ["'d' is not a unit"]),
        ("openStateTimeout=0s", ["longer than 0"]),
        ("mode=open", ['one of "auto", "forced_open"']),
        ("failureRateThreshold=50", ["write 0.5 for 50 %"]),
        ("window=100", ['write {"calls": 100}']),
        ('window={"calls": 1, "calls": 2}', ["calls must be there once"]),
        ('window={"calls": 0}', ["window.calls must be a whole number"]),
        ("failureTreshold=3", ["failureTreshold must be a field", "did you mean failureThreshold?"]),
        ("failure_threshold=3", ["rename it to failureThreshold"]),
        ("FAILURETHRESHOLD=3", ["rename it to failureThreshold"]),
        ("frobnicate=3", ["must be a field of a policy", "the fields are failureThreshold, successThreshold"]),
        ("failureThreshold", ["write failureThreshold=VALUE, or failureThreshold= to take it out"]),
        ("=3", ["is no field with a value"]),
        ("failureTreshold=", ["failureTreshold is not in the document; did you mean failureThreshold?"]),
        ("openStateTimeout=\udcff", ["openStateTimeout must be a duration"]),
        ("x\ny=\x1b[2J", ["must be a field", "\\n"]),
    ],
    ids=lambda value: ascii(value[:30]) if isinstance(value, str) else "",
)
def test_a_wrong_field_is_refused_with_its_remedy_and_nothing_is_written(
    files: InFiles, word: str, texts: list[str]
) -> None:
    files.write(NAME, '{"successThreshold": 4}')
    done = files.run("policy", "set", NAME, word, "--yes")
    done.failed(2, *texts)
    assert "\x1b" not in done.err
    assert (done.out, files.raw()) == ("", {f"{NAME}.json": b'{"successThreshold": 4}'})


def test_the_same_field_twice_is_refused(files: InFiles) -> None:
    for words in (["mode=auto", "mode=shadow"], ["mode=auto", "--unset", "mode"]):
        files.run("policy", "set", NAME, *words, "--yes").failed(2, "mode is given twice")
    assert files.raw() == {}


def test_what_people_write_at_first(files: InFiles) -> None:
    files.run("policy", "set", "failureThreshold=3", "--yes").failed(2, "the name is missing")
    files.run("policy", "set", NAME, "failureThreshold", "3", "--yes").failed(2, "write failureThreshold=VALUE")
    files.run("policy", "set", NAME, "failureThreshold", "=", "3", "--yes").failed(2, "write failureThreshold=VALUE")
    files.run("policy", "set", NAME, "--failureThreshold", "3", "--yes").failed(2, "are written failureThreshold=3")
    assert files.raw() == {}


def test_no_field_at_all_is_refused(files: InFiles) -> None:
    files.run("policy", "set", NAME, "--yes").failed(2, "no field is given", "--file")


@pytest.mark.parametrize("text", ['{"failureThres', "[1]", "", "\xff", '{"a": 1, "a": 2}'])
def test_a_document_that_is_no_json_object_is_not_merged_into_but_replaced_on_request(where: Where, text: str) -> None:
    where.write(NAME, text.encode("latin-1"))
    done = where.run("policy", "set", NAME, "failureThreshold=3", "--yes")
    assert done.code in (1, 2)
    assert NAME in done.err
    assert where.text(NAME) == text.encode("latin-1")
    assert where.run("policy", "set", NAME, "failureThreshold=3", "--replace", "--yes").code == 0
    assert where.values(NAME) == {"failureThreshold": 3}


def test_a_wrong_field_that_was_there_before_is_named_and_can_be_mended(where: Where) -> None:
    where.write(NAME, '{"successThreshold": "4"}')
    done = where.run("policy", "set", NAME, "failureThreshold=3", "--yes")
    done.failed(2, "successThreshold must be", "it was there before", "successThreshold=")
    assert where.run("policy", "set", NAME, "successThreshold=4", "--yes").code == 0
    assert where.values(NAME) == {"successThreshold": 4}


def test_a_field_of_a_newer_version_is_named_and_not_lost(where: Where) -> None:
    where.write(NAME, '{"shadowOf": "x"}')
    done = where.run("policy", "set", NAME, "failureThreshold=3", "--yes")
    done.failed(2, "shadowOf", "take it out with shadowOf=")
    assert where.values(NAME) == {"shadowOf": "x"}
    assert where.run("policy", "set", NAME, "failureThreshold=3", "shadowOf=", "--yes").code == 0
    assert where.values(NAME) == {"failureThreshold": 3}


def test_what_contradicts_once_put_together_is_refused_unless_forced(where: Where) -> None:
    done = where.run("policy", "set", NAME, "slowCallRateThreshold=0.5", "--yes")
    done.failed(2, "no program would take the policy", "slowCallDuration", "--force")
    assert where.raw() == {}
    assert where.run("policy", "set", NAME, "slowCallRateThreshold=0.5", "--yes", "--force").code == 0
    # What is contradictory already does not stand in the way of another change.
    done = where.run("policy", "set", NAME, "successThreshold=3", "slowCallRateThreshold=0.6", "--yes")
    assert done.code == 0
    assert "no program takes the policy, before and after this change" in done.err
    done = where.run("policy", "set", NAME, "slowCallDuration=1s", "--yes")
    assert (done.code, done.err) == (0, "")


def test_a_default_that_breaks_the_policy_of_another_document_is_refused(where: Where) -> None:
    where.write("default", '{"slowCallDuration": "1s", "slowCallRateThreshold": 0.5}')
    where.write(NAME, '{"slowCallRateThreshold": 0.9}')
    done = where.run("policy", "set", "default", "slowCallDuration=", "slowCallRateThreshold=", "--yes")
    done.failed(2, f"no program would take the policy of {NAME}")


def test_nothing_to_change_writes_nothing_and_asks_nothing(where: Where) -> None:
    where.write(NAME, '{"failureThreshold":3}')
    done = where.run("policy", "set", NAME, "failureThreshold=3")
    assert (done.code, done.err) == (0, "")
    assert "nothing to change" in done.out
    assert where.text(NAME) == b'{"failureThreshold":3}'


def test_a_dry_run_shows_the_difference_and_writes_nothing(where: Where) -> None:
    done = where.run("policy", "set", NAME, "failureThreshold=3", "--dry-run")
    assert (done.code, done.err, where.raw()) == (0, "", {})
    assert "->  3" in done.out
    done = where.run("policy", "set", NAME, "failureThreshold=3", "--dry-run", "--json")
    assert (done.json["written"], done.json["changes"]) == (False, {"failureThreshold": [None, 3]})


def test_json_says_what_was_written(where: Where) -> None:
    where.write("default", '{"successThreshold": 7}')
    where.write(NAME, '{"failureThreshold": 9}')
    done = where.run("policy", "set", NAME, "failureThreshold=", "mode=shadow", "--yes", "--json")
    said = done.json
    assert (said["name"], said["written"]) == (NAME, True)
    assert said["before"] == {"failureThreshold": 9}
    assert said["after"] == {"mode": "shadow"} == where.values(NAME)
    assert said["changes"] == {"failureThreshold": [9, None], "mode": [None, "shadow"]}
    assert said["effective"] == {"failureThreshold": [9, 5], "mode": ["auto", "shadow"]}
    assert said["revision"] == where.run("policy", "get", NAME, "--json").json["revision"]


# -- from a file --


def test_a_whole_document_from_a_file_or_from_standard_input(where: Where, tmp_path: Path) -> None:
    where.write(NAME, '{"successThreshold": 4}')
    file = tmp_path / "new.json"
    file.write_text('{"failureThreshold": 8}')
    assert where.run("policy", "set", NAME, "--file", str(file), "--yes").code == 0
    assert where.text(NAME) == b'{"failureThreshold": 8}'
    assert where.run("policy", "set", NAME, "--file", "-", "--yes", stdin='{"mode": "disabled"}').code == 0
    assert where.text(NAME) == b'{"mode": "disabled"}'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\xff", "not UTF-8"),
        (b"", "got nothing"),
        (b"[]", "a JSON object"),
        (b'{"failureThreshold": 0}', "failureThreshold must be"),
        (b" " * 70_000, "at most 65536 bytes"),
        (b"[" * 100_000, "at most 65536 bytes"),
        (b"[" * 60_000, "levels deep"),
    ],
    ids=["latin", "nothing", "array", "field", "long", "very long", "deep"],
)
def test_a_file_that_is_no_policy_is_refused(files: InFiles, tmp_path: Path, text: bytes, problem: str) -> None:
    file = tmp_path / "new.json"
    file.write_bytes(text)
    files.run("policy", "set", NAME, "--file", str(file), "--yes").failed(2, problem)
    files.run("policy", "set", NAME, "--file", "-", "--yes", stdin=text).failed(2, problem)
    assert files.raw() == {}


def test_a_file_that_cannot_be_read_is_named(files: InFiles, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.json")
    files.run("policy", "set", NAME, "--file", absent, "--yes").failed(2, absent, "there is no such file")
    files.run("policy", "set", NAME, "--file", str(tmp_path), "--yes").failed(2, str(tmp_path))
    files.run("policy", "set", NAME, "--file", absent, "mode=auto", "--yes").failed(2, "--file is the whole document")


# -- the question --


@pytest.mark.parametrize("command", [["set", NAME, "failureThreshold=3"], ["delete", NAME]], ids=["set", "delete"])
def test_without_a_terminal_and_without_yes_nothing_is_written(where: Where, command: list[str]) -> None:
    where.write(NAME, '{"failureThreshold": 9}')
    done = where.run("policy", *command)
    done.failed(5, "standard input is no terminal", "--yes")
    done = where.run("policy", *command, "--json")
    assert (done.code, done.json["error"]["kind"], done.json["error"]["code"]) == (5, "unconfirmed", 5)
    assert where.values(NAME) == {"failureThreshold": 9}


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("YES\n", 0), ("\n", 5), ("n\n", 5), ("yellow\n", 5), ("\x04", 5), ("\x03", 130)]
)
def test_a_terminal_is_asked(files: InFiles, answer: str, code: int) -> None:
    files.write(NAME, '{"failureThreshold": 9}')
    with Terminal("policy", "set", NAME, "failureThreshold=3", *files.options) as terminal:
        before = terminal.wait_for("Write it? [y/N] ")
        assert "failureThreshold" in before
        assert "->" in before
        if code == 130:  # the terminal of a session leader without a controlling terminal sends no signal itself
            eventually(lambda: asleep(terminal.process))
            terminal.process.send_signal(2)
        else:
            terminal.type(answer)
        assert terminal.end() == code
    assert "Traceback" not in terminal.seen
    assert files.values(NAME) == {"failureThreshold": 3 if code == 0 else 9}
    assert ("written, revision" in terminal.seen) == (code == 0)


def test_the_question_comes_on_standard_error_where_the_answer_goes_elsewhere(files: InFiles) -> None:
    with Terminal("policy", "delete", NAME, *files.options) as terminal:
        assert terminal.end() == 1
        assert "has no document" in terminal.seen


# -- delete --


def test_delete_shows_what_remains_and_removes(where: Where) -> None:
    where.write("default", '{"failureThreshold": 20}')
    where.write(NAME, '{"failureThreshold": 9}')
    done = where.run("policy", "delete", NAME, "--yes")
    assert (done.code, done.err, list(where.raw())) == (0, "", ["default.json"])
    assert "failureThreshold  9  ->  - (20, default.json)" in done.out
    assert "deleted" in done.out


def test_delete_of_nothing_names_what_is_similar(where: Where) -> None:
    where.write(NAME, "{}")
    where.run("policy", "delete", "http:payment-apo", "--yes").failed(1, "is not there", f"did you mean {NAME}?")
    done = where.run("policy", "delete", "grpc:x", "--yes", "--json")
    assert (done.code, done.json["error"]["kind"]) == (1, "no")


def test_a_document_that_is_not_valid_can_be_deleted(where: Where) -> None:
    where.write(NAME, '{"failureThres')
    assert where.run("policy", "delete", NAME, "--yes").code == 0
    assert where.raw() == {}
