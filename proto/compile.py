"""Compiles proto/caffe.proto into caffe_fuse/schema/caffe.desc, a serialized FileDescriptorProto.

python proto/compile.py            writes the file
python proto/compile.py --check    writes nothing; exit status 1 if the file does not match caffe.proto
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent / "caffe.proto"
DESCRIPTOR = PROTO.parent.parent / "caffe_fuse" / "schema" / "caffe.desc"


def compiled() -> FileDescriptorProto:
    """Returns what protoc makes of caffe.proto. Raises SystemExit if it does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "caffe.set"
        status = protoc.main(["protoc", f"-I{PROTO.parent}", f"-o{output}", str(PROTO)])
        if status:
            raise SystemExit(status)
        return FileDescriptorSet.FromString(output.read_bytes()).file[0]


def stored() -> FileDescriptorProto:
    return FileDescriptorProto.FromString(DESCRIPTOR.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description="Compile caffe.proto into caffe.desc.")
    parser.add_argument("--check", action="store_true", help="only say whether caffe.desc is up to date")
    if parser.parse_args().check:
        # Versions of protoc may serialise the same descriptor differently, so the messages are compared.
        if compiled() == stored():
            return 0
        print(f"{DESCRIPTOR.name} is older than {PROTO.name}: run `make proto`", file=sys.stderr)
        return 1
    DESCRIPTOR.write_bytes(compiled().SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
