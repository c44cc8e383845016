"""``breaker policy validate`` and ``schema``: for pipelines."""

import json
import os
from pathlib import Path

import jsonschema
import pytest

from breaker import policies
from breaker.sources import FileSource
from support.places import Where
from support.shell import breaker

GOOD = '{"failureThreshold": 3}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file: Path, text: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def test_good_files(folder: Path) -> None:
    write(folder / "a.json", GOOD)
    write(folder / "b.json", "\ufeff{}")
    done = breaker("policy", "validate", "a.json", "b.json")
    assert (done.code, done.out, done.err) == (0, "2 documents, all valid\n", "")


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ('{"failureThreshold": "5"}', "failureThreshold", "write 5 without quotes"),
        ('{"openStateTimeout": 60}', "openStateTimeout", 'write "60s" for seconds'),
        ('{"failure_threshold": 3}', "failure_threshold", "rename it to failureThreshold"),
        ('{"failureTreshold": 3}', "failureTreshold", "did you mean failureThreshold?"),
        ('{"mode": "auto", "mode": "shadow"}', "mode", "delete one of the two"),
        ('{"slowCallRateThreshold": 0.5}', "slowCallRateThreshold and slowCallDuration", "give the other one too"),
        ('{"failureThreshold": null}', "failureThreshold", "give one of them"),
        ('{"failureRateThreshold": 50}', "failureRateThreshold", "write 0.5 for 50 %"),
        ('{"window": {"calls": 1, "time": "1s"}}', "window", "keep one of the two"),
    ],
)
def test_file_field_and_remedy_are_named(folder: Path, text: str, field: str, remedy: str) -> None:
    write(folder / "good.json", GOOD)
    write(folder / "bad.json", text)
    done = breaker("policy", "validate", "good.json", "bad.json")
    assert (done.code, done.err) == (1, "")
    problem, summary = done.out.splitlines()
    assert problem.startswith("bad.json: ")
    assert field in problem
    assert remedy in problem
    assert summary == "2 documents, 1 not valid"
    said = breaker("policy", "validate", "good.json", "bad.json", "--json")
    assert said.code == 1
    assert (said.json["valid"], said.json["invalid"]) == (1, 1)
    good, bad = said.json["files"]
    assert good == {"file": "good.json", "valid": True, "problems": []}
    (found,) = bad["problems"]
    assert field in found["field"]
    assert remedy in found["remedy"]
    assert found["message"] == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "got nothing"),
        (b"{", "text that is no JSON"),
        (b"[]", "must be a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{" * 50_000, "levels deep"),
        (b" " * 100_000, "at most 65536 bytes"),
        (b'{"failureThreshold": NaN}', "NaN is not JSON"),
        (b'{"failureThreshold": ' + b"9" * 5000 + b"}", "failureThreshold must be"),
    ],
    ids=["empty", "cut", "array", "latin", "deep", "long", "nan", "huge"],
)
def test_what_is_no_document(folder: Path, text: bytes, problem: str) -> None:
    write(folder / "bad.json", text)
    done = breaker("policy", "validate", "bad.json")
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("bad.json: ")
    assert problem in done.out


def test_what_cannot_be_read(folder: Path) -> None:
    write(folder / "good.json", GOOD)
    os.mkfifo(folder / "pipe.json")
    (folder / "to-nothing.json").symlink_to("nowhere")
    done = breaker("policy", "validate", "good.json", "absent.json", "pipe.json", "to-nothing.json")
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0] == "absent.json: the document must be readable, got there is no such file"
    assert "not a regular file" in lines[1]
    assert lines[2].startswith("to-nothing.json: ")
    assert lines[3] == "4 documents, 3 not valid"


def test_patterns_and_directories(folder: Path) -> None:
    write(folder / "p/a.json", GOOD)
    write(folder / "p/deep/er/b.json", GOOD)
    write(folder / "p/.hidden.json", "[")
    write(folder / "p/notes.txt", "[")
    write(folder / "p/odd[1].json", GOOD)
    for word, count in (("p", 3), ("p/*.json", 2), ("p/**/*.json", 3), ("p/odd[1].json", 1), ("./p/", 3)):
        done = breaker("policy", "validate", word, "--json")
        assert (done.code, len(done.json["files"])) == (0, count), word
    assert len(breaker("policy", "validate", "p", "p/a.json", "p/*.json", "--json").json["files"]) == 3


@pytest.mark.parametrize("words", [["none*.json"], ["**/x.json"], ["empty"]], ids=" ".join)
def test_a_pattern_that_matches_nothing_is_a_mistake(folder: Path, words: list[str]) -> None:
    (folder / "empty").mkdir()
    breaker("policy", "validate", *words).failed(2, words[0], "no file")


