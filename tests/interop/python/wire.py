"""What the client and the server share: the services of the contract, and scripts of calls.

A script is a JSON list of calls. Each has a `method` (`package.service/Method`), a `request` in the JSON form of proto3 with the
names of the .proto files, and what the answer is: a `response`, or a `code` with a part of its `message`. `times` is how often a
client makes the call, at once; `once` is the code of a daemon for a second call with the same id. Requests and responses may have
parts `${name}` that are put in from the command line.
"""

import json
import string
import sys

from google.protobuf import json_format

import sysbox_fs_pb2 as fs
import sysbox_fs_pb2_grpc as fs_grpc
import sysbox_mgr_ext_pb2 as ext
import sysbox_mgr_ext_pb2_grpc as ext_grpc
import sysbox_mgr_pb2 as mgr
import sysbox_mgr_pb2_grpc as mgr_grpc

MGR_SOCKET = "sysmgr.sock"
FS_SOCKET = "sysfs.sock"
SECCOMP_SOCKET = "sysfs-seccomp.sock"


class Service:
    """A service: its descriptor, the socket that it is on, and its generated code."""

    def __init__(self, module, code, name, socket):
        self.descriptor = module.DESCRIPTOR.services_by_name[name]
        self.name = self.descriptor.full_name
        self.socket = socket
        self.stub = getattr(code, f"{name}Stub")
        self.servicer = getattr(code, f"{name}Servicer")
        self.add = getattr(code, f"add_{name}Servicer_to_server")
        self.module = module

    def request(self, method):
        """The class of a method's request."""
        return getattr(self.module, self.descriptor.methods_by_name[method].input_type.name)

    def response(self, method):
        """The class of a method's response."""
        return getattr(self.module, self.descriptor.methods_by_name[method].output_type.name)


MGR = Service(mgr, mgr_grpc, "sysboxMgrStateChannel", MGR_SOCKET)
FS = Service(fs, fs_grpc, "sysboxStateChannel", FS_SOCKET)
EXT = Service(ext, ext_grpc, "ManagerExtension", MGR_SOCKET)
SERVICES = {service.name: service for service in (MGR, FS, EXT)}


class Call:
    """One call of a script."""

    def __init__(self, entry):
        service, self.method = entry["method"].split("/")
        self.service = SERVICES[service]
        self.request = json_format.ParseDict(entry["request"], self.service.request(self.method)())
        response = entry.get("response")
        if response is not None:
            response = json_format.ParseDict(response, self.service.response(self.method)())
        self.response = response
        self.code = entry.get("code", "OK")
        self.message = entry.get("message", "")
        self.times = entry.get("times", 1)
        self.once = entry.get("once")

    def __str__(self):
        return f"{self.service.name}/{self.method} {self.code}"


def read_script(path, values):
    """The calls of a script, with `values` (name=value) put in."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    names = dict(value.split("=", 1) for value in values)
    return [Call(entry) for entry in json.loads(string.Template(text).substitute(names))]


def as_json(message):
    """A message as a value that JSON has, with the names of the .proto files; what is not set is left out."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def fail(text):
    """Ends the program."""
    sys.exit(f"{sys.argv[0]}: {text}")
