"""The server that the gRPC benchmarks call, a process of its own: echoes unary calls. Ends with its input."""

import sys
from concurrent import futures
from typing import Any

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Echo()])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
