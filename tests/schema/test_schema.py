"""The schema, proto/caffe.proto and the compiled caffe.desc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, List, Mapping, Tuple

import pytest
from conftest import PROJECT
from google.protobuf import text_format, unknown_fields
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.errors import TextError
from caffe_fuse.protobuf.text import parse
from caffe_fuse.schema import messages as schema
from caffe_fuse.schema import names
from caffe_fuse.spelling import nearest

DESCRIPTOR = PROJECT / "caffe_fuse" / "schema" / "caffe.desc"


def read(text: str, message_name: str = "LayerParameter") -> Any:
    document = parse(text.encode(), "net.prototxt")
    return schema.read(document, document.root, message_name)


def message(text: str, message_name: str = "LayerParameter") -> Any:
    typed = read(text, message_name)
    assert () == typed.unknown
    return typed.message


def unknown_paths(text: str) -> List[str]:
    return [unknown.path for unknown in read(text).unknown]


def test_every_kind_of_field_is_read() -> None:
    layer = message(
        'name: "conv" bottom: "a" bottom: "b" loss_weight: [0.5, 2] phase: TEST '
        "convolution_param { num_output: 3 bias_term: false kernel_size: [5, 7] axis: -2 engine: CUDNN } "
        'include { phase: TRAIN stage: "x" } include { min_level: -4 } '
        'blobs { shape { dim: 9000000000 } double_data: 1e300 data: 0.1 raw_data: "\\000\\377" }'
    )
    assert "conv" == layer.name
    assert ["a", "b"] == list(layer.bottom)
    assert [0.5, 2.0] == list(layer.loss_weight)
    assert schema.PHASES["TEST"] == layer.phase
    assert [5, 7] == list(layer.convolution_param.kernel_size)
    assert (3, False, -2, 2) == (
        layer.convolution_param.num_output,
        layer.convolution_param.bias_term,
        layer.convolution_param.axis,
        layer.convolution_param.engine,
    )
    assert [schema.PHASES["TRAIN"], -4] == [layer.include[0].phase, layer.include[1].min_level]
    assert ["x"] == list(layer.include[0].stage)
    blob = layer.blobs[0]
    assert ([9000000000], b"\x00\xff") == (list(blob.shape.dim), blob.raw_data)
    assert ([1e300], [0.10000000149011612]) == (list(blob.double_data), list(blob.data))


def test_defaults_are_those_of_bvlc_caffe() -> None:
    layer = message("")
    assert (True, False) == (layer.convolution_param.bias_term, layer.scale_param.bias_term)
    assert (1, 1, 2) == (layer.convolution_param.group, layer.concat_param.axis, layer.crop_param.axis)
    assert 9.999999747378752e-06 == layer.batch_norm_param.eps
    assert not layer.batch_norm_param.HasField("use_global_stats")
    assert (1.0, 1.0, 0.0) == (layer.power_param.power, layer.power_param.scale, layer.power_param.shift)


def test_a_message_without_fields_is_present() -> None:
    assert message("dropout_param { }").HasField("dropout_param")
    assert not message('name: "drop"').HasField("dropout_param")


def test_the_last_value_of_a_single_field_wins() -> None:
    assert "second" == message('name: "first" name: "second"').name


def test_a_message_that_stands_twice_is_merged() -> None:
    layer = message("convolution_param { num_output: 3 pad: 1 } convolution_param { group: 2 pad: 4 }")
    assert (3, 2) == (layer.convolution_param.num_output, layer.convolution_param.group)
    assert [1, 4] == list(layer.convolution_param.pad)


def test_a_list_of_messages_adds_each() -> None:
    layer = message("param: [{ lr_mult: 0.25 }, { lr_mult: 4 }]")
    assert [0.25, 4.0] == [spec.lr_mult for spec in layer.param]


def test_an_enum_is_read_by_name_and_by_number() -> None:
    assert 1 == message("pooling_param { pool: AVE }").pooling_param.pool
    assert 1 == message("pooling_param { pool: 1 }").pooling_param.pool


@pytest.mark.parametrize("engine", ["DEFAULT", "CAFFE", "CUDNN", "MKL2017", "MKLDNN"])
def test_the_engines_of_other_caffes_are_known(engine: str) -> None:
    assert message(f"pooling_param {{ engine: {engine} }}").pooling_param.HasField("engine")


def test_bytes_that_are_not_utf8_stay_distinct() -> None:
    document = parse(b'bottom: "\xb0\xa1" bottom: "\xb0\xa2"')
    layer = schema.read(document, document.root, "LayerParameter").message
    assert ["\\xb0\\xa1", "\\xb0\\xa2"] == list(layer.bottom)


def test_a_copy_shares_nothing_with_its_original() -> None:
    original = message('name: "conv" bottom: "a"')
    copy = schema.copy_of(original)
    copy.bottom.append("b")
    assert (["a"], ["a", "b"], "conv") == (list(original.bottom), list(copy.bottom), copy.name)


@given(st.floats(width=64) | st.floats(width=32))
def test_a_float_is_rounded_as_protobuf_rounds_it(number: float) -> None:
    text = f"power_param {{ scale: {number!r} }}"
    expected = schema.new("LayerParameter")
    text_format.Merge(text, expected)
    assert expected.SerializeToString() == message(text).SerializeToString()


def test_an_unknown_name_is_listed_with_its_path_and_field() -> None:
    typed = read("convolution_param {\n  relu: true\n  num_output: 3\n}\nquantization_param { bw: 8 }")
    assert ["convolution_param.relu", "quantization_param"] == [unknown.path for unknown in typed.unknown]
    assert ["relu", "quantization_param"] == [unknown.field.name for unknown in typed.unknown]
    assert 3 == typed.message.convolution_param.num_output


@pytest.mark.parametrize("value", ["AVE_EXC_PAD", "17", '"AVE"'])
def test_an_enum_value_that_is_not_known_leaves_the_field_unset(value: str) -> None:
    typed = read(f"pooling_param {{ pool: {value} kernel_size: 3 }}")
    assert ["pooling_param.pool"] == [unknown.path for unknown in typed.unknown]
    assert not typed.message.pooling_param.HasField("pool")
    assert [3] == typed.message.pooling_param.kernel_size


def test_another_type_in_a_field_of_another_caffe_is_unknown() -> None:
    text = "upsample_param { scale: 1.5 mode: NEAREST } bn_param { eps { } frozen: true } reorg_param: 2"
    assert ["upsample_param.scale", "bn_param.eps", "reorg_param"] == unknown_paths(text)
    typed = read("batch_norm_param { scale_bias: maybe eps: 1e-3 }")
    assert ["batch_norm_param.scale_bias"] == [unknown.path for unknown in typed.unknown]
    assert 0.0010000000474974513 == typed.message.batch_norm_param.eps


def test_of_a_list_with_a_wrong_value_nothing_is_taken() -> None:
    typed = read("permute_param { order: 0 order: [2, x, 1] }")
    assert ["permute_param.order"] == [unknown.path for unknown in typed.unknown]
    assert [0] == list(typed.message.permute_param.order)


def test_a_copy_for_a_file_has_only_fields_that_bvlc_caffe_has() -> None:
    full = message("name: 'a' permute_param { order: 1 } batch_norm_param { eps: 0.5 scale_bias: true }")
    assert message("name: 'a' batch_norm_param { eps: 0.5 }") == schema.without_foreign(full)
    assert full.HasField("permute_param")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("RELU", "ReLU"), ("relu", "ReLU"), ("Convolutoin", "Convolution"), ("softMax", "Softmax"), ("Conv", "")],
)
def test_a_misspelt_word_is_the_known_one_that_is_nearly_so_in_any_case(name: str, meant: str) -> None:
    assert meant == nearest(name, ["ReLU", "Convolution", "Softmax"])


WRONG = {
    "a float for an integer": ("convolution_param { num_output: 64.0 }", "1:33", "64.0"),
    "a negative number for an unsigned one": ("convolution_param { num_output: -1 }", "1:33", "-1"),
    "a number beyond the type": ("convolution_param { axis: 2147483648 }", "1:27", "2147483648"),
    "a string for a number": ('batch_norm_param { eps: "1e-5" }', "1:25", '"1e-5"'),
    "a name for a number": ("batch_norm_param { eps: small }", "1:25", "small"),
    "a number for a string": ("name: 5", "1:7", "5"),
    "a name for a string": ("type: Convolution", "1:7", "Convolution"),
    "a word for a truth value": ("scale_param { bias_term: yes }", "1:26", "yes"),
    "a value for a message": ("scale_param: 1", "1:14", "expected scale_param { ... }, found `1`"),
    "a message for a value": ("name { }", "1:6", "expected a value for name, found { ... }"),
    "a list for a single value": ('name: ["a", "b"]', "1:1", "name takes one value, found a list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_an_error_with_its_place(name: str) -> None:
    text, place, what = WRONG[name]
    with pytest.raises(TextError) as caught:
        read(text)
    assert f"net.prototxt:{place}" == caught.value.where
    assert what in caught.value.what


def _net(path: Path) -> Any:
    document = parse(path.read_bytes(), str(path))
    return schema.read(document, document.root, "NetParameter").message


def test_every_real_prototxt_reads_as_protobuf_reads_it(shared: Path) -> None:
    compared = []
    # Of the larger files there is one, which takes as long as all others.
    for path in sorted(path for path in shared.rglob("*.prototxt") if path.stat().st_size < 300_000):
        expected = schema.new("NetParameter")
        try:
            text_format.Merge(path.read_bytes().decode(), expected, allow_unknown_field=True)
        except (text_format.ParseError, UnicodeDecodeError):
            continue
        compared.append(path)
        found = _net(path)
        _spell_as_protobuf(found)
        assert expected.SerializeToString() == found.SerializeToString(), path
    assert len(compared) > 300


def _spell_as_protobuf(message: Any) -> None:
    """Returns the bytes of a name that contains the letters of an escape, which names.py spells differently."""
    for field, value in message.ListFields():
        is_list = not isinstance(value, str) and hasattr(value, "__len__")
        if field.type == field.TYPE_MESSAGE:
            for each in value if is_list else [value]:
                _spell_as_protobuf(each)
        elif field.type == field.TYPE_STRING and is_list:
            value[:] = [names.encode(each).decode() for each in value]
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, names.encode(value).decode())


def _unknown_numbers(part: Any) -> List[int]:
    unknown = unknown_fields.UnknownFieldSet(part)
    found = [unknown[place].field_number for place in range(len(unknown))]
    for field, value in part.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                found += _unknown_numbers(child)
    return found


def test_bvlc_caffes_own_binaries_have_no_unknown_field_and_survive_byte_for_byte(shared: Path) -> None:
    """This shows that field numbers, types and packing are right."""
    folders = [shared / "caffe_truth", shared / "caffe_upgrade"]
    paths = sorted(path for folder in folders for path in folder.rglob("*.caffemodel"))
    for path in paths:
        net = schema.new("NetParameter").FromString(path.read_bytes())
        assert [] == _unknown_numbers(net), path
        assert path.read_bytes() == net.SerializeToString(), path
    assert len(paths) > 200


def test_a_field_of_another_caffe_in_a_binary_is_not_misread() -> None:
    """149 is a string in Intel's files and a message in others; 145 is an enum in NVIDIA's."""
    layer = schema.new("LayerParameter").FromString(b"\xaa\x09\x06MKLDNN\x88\x09\x02")
    assert [149, 145] == _unknown_numbers(layer)
    assert [] == [field.name for field, _ in layer.ListFields()]


def _check(project: Path) -> subprocess.CompletedProcess[str]:
    script = project / "proto" / "compile.py"
    command = [sys.executable, str(script), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_descriptor_is_up_to_date() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools compiles the schema")
    result = _check(PROJECT)
    assert (0, "") == (result.returncode, result.stderr)


def test_a_stale_descriptor_is_noticed(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools compiles the schema")
    shutil.copytree(PROJECT / "proto", tmp_path / "proto")
    (tmp_path / "caffe_fuse" / "schema").mkdir(parents=True)
    shutil.copy(DESCRIPTOR, tmp_path / "caffe_fuse" / "schema")
    proto = tmp_path / "proto" / "caffe.proto"
    proto.write_text(proto.read_text().replace("eps = 3 [default = 1e-05]", "eps = 3 [default = 1e-3]"))
    result = _check(tmp_path)
    assert 1 == result.returncode
    assert "caffe.desc is older than caffe.proto: run `make proto`\n" == result.stderr


BESIDE = """
import sys
from pathlib import Path
from google.protobuf import descriptor_pool
import google.protobuf

