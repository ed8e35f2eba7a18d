"""A client with nothing of ours in it: makes the calls of a script and checks every answer.

Prints a line for each check; its exit code is 1 if one failed.
"""

import argparse
import concurrent.futures
import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import wire

DEADLINE = 30  # seconds, of each call on a machine that has much else to do


class Checks:
    """What was checked so far."""

    def __init__(self):
        self.done = 0
        self.failed = 0

    def check(self, what, have, want):
        """Notes whether something is as it should be."""
        self.done += 1
        if have == want:
            print(f"ok {what}")
        else:
            self.failed += 1
            print(f"FAILED {what}: want {want!r}, have {have!r}")


class RawAnswers:
    """A channel that keeps the bytes of answers, for generated stubs to be made over."""

    def __init__(self, channel):
        self.channel = channel

    def unary_unary(self, path, request_serializer, response_deserializer, **options):
        """The call of a method; it answers the message and its bytes."""

        def both(data):
            return response_deserializer(data), data

        return self.channel.unary_unary(path, request_serializer, both, **options)


def make(call, channel, checks):
    """Makes a call, as often as it says, at once, and checks the answers."""
    method = getattr(call.service.stub(RawAnswers(channel)), call.method)

    def once(_):
        try:
            return "OK", "", *method(call.request, timeout=DEADLINE)
        except grpc.RpcError as error:
            return error.code().name, error.details(), None, None

    with concurrent.futures.ThreadPoolExecutor(min(call.times, 64)) as pool:
        answers = list(pool.map(once, range(call.times)))
    wrong = [answer for answer in answers if answer[0] != call.code]
    checks.check(f"{call}: {call.times} times", wrong, [])
    for code, message, response, data in answers[:1] + wrong:
        if call.message:
            checks.check(f"{call}: {call.message!r} is in {message!r}", call.message in message, True)
        if code == "OK" and call.response is not None:
            checks.check(f"{call}: response", response, call.response)
        if code == "OK":
            checks.check(f"{call}: bytes", data, response.SerializeToString(deterministic=True))


def outcome(call):
    """What a call answers, or the name of its code."""
    try:
        return call()
    except grpc.RpcError as error:
        return error.code().name


def check_health(channel, services, idle, checks):
    """Whether the daemon says that it and its services serve, but for those that it has nothing behind."""
    stub = health_pb2_grpc.HealthStub(channel)

    def status(name):
        return outcome(lambda: stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE).status)

    states = health_pb2.HealthCheckResponse
    for name in ["", *services]:
        checks.check(f"health of {name!r}", status(name), states.NOT_SERVING if name in idle else states.SERVING)
    checks.check("health of an unknown service", status("no.such"), "NOT_FOUND")


def check_reflection(channel, services, checks):
    """Whether services and their files can be asked for, as grpcurl does."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = [reflection_pb2.ServerReflectionRequest(list_services="*")]
    requests += [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in services]
    answers = list(stub.ServerReflectionInfo(iter(requests), timeout=DEADLINE))
    listed = {service.name for service in answers[0].list_services_response.service}
    for name, answer in zip(services, answers[1:]):
        checks.check(f"reflection lists {name}", name in listed, True)
        files = answer.file_descriptor_response.file_descriptor_proto
        checks.check(f"reflection describes {name}", any(name.split(".")[-1].encode() in file for file in files), True)


def check_unknown(channel, service, checks):
    """Whether a method that is not there is refused as such."""
    for path in [f"/{service}/NoSuchMethod", "/no.such.Service/Method"]:
        checks.check(path, outcome(lambda: channel.unary_unary(path)(b"", timeout=DEADLINE)), "UNIMPLEMENTED")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sockets", help="directory of the sockets")
    parser.add_argument("script", help="file with the calls")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="what is put in for ${NAME}")
    parser.add_argument("--services", action="store_true", help="check health, reflection and unknown methods too")
    parser.add_argument("--idle", action="append", default=[], metavar="SERVICE", help="one that does not serve")
    arguments = parser.parse_args()

    checks = Checks()
    channels = {
        name: grpc.insecure_channel("unix:" + os.path.abspath(os.path.join(arguments.sockets, name)))
        for name in (wire.MGR_SOCKET, wire.FS_SOCKET)
    }
    for call in wire.read_script(arguments.script, arguments.set):
        make(call, channels[call.service.socket], checks)
    if arguments.services:
        for name, channel in channels.items():
            services = [service.name for service in wire.SERVICES.values() if service.socket == name]
            check_health(channel, services, arguments.idle, checks)
            check_reflection(channel, services, checks)
            check_unknown(channel, services[0], checks)
    for channel in channels.values():
        channel.close()
    print(f"{checks.done} checks, {checks.failed} failed")
    return 1 if checks.failed or not checks.done else 0


if __name__ == "__main__":
    sys.exit(main())
