"""A network that brings a write to the server and its answer to nobody, once."""

import socket
import threading

from support.etcd.ports import HOST


class Forgetful:
    """Listens before a server. The first transaction is handed on, and the connection ends before its answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self.endpoint = f"{HOST}:{self._listener.getsockname()[1]}"
        self.forgotten = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection((HOST, self._target)) as server:
            client.settimeout(10)
            server.settimeout(10)
            try:
                while request := client.recv(65_536):
                    server.sendall(request)
                    answer = server.recv(65_536)
                    if b"/v3/kv/txn" in request and not self.forgotten:
                        self.forgotten += 1
                        return
                    client.sendall(answer)
            except OSError:
                return

    def __enter__(self) -> "Forgetful":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
