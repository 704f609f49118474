"""Writes ONNX's backend node tests below a folder, in a form that needs no protobuf reader to use.

    onnx-backend-cases.py FOLDER

Each case becomes FOLDER/<name>/model.onnx and FOLDER/<name>/inputs.json: a list of data sets, each a list of
{"name", "datatype", "shape", "data"} with the raw little-endian bytes in base64 (strings as a list), or null where
an input is not a plain tensor. Prints the number of cases.
"""

import base64
import json
import pathlib
import sys
import warnings

import numpy
import onnx

# The cases are computed with NumPy on purpose up to overflow and division by zero.
warnings.filterwarnings("ignore")

from onnx.backend.test.case.node import collect_testcases  # noqa: E402

DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "float32": "FP32", "float64": "FP64",
}


def tensor_of(name, value):
    if isinstance(value, onnx.TensorProto):
        try:
            value = onnx.numpy_helper.to_array(value)
        except Exception:
            return None
    if not isinstance(value, (numpy.ndarray, numpy.generic)):
        return None
    value = numpy.asarray(value)
    shape = list(value.shape)
    if value.dtype.kind in "OSU":
        strings = [str(item) for item in value.reshape(-1)]
        return {"name": name, "datatype": "BYTES", "shape": shape, "data": strings}
    datatype = DATATYPES.get(value.dtype.name)
    if datatype is None:
        return None
    data = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode()
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def main(folder):
    cases = collect_testcases(None)
    for case in cases:
        target = folder / case.name
        target.mkdir(parents=True, exist_ok=True)
        (target / "model.onnx").write_bytes(case.model.SerializeToString())
        initialized = {tensor.name for tensor in case.model.graph.initializer}
        names = [value.name for value in case.model.graph.input if value.name not in initialized]
        sets = [[tensor_of(name, value) for name, value in zip(names, inputs)] for inputs, _ in case.data_sets]
        (target / "inputs.json").write_text(json.dumps(sets))
    print(len(cases))


main(pathlib.Path(sys.argv[1]))
