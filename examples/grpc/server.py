"""The user service: a process of its own, which `Control.SetTrouble` makes fail from outside.

``python server.py DIRECTORY``: with the compiled proto in that directory. Prints its port and ends with its input.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent import futures

import grpc

sys.path.insert(0, sys.argv[1])

import users_pb2
import users_pb2_grpc

USERS = {"ada": "Ada Lovelace", "grace": "Grace Hopper"}


class UserService(users_pb2_grpc.UserServiceServicer):
    """``trouble`` is the text of the error that `GetUser` fails with; `ListUsers` has none."""

    def __init__(self) -> None:
        self.trouble = ""
        self.requests = 0

    def GetUser(self, request: users_pb2.GetUserRequest, context: grpc.ServicerContext) -> users_pb2.User:
        self.requests += 1
        if self.trouble:
            context.abort(grpc.StatusCode.UNAVAILABLE, self.trouble)
        if request.id not in USERS:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no user {request.id!r}")
        return users_pb2.User(id=request.id, name=USERS[request.id])

    def ListUsers(self, request: users_pb2.ListUsersRequest, context: grpc.ServicerContext) -> Iterator[users_pb2.User]:
        for user_id, name in USERS.items():
            yield users_pb2.User(id=user_id, name=name)


class Control(users_pb2_grpc.ControlServicer):
    """The way from outside."""

    def __init__(self, users: UserService) -> None:
        self.users = users

    def SetTrouble(self, request: users_pb2.Trouble, context: grpc.ServicerContext) -> users_pb2.Requests:
        self.users.trouble = request.text
        return users_pb2.Requests(get_user=self.users.requests)


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    users = UserService()
    users_pb2_grpc.add_UserServiceServicer_to_server(users, server)
    users_pb2_grpc.add_ControlServicer_to_server(Control(users), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(grace=5).wait()


if __name__ == "__main__":
    main()
