"""Where a program's policies live: the service's name and the path of its documents."""

from __future__ import annotations

from breaker._frozen import Frozen
from breaker.policies.names import check_text, read_policies_path

__all__ = ["Config", "get_default_config"]

_ENVIRONMENTS = {"production": "prod", "development": "dev"}


class Config(Frozen):
    """What a `Provider` needs to know. Frozen, compared by value.

    Args:
        service_name: of the program, text that is not empty.
        policies_path: where its documents are; it starts with ``/``, and a missing ``/`` at its end is added.

    Raises:
        TypeError: anything but text.
        ValueError: empty, or a path that does not start with ``/``.

    .. versionadded:: 0.1
    """

    __slots__ = ("policies_path", "service_name")
    service_name: str
    policies_path: str

    def __init__(self, service_name: str, policies_path: str) -> None:
        check_text("service_name", service_name)
        self._set(service_name=service_name, policies_path=read_policies_path(policies_path))

    def __repr__(self) -> str:
        return f"Config(service_name={self.service_name!r}, policies_path={self.policies_path!r})"


def get_default_config(service_name: str, env: str) -> Config:
    """The `Config` with ``policies_path="/config/{env}/{service_name}/breakers/"``.

    Args:
        service_name: of the program.
        env: ``production`` becomes ``prod`` and ``development`` ``dev``; any other name is used as it is.

    Raises:
        TypeError: a name that is no text.
        ValueError: a name that is empty or holds a ``/``.

    .. versionadded:: 0.1
    """
    for what, text in (("service_name", service_name), ("env", env)):
        check_text(what, text)
        if "/" in text:
            raise ValueError(f"{what} is one level of a path and must not hold '/', got {text!r}")
    return Config(service_name, f"/config/{_ENVIRONMENTS.get(env, env)}/{service_name}/breakers/")