def test_nothing_to_check_is_a_mistake(folder: Path) -> None:
    breaker("policy", "validate").failed(2, "nothing to check", "--source")
    write(folder / "a.json", GOOD)
    breaker("policy", "validate", "a.json", "--source", "file:.").failed(2, "files and --source")


@pytest.mark.parametrize("name", ["%zz.json", ".hidden.json", "a%2fb.json", "policy.yaml", ".json"])
def test_a_file_whose_name_programs_pass_over(folder: Path, name: str) -> None:
    write(folder / name, GOOD)
    done = breaker("policy", "validate", name)
    assert done.code == 1
    assert "named NAME.json" in done.out
    assert FileSource(folder, policies_path="/").list() == {}


def test_a_document_is_judged_with_the_default_beside_it(folder: Path) -> None:
    write(folder / "a/default.json", '{"slowCallDuration": "1s", "slowCallRateThreshold": 0.9}')
    write(folder / "a/x.json", '{"slowCallRateThreshold": 0.5}')
    write(folder / "b/x.json", '{"slowCallRateThreshold": 0.5}')
    assert breaker("policy", "validate", "a/x.json").code == 0
    done = breaker("policy", "validate", "a", "b")
    assert done.code == 1
    (problem, _) = done.out.splitlines()
    assert problem.startswith("b/x.json: slowCallRateThreshold and slowCallDuration must be")
    write(folder / "a/x.json", '{"slowCallRateThreshold": null}')
    done = breaker("policy", "validate", "a")
    assert '1s" (default.json)' in done.out or "1s' (default.json)" in done.out


def test_unknown_fields_can_be_allowed(folder: Path) -> None:
    write(folder / "a.json", '{"newer": {"than": ["this"]}}')
    done = breaker("policy", "validate", "a.json")
    assert done.code == 1
    assert "newer must be a field of a policy, got an unknown name" in done.out
    assert "--allow-unknown" in done.out
    assert breaker("policy", "validate", "a.json", "--allow-unknown").code == 0


def test_names_of_files_are_shown_without_what_a_terminal_obeys(folder: Path) -> None:
    name = b"\x1b[2J\xff.json"
    (folder / os.fsdecode(name)).write_bytes(b"[")
    done = breaker("policy", "validate", os.fsdecode(name))
    assert done.code == 1
    assert "\x1b" not in done.out
    assert breaker("policy", "validate", os.fsdecode(name), "--json").json["invalid"] == 1


def test_files_may_stand_between_options(folder: Path) -> None:
    for name in ("a.json", "b.json", "c.json"):
        write(folder / name, GOOD)
    done = breaker("policy", "validate", "a.json", "--json", "b.json", "--allow-unknown", "c.json")
    assert (done.code, done.json["valid"]) == (0, 3)


def test_standard_input(folder: Path) -> None:
    assert breaker("policy", "validate", "-", stdin=GOOD).out == "1 document, all valid\n"
    done = breaker("policy", "validate", "-", stdin='{"mode": "off"}')
    assert (done.code, done.out.splitlines()[0].startswith("-: mode must be one of")) == (1, True)


def test_the_documents_of_a_source(where: Where) -> None:
    where.write("good", GOOD)
    assert where.run("policy", "validate").out == "1 document, all valid\n"
    where.write("default", '{"slowCallDuration": "1s", "slowCallRateThreshold": 0.9}')
    where.write("bad", '{"failureThreshold": 0}')
    where.write("odd", '{"slowCallDuration": null}')
    done = where.run("policy", "validate")
    assert done.code == 1
    first, second, summary = done.out.splitlines()
    assert "bad.json: failureThreshold must be" in first
    assert "odd.json: slowCallRateThreshold and slowCallDuration must be" in second
    assert summary == "4 documents, 2 not valid"


def test_what_is_valid_here_a_program_takes_and_what_is_not_it_refuses(folder: Path) -> None:
    texts = [GOOD, "{}", "[", '{"failureThreshold": 0}', '{"openStateTimeout": "1m"}', '{"mode": "open"}', "", "null"]
    for number, text in enumerate(texts):
        write(folder / f"{number}.json", text)
    said = breaker("policy", "validate", ".", "--json").json
    stored = FileSource(folder, policies_path="/").list()
    assert {Path(each["file"]).stem: each["valid"] for each in said["files"]} == {
        name: each.error is None for name, each in stored.items()
    }


def test_the_schema(folder: Path) -> None:
    done = breaker("policy", "schema")
    assert json.loads(done.out) == policies.schema() == breaker("policy", "schema", "--json").json
    jsonschema.Draft202012Validator.check_schema(json.loads(done.out))
