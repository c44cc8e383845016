"""A client of the user service whose every method has a breaker, through an outage and out of it.

Run it with ``python main.py``. It compiles the proto, starts the service in a process of its own on loopback, makes it
fail from outside, changes the policy of one method while it runs, and ends in about a second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import structlog

import breaker
from breaker.integrations.grpc import BreakerInterceptor
from breaker.sources import FileSource, PolicyStore
from compile_proto import compiled

GET_USER = "/users.v1.UserService/GetUser"
CONFIG = breaker.get_default_config("shop", "development")


@contextmanager
def user_service(compiled_proto: Path) -> Iterator[str]:
    """The service in a process of its own; gives its address."""
    program = Path(__file__).parent / "server.py"
    command = [sys.executable, str(program), str(compiled_proto)]
    # Leaving the block closes the service's input, which is its end.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield f"127.0.0.1:{int(process.stdout.readline())}"


class Users:
    """What the rest of a program would use: names of users, from the service or from the cache."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = users_pb2_grpc.UserServiceStub(channel)
        self.cache: dict[str, str] = {}

    def name(self, user_id: str) -> str:
        try:
            user = self.stub.GetUser(users_pb2.GetUserRequest(id=user_id), timeout=5)
        except breaker.BreakerOpenError as rejected:  # also a grpc.RpcError, so it comes first
            return f"{self.cache.get(user_id, 'unknown')} (cached; not asked, {rejected.name} is {rejected.state})"
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return f"nobody ({error.details()})"
            return f"{self.cache.get(user_id, 'unknown')} (cached; {error.code().name}: {error.details()})"
        self.cache[user_id] = user.name
        return user.name


def outage(
    users: Users, control: users_pb2_grpc.ControlStub, policies: PolicyStore, protected: breaker.Breaker
) -> None:
    """The service fails: the cache answers. It recovers: the breaker finds out."""
    before = control.SetTrouble(users_pb2.Trouble(text="the database is down")).get_user
    for _ in range(5):
        print("failing:  ", users.name("ada"))
    print("list:     ", ", ".join(user.name for user in users.stub.ListUsers(users_pb2.ListUsersRequest())))

    # The policy of this one method, while the breaker is open: try again sooner.
    policies.put(GET_USER, {"openStateTimeout": "200ms"})
    while protected.policy.open_state_timeout != 0.2:
        time.sleep(0.01)

    after = control.SetTrouble(users_pb2.Trouble(text="")).get_user
    print("requests of 5 calls that reached the service:", after - before)
    time.sleep(protected.retry_after)
    print("recovered:", users.name("ada"))


def main(work: Path) -> None:
    breaker.logs.configure_json()
    policies = FileSource(work / "policies", poll_interval=0.05, policies_path=CONFIG.policies_path)
    policies.put("default", {"failureThreshold": 3, "successThreshold": 1, "openStateTimeout": "1m"})
    logger = structlog.get_logger("breaker")
    with (
        user_service(work) as address,
        breaker.Provider(CONFIG, logger=logger, policy_source=policies) as provider,
        grpc.insecure_channel(address) as bare,
    ):
        # The one line: each method of whatever is called through this channel has a breaker.
        channel = grpc.intercept_channel(bare, BreakerInterceptor(provider))
        users = Users(channel)
        print("healthy:  ", users.name("ada"))
        print("not found:", users.name("eve"))
        outage(users, users_pb2_grpc.ControlStub(bare), policies, provider.get_breaker(GET_USER))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        compiled(temporary)
        import users_pb2  # made just now; a program of yours imports them at its top
        import users_pb2_grpc

        main(Path(temporary))