def register():
    descriptor_pool.Default().AddSerializedFile(Path(sys.argv[1]).read_bytes())

if sys.argv[2] == "before":
    register()
from caffe_fuse.protobuf import text as textproto
from caffe_fuse.schema import messages as schema
text = b'name: "bn" batch_norm_param { eps: 1e-3 } convolution_param { pad: [1, 2] } upsample_param { }'
document = textproto.parse(text)
layer = schema.read(document, document.root, "LayerParameter").message
if sys.argv[2] == "after":
    register()
other = descriptor_pool.Default().FindMessageTypeByName("caffe.LayerParameter")
copy = schema.new("LayerParameter").FromString(schema.copy_of(layer).SerializeToString())
print(google.protobuf.__version__, sorted(other.fields_by_name))
print(copy.name, round(copy.batch_norm_param.eps, 6), list(copy.convolution_param.pad))
print(copy.HasField("upsample_param"))
"""


def _installed(version: str) -> Path:
    """Returns the folder with this version of protobuf, downloaded once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caffe_fuse"
    folder = cache / f"protobuf-{version}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            target = Path(temporary) / "protobuf"
            command = [sys.executable, "-m", "pip", "install", "--no-deps", "--retries=0", "--timeout=10"]
            command += [f"--target={target}", f"protobuf=={version}"]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip(f"protobuf {version} cannot be downloaded")
            os.replace(target, folder)
    return folder


