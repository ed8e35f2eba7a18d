"""Daemons with nothing of ours in them: both services and the seccomp side channel, as Sysbox's own behave at their sockets.

Every request is written to a file, a JSON object a line, before it is answered. Answers come from a script: a call gets the
response of the entry of its method and id, else of the first entry of its method. An id `fail-CODE` is answered with that gRPC
code. Like sysbox-fs it refuses a ContainerData without a Ctime, and reads a seccomp message by one read of 100 bytes.
"""

import argparse
import array
import concurrent.futures
import json
import os
import signal
import socket
import stat
import sys
import threading

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

import wire

SECCOMP_READ = 100  # bytes, as the reference


class Log:
    """The file of requests."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8", buffering=1)
        self.lock = threading.Lock()

    def write(self, **record):
        """Adds a record, whole and at once."""
        with self.lock:
            self.file.write(json.dumps(record) + "\n")


class RawRequests:
    """A server that hands the bytes of requests to their methods too, for generated code to add services to."""

    def __init__(self, server):
        self.server = server

    def add_generic_rpc_handlers(self, handlers):
        """Nothing: each method is added by itself below."""

    def add_registered_method_handlers(self, service, methods):
        """Adds the methods of a service."""
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {name: self.both(one) for name, one in methods.items()}),)
        )

    @staticmethod
    def both(handler):
        """The handler, given the message and its bytes."""
        return grpc.unary_unary_rpc_method_handler(
            handler.unary_unary, lambda data: (handler.request_deserializer(data), data), handler.response_serializer
        )


class Daemon:
    """The methods of one service."""

    def __init__(self, service, script, log):
        self.service = service
        self.calls = [call for call in script if call.service is service]
        self.log = log
        self.done = set()
        for method in service.descriptor.methods_by_name:
            setattr(self, method, self.answers(method))

    def answers(self, method):
        """What answers calls of a method."""

        def answer(request_and_data, context):
            request, data = request_and_data
            call_id = getattr(request, "id", getattr(request, "Id", ""))
            self.log.write(
                method=f"{self.service.name}/{method}",
                request=wire.as_json(request),
                data=data.hex(),
                canonical=request.SerializeToString(deterministic=True).hex(),
                metadata={key: value for key, value in context.invocation_metadata() if isinstance(value, str)},
            )
            if call_id.startswith("fail-"):
                context.abort(grpc.StatusCode[call_id.removeprefix("fail-")], f"{method} für {call_id} geht nicht")
            if "Ctime" in request.DESCRIPTOR.fields_by_name and not request.HasField("Ctime"):
                context.abort(grpc.StatusCode.UNKNOWN, "timestamp: nil Timestamp")
            same = [call for call in self.calls if call.method == method]
            own = [call for call in same if getattr(call.request, "id", getattr(call.request, "Id", "")) == call_id]
            chosen = (own or same)[:1]
            if not chosen:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the script has no {method}")
            if chosen[0].once is not None and (method, call_id) in self.done:
                context.abort(grpc.StatusCode[chosen[0].once], f"redundant {method} of {call_id}")
            self.done.add((method, call_id))
            return chosen[0].response

        return answer


def serve(services, path, script, log):
    """Starts a server of services on a socket."""
    # As many threads as there may be calls at once: each waits for its turn to write.
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    checker = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    for service in services:
        service.add(Daemon(service, script, log), RawRequests(server))
        checker.set(service.name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([service.name for service in services] + [reflection.SERVICE_NAME], server)
    server.add_insecure_port("unix:" + path)
    server.start()
    os.chmod(path, 0o600)
    return server


def serve_seccomp(path, log):
    """Starts the side channel."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()

    def accept():
        while True:
            take_seccomp(listener.accept()[0], log)

    threading.Thread(target=accept, daemon=True).start()


def take_seccomp(connection, log):
    """Takes one descriptor. It is proved by writing to it whose it is, unless it is that of a filter, which nobody writes to."""
    with connection:
        data, ancillary, flags, _ = connection.recvmsg(SECCOMP_READ, socket.CMSG_SPACE(8 * 4))
        fds = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        modes = [stat.S_IFMT(os.fstat(fd).st_mode) for fd in fds]
        filters = [fd for fd in fds if "seccomp notify" in os.readlink(f"/proc/self/fd/{fd}")]
        log.write(
            seccomp=data.decode("utf-8", "replace"),
            fds=modes,
            filters=len(filters),
            truncated=bool(flags & socket.MSG_CTRUNC),
        )
        try:
            container = json.loads(data)["cntrId"]
        except ValueError:
            # The reference neither answers nor closes; here the end of the connection can be waited for.
            container = "refuse"
        for fd in fds:
            if fd not in filters:
                os.write(fd, container.encode())
            os.close(fd)
        if container != "refuse":
            connection.sendall(b"nak" if container == "wrong" else b"ack")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sockets", help="directory of the sockets")
    parser.add_argument("script", help="file with the answers")
    parser.add_argument("log", help="file that requests are written to")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="what is put in for ${NAME}")
    arguments = parser.parse_args()

    log = Log(arguments.log)
    script = wire.read_script(arguments.script, arguments.set)
    path = lambda name: os.path.abspath(os.path.join(arguments.sockets, name))
    # Sysbox's own daemons know nothing of our extension.
    servers = [
        serve([wire.MGR], path(wire.MGR_SOCKET), script, log),
        serve([wire.FS], path(wire.FS_SOCKET), script, log),
    ]
    serve_seccomp(path(wire.SECCOMP_SOCKET), log)
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    for server in servers:
        server.stop(grace=None)
    return 0


if __name__ == "__main__":
    # Threads inherit the mask, so that the signals are left to be waited for.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(main())
