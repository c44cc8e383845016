"""``--source``, ``--env``, ``--service``, TLS and credentials: by option and by the environment, right and wrong."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.etcd.ports import free_ports
from support.etcd.server import Server
from support.etcd.tls import Tls
from support.libraries import MISSING
from support.places import InEtcd, InFiles
from support.shell import Done, Terminal, breaker

NAME = "http:payment-api"
LIST = ("policy", "list")


def found(done: Done) -> bool:
    assert (done.code, done.err) == (0, ""), done
    return NAME in done.out


# -- where --


def test_the_environment_stands_for_options_and_options_win(files: InFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(NAME, "{}")
    monkeypatch.setenv("BREAKER_SOURCE", files.source)
    monkeypatch.setenv("BREAKER_ENV", "production")
    monkeypatch.setenv("BREAKER_SERVICE", "shop")
    assert found(breaker(*LIST))
    monkeypatch.setenv("BREAKER_SERVICE", "other")
    assert breaker(*LIST).out == ""
    assert found(breaker(*LIST, "--service", "shop"))
    monkeypatch.setenv("BREAKER_POLICIES_PATH", files.path)
    assert found(breaker(*LIST))
    monkeypatch.delenv("BREAKER_ENV")
    monkeypatch.delenv("BREAKER_SERVICE")
    assert found(breaker(*LIST))


def test_ways_to_write_a_directory(files: InFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(NAME, "{}")
    monkeypatch.chdir(files.root.parent)
    monkeypatch.setenv("HOME", str(files.root.parent))
    where = files.options[2:]
    for source in (
        f"file:{files.root}",
        f"file://{files.root}",
        "file:policies",
        "file:./policies/",
        "file:~/policies",
    ):
        assert found(breaker(*LIST, "--source", source, *where)), source


def test_production_and_prod_are_the_same(files: InFiles) -> None:
    files.write(NAME, "{}")
    assert found(breaker(*LIST, "--source", files.source, "--env", "prod", "--service", "shop"))
    assert found(breaker(*LIST, "--source", files.source, "--path", "/config/prod/shop/breakers"))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", "--source '' is none"),
        ("file:", "names no directory"),
        ("file:\0", "names no directory"),
        ("file:absent", "does not exist"),
        (f"file:{__file__}", "is not a directory"),
        ("file://host/dir", "names a host"),
        (".", "write file:."),
        ("/etc", "write file:/etc"),
        ("FILE:.", "is none"),
        ("etcd:", "is none"),
        ("http://127.0.0.1:2379", "write file:DIR, etcd://HOST:PORT"),
        ("127.0.0.1:2379", "write file:DIR, etcd://HOST:PORT"),
        ("etcd://", "is no HOST:PORT"),
        ("etcd://a,,b", "is no HOST:PORT"),
        ("etcd://a:x", "a:x"),
        ("etcd://a:99999999", "a:99999999"),
        ("etcd://a:1/config", "nothing may follow the port"),
        ("etcd://root:secret@a:1", "pass --user"),
        ("etcd://a b", "names no host"),
        ("etcd://http://a:1", "is no HOST:PORT"),
        ("zookeeper://a", "is none"),
    ],
    ids=ascii,
)
def test_a_source_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (LIST, ("doctor",), ("force-open", NAME), ("policy", "watch")):
        done = breaker(*command, "--source", source, "--env", "dev", "--service", "shop")
        assert done.code == 2, done
        assert text in done.err
        assert "secret" not in done.err
        assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "--env and --service missing"),
        (["--env", "dev"], "--service missing"),
        (["--service", "shop"], "--env missing"),
        (["--env", "", "--service", ""], "--env and --service missing"),
        (["--env", "a/b", "--service", "shop"], "must not hold '/'"),
        (["--path", "relative"], "must start with '/'"),
        (["--path", ""], "must not be empty"),
        (["--path", "/x", "--env", "dev"], "give one or the other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_must_be_clear_whose_documents(files: InFiles, options: list[str], text: str) -> None:
    breaker(*LIST, "--source", files.source, *options).failed(2, text)


def test_whoever_does_not_say_whose_is_told_what_there_is(files: InFiles) -> None:
    done = breaker(*LIST, "--source", files.source)
    assert "There are none yet below" in done.err
    files.write(NAME, "{}")
    (files.root / "config/dev/other service/breakers").mkdir(parents=True)
    done = breaker(*LIST, "--source", files.source)
    assert "There are: --env dev --service 'other service', --env prod --service shop." in done.err


def test_no_source_is_one_line_that_says_how(files: InFiles) -> None:
    breaker(*LIST).failed(2, "--source is missing", "BREAKER_SOURCE")


@pytest.mark.parametrize(
    "option",
    ["--user=u", "--password=p", "--password-file=f", "--tls", "--ca=f", "--cert=f", "--key=f", "--server-name=n"],
)
def test_options_of_etcd_mean_nothing_for_a_directory(files: InFiles, option: str) -> None:
    files.run(*LIST, option).failed(2, f"{option.partition('=')[0]} is for etcd")


def test_more_options_of_etcd_mean_nothing_for_a_directory(files: InFiles) -> None:
    for option in ("--transport=gateway", "--timeout=1s"):
        files.run(*LIST, option).failed(2, "is for etcd")


def test_a_directory_that_cannot_be_read(files: InFiles) -> None:
    files.directory.parent.mkdir(parents=True)
    files.directory.write_text("a file")
    for command in (LIST, ("policy", "get", NAME), ("force-open", NAME), ("policy", "validate")):
        files.run(*command).failed(3, "cannot read", str(files.directory), "a directory with one JSON document")


# -- etcd --


def test_several_endpoints_of_which_the_first_is_away(etcd: Server) -> None:
    where = InEtcd(etcd)
    where.write(NAME, "{}")
    (port,) = free_ports(1)
    for source in (f"etcd://127.0.0.1:{port},{etcd.endpoint}", f"etcd://127.0.0.1:{port}, etcd://{etcd.endpoint}/"):
        assert found(breaker(*LIST, "--source", source, *where.options[2:]))


@pytest.mark.parametrize("words", [LIST, ("policy", "set", NAME, "mode=auto", "--yes"), ("force-open", NAME)])
def test_a_server_that_is_away_is_one_line_and_code_3(words: tuple[str, ...]) -> None:
    (port,) = free_ports(1)
    options = ["--source", f"etcd://127.0.0.1:{port}", "--env", "dev", "--service", "shop"]
    breaker(*words, *options).failed(3, f"cannot connect to etcd at http://127.0.0.1:{port}", "nothing listens there")
    done = breaker(*words, *options, "--json")
    assert (done.code, done.json["error"]["kind"]) == (3, "source")


def test_the_other_transport(etcd: Server) -> None:
    if "grpc" in MISSING:
        pytest.skip("no gRPC for this Python")
    where = InEtcd(etcd)
    where.write(NAME, "{}")
    assert found(where.run(*LIST, "--transport", "etcd3"))
    assert where.run("policy", "set", NAME, "failureThreshold=3", "--yes", "--transport", "etcd3").code == 0
    assert where.values(NAME) == {"failureThreshold": 3}
    where.run(*LIST, "--transport", "carrier-pigeon").failed(2, "invalid choice")


def test_what_is_no_etcd(etcd: Server) -> None:
    peers = f"etcd://127.0.0.1:{etcd._peer_port}"
    done = breaker(*LIST, "--source", peers, "--env", "dev", "--service", "shop")
    done.failed(3, "no JSON gateway of etcd", "--transport etcd3")


# -- authentication --


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("guarded")) as server:
        server.api.set_up_access("r00t")
        server.api.add_reader("reader", "first", "/config/prod/shop/breakers/")
        server.api.add_reader("writer", "pass word", "/config/prod/shop/breakers/", kind="READWRITE")
        server.api.put(f"/config/prod/shop/breakers/{NAME}.json", "{}")
        yield server


def options_of(server: Server) -> list[str]:
    return ["--source", f"etcd://{server.endpoint}", "--env", "production", "--service", "shop"]


def test_a_user_by_option_by_environment_and_by_file(
    guarded: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_of(guarded)
    assert found(breaker(*LIST, *options, "--user", "writer", "--password", "pass word"))
    secret = tmp_path / "secret"
    secret.write_text("pass word\r\nanother line\n")
    assert found(breaker(*LIST, *options, "--user", "writer", "--password-file", str(secret)))
    monkeypatch.setenv("BREAKER_ETCD_PASSWORD", "pass word")
    assert found(breaker(*LIST, *options, "--user", "writer"))
    monkeypatch.setenv("BREAKER_ETCD_USER", "writer")
    assert found(breaker(*LIST, *options))
    assert breaker("policy", "set", NAME, "failureThreshold=3", "--yes", *options).code == 0


def test_a_password_is_asked_for_on_a_terminal(guarded: Server) -> None:
    with Terminal(*LIST, *options_of(guarded), "--user", "writer") as terminal:
        terminal.wait_for("Password of writer: ")
        terminal.type("pass word\n")
        assert terminal.end() == 0
        assert NAME in terminal.seen
        assert "pass word" not in terminal.seen
    breaker(*LIST, *options_of(guarded), "--user", "writer").failed(2, "BREAKER_ETCD_PASSWORD", "--password-file")


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ([], 3, "demands a user; pass --user and its password"),
        (["--user", "writer", "--password", "wrong"], 3, "refused the user or the password; check --user"),
        (["--user", "nobody", "--password", "wrong"], 3, "refused the user or the password; check --user"),
        (["--password", "wrong"], 2, "a password without a user"),
        (["--password-file", "absent"], 2, "a password without a user"),
        (["--user", "writer", "--password-file", "absent"], 2, "--password-file absent: No such file"),
        (["--user", "writer", "--password", "a", "--password-file", "b"], 2, "give one of the two"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_login_that_is_refused(guarded: Server, options: list[str], code: int, text: str) -> None:
    done = breaker(*LIST, *options_of(guarded), *options)
    done.failed(code, text)
    assert "wrong" not in done.err


def test_a_reader_may_not_write_and_is_told_how_to(guarded: Server) -> None:
    reader = ["--user", "reader", "--password", "first"]
    before = guarded.api.documents("/config/prod/shop/breakers/")
    for words in (
        ["policy", "set", NAME, "mode=shadow", "--yes"],
        ["policy", "delete", NAME, "--yes"],
        ["disable", NAME],
    ):
        done = breaker(*words, *options_of(guarded), *reader)
        done.failed(3, "denies permission", "etcdctl role grant-permission")
    assert guarded.api.documents("/config/prod/shop/breakers/") == before
    options = ["--source", f"etcd://{guarded.endpoint}", "--env", "dev", "--service", "other"]
    breaker(*LIST, *options, *reader).failed(3, "denies permission")


def test_the_command_that_takes_a_mode_back_has_the_user_and_no_password(guarded: Server, tmp_path: Path) -> None:
    secret = tmp_path / "the secret"
    secret.write_text("pass word")
    options = [*options_of(guarded), "--user", "writer", "--password-file", str(secret)]
    done = breaker("shadow", NAME, *options)
    assert "pass word" not in done.out
    back = shlex.split(done.out.partition("to take it back: ")[2])
    assert back[-4:] == ["--user", "writer", "--password-file", str(secret)]
    assert breaker(*back[1:], "--yes").code == 0
    assert "mode" not in guarded.api.documents("/config/prod/shop/breakers/")[f"{NAME}.json"].decode()
    done = breaker("shadow", NAME, *options[:-2], "--password", "pass word")
    assert "pass word" not in done.out
    breaker("auto", NAME, *options)


# -- TLS --


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("secure"), tls=tls, client_auth=True) as server:
        server.api.put(f"/config/prod/shop/breakers/{NAME}.json", "{}")
        yield server


def test_tls_by_option_and_by_environment(secure: Server, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["--env", "production", "--service", "shop"]
    own = tls.client("operator")
    files = {"ca": tls.ca, "cert": own.cert, "key": own.key}
    given = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    for source in (f"etcd://{secure.endpoint}", f"etcds://{secure.endpoint}"):
        assert found(breaker(*LIST, "--source", source, *where, *given))
    assert found(breaker("policy", "get", NAME, "--source", f"etcds://{secure.endpoint}", *where, *given))
    for name, file in files.items():
        monkeypatch.setenv(f"BREAKER_ETCD_{name.upper()}", str(file))
    assert found(breaker(*LIST, "--source", f"etcd://{secure.endpoint}", *where))
    for scheme in ("etcd", "etcds"):
        done = breaker("doctor", "--source", f"{scheme}://{secure.endpoint}", *where)
        assert done.code == 0, done
        assert "agree within" in done.out


def test_tls_that_fails_says_which_option_helps(secure: Server, tls: Tls, tmp_path: Path, etcd: Server) -> None:
    where = ["--env", "production", "--service", "shop"]
    source = ["--source", f"etcds://{secure.endpoint}", *where]
    breaker(*LIST, *source).failed(3, "its certificate is not accepted", "pass --ca for the authority")
    done = breaker(*LIST, *source, "--ca", str(tls.ca))
    done.failed(3)
    assert "--cert" in done.err or "closed the connection" in done.err
    other = tmp_path / "other.pem"
    other.write_text("nothing of that kind")
    breaker(*LIST, *source, "--ca", str(other)).failed(2, str(other), "PEM form")
    breaker(*LIST, *source, "--ca", str(tmp_path / "absent")).failed(2, "absent", "No such file")
    breaker(*LIST, *source, "--key", str(other)).failed(2, "pass --cert too")
    breaker(*LIST, "--source", f"etcds://{etcd.endpoint}", *where).failed(3, "write etcd://")
    breaker(*LIST, "--source", f"etcd://{etcd.endpoint}", "--tls", *where).failed(3, "write etcd://")
    done = breaker(*LIST, "--source", f"etcd://{secure.endpoint}", *where)
    done.failed(3, "etcds://")
