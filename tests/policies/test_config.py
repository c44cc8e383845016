"""Where policies live: the configuration."""

import copy
import pickle
from typing import Any

import pytest

from breaker import Config, get_default_config


def test_a_config_holds_what_it_is_given() -> None:
    config = Config("my-service", "/config/dev/my-service/breakers/")
    assert (config.service_name, config.policies_path) == ("my-service", "/config/dev/my-service/breakers/")


@pytest.mark.parametrize(("path", "kept"), [("/a", "/a/"), ("/a/", "/a/"), ("/a//", "/a//"), ("/", "/")])
def test_a_missing_slash_at_the_end_is_added(path: str, kept: str) -> None:
    assert Config("svc", path).policies_path == kept


@pytest.mark.parametrize("path", ["config/", "./config/", " /config/", "C:/config/", "."])
def test_a_path_starts_with_a_slash(path: str) -> None:
    with pytest.raises(ValueError, match="policies_path must start with '/', like '/config/"):
        Config("svc", path)


@pytest.mark.parametrize("value", [None, 5, b"svc", True, ["svc"]], ids=repr)
def test_a_config_is_text(value: Any) -> None:
    kind = type(value).__name__
    with pytest.raises(TypeError, match=f"service_name must be text, got {kind}"):
        Config(value, "/a/")
    with pytest.raises(TypeError, match=f"policies_path must be text, got {kind}"):
        Config("svc", value)


def test_neither_is_empty() -> None:
    with pytest.raises(ValueError, match="service_name must not be empty"):
        Config("", "/a/")
    with pytest.raises(ValueError, match="policies_path must not be empty"):
        Config("svc", "")


def test_a_config_is_a_frozen_value() -> None:
    config = Config("svc", "/a")
    assert config == Config("svc", "/a/")
    assert hash(config) == hash(Config("svc", "/a/"))
    assert config not in {Config("svc", "/b/"), Config("other", "/a/"), ("svc", "/a/")}
    with pytest.raises(AttributeError, match="frozen"):
        config.service_name = "other"
    with pytest.raises(AttributeError, match="frozen"):
        del config.policies_path
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config
    assert repr(config) == "Config(service_name='svc', policies_path='/a/')"


@pytest.mark.parametrize(
    ("env", "part"),
    [
        *(("production", "prod"), ("development", "dev"), ("prod", "prod"), ("dev", "dev"), ("staging", "staging")),
        *(
            ("Production", "Production"),
            ("produktion", "produktion"),
            ("qa 2", "qa 2"),
            ("development ", "development "),
        ),
    ],
)
def test_the_default_path_names_environment_and_service(env: str, part: str) -> None:
    # S120
    config = get_default_config("my-service", env)
    assert config == Config("my-service", f"/config/{part}/my-service/breakers/")


@pytest.mark.parametrize(
    ("service", "env", "error", "message"),
    [
        ("", "dev", ValueError, "service_name must not be empty"),
        ("svc", "", ValueError, "env must not be empty"),
        ("a/b", "dev", ValueError, "service_name is one level of a path and must not hold '/', got 'a/b'"),
        ("svc", "/", ValueError, "env is one level of a path and must not hold '/', got '/'"),
        (None, "dev", TypeError, "service_name must be text, got NoneType"),
        ("svc", b"dev", TypeError, "env must be text, got bytes"),
    ],
)
def test_a_wrong_service_or_environment(service: Any, env: Any, error: type[Exception], message: str) -> None:
    # S120
    with pytest.raises(error) as caught:
        get_default_config(service, env)
    assert str(caught.value) == message
