"""Loads a model of an MLflow server the way its users do, and runs it.

Standard input: JSON of {"uri", "inputs"}: a model URI like `models:/churn@champion`, and rows of a model with one float32 input. Standard
output: JSON of {"outputs", "isPyfunc"}: the values of its first output, and whether MLflow takes it as a Python function too.
"""

import json
import sys

import mlflow
import mlflow.onnx
import mlflow.pyfunc
import numpy
import onnxruntime

answer, sys.stdout = sys.stdout, sys.stderr
order = json.load(sys.stdin)
rows = numpy.asarray(order["inputs"], dtype=numpy.float32)
model = mlflow.onnx.load_model(order["uri"])
session = onnxruntime.InferenceSession(model.SerializeToString())
outputs = session.run(None, {session.get_inputs()[0].name: rows})
function = mlflow.pyfunc.load_model(order["uri"])
named = function.predict({session.get_inputs()[0].name: rows})
first = next(iter(named.values()))
json.dump({"outputs": outputs[0].tolist(), "isPyfunc": bool(numpy.allclose(first, outputs[0]))}, answer)