def _beside(folder: Path, order: str, settings: Mapping[str, str]) -> Tuple[str, str]:
    """Returns what the script above prints to stdout and stderr."""
    other = FileDescriptorProto(name="caffe.proto", package="caffe")
    layer = other.message_type.add(name="LayerParameter")
    layer.field.add(name="name", number=139, label=1, type=9)
    vendor = folder / "caffe.bin"
    vendor.write_bytes(other.SerializeToString())
    # What Python 3.12 and later say about protobuf 3 and 4 is not ours.
    protobuf = ("Type google._upb", "datetime.datetime.utcfromtimestamp()")
    ignored = [argument for message in protobuf for argument in ("-W", f"ignore:{message}:DeprecationWarning")]
    command = [sys.executable, "-W", "error", *ignored, "-c", BESIDE, str(vendor), order]
    environment = {**os.environ, **settings}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return result.stdout, result.stderr


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("version", ["3.20.3", "4.25.8", "5.29.5", "6.33.2", "7.36.2"])
def test_another_caffe_in_the_process_is_no_conflict(tmp_path: Path, version: str, order: str) -> None:
    output, errors = _beside(tmp_path, order, {"PYTHONPATH": str(_installed(version))})
    assert "" == errors
    assert f"{version} ['name']\nbn 0.001 [1, 2]\nTrue\n" == output


@pytest.mark.parametrize("order", ["before", "after"])
def test_protobuf_without_its_extension_module_serves_too(tmp_path: Path, order: str) -> None:
    output, errors = _beside(tmp_path, order, {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"})
    assert "" == errors
    assert ["bn 0.001 [1, 2]", "True"] == output.splitlines()[1:]
