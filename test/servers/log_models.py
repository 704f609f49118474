"""Logs models into an MLflow server the way their users do: `mlflow.onnx.log_model`, external data on, registered under a name.

Standard input: a JSON list of {"file", "name", "example"?, "aliases"?, "tags"?, "externalData"?}. `example` is a JSON list of rows for
models with one float32 input. Standard output: a JSON list of {"name", "version", "runId"}, in the same order.
"""

import json
import sys

import mlflow
import mlflow.onnx
import numpy
import onnx


def log(order: dict) -> dict:
    example = order.get("example")
    with mlflow.start_run() as run:
        info = mlflow.onnx.log_model(
            # Read anew for each: saving with external data changes the object.
            onnx.load(order["file"]),
            name="model",
            registered_model_name=order["name"],
            input_example=None if example is None else numpy.asarray(example, dtype=numpy.float32),
            save_as_external_data=order.get("externalData", True),
            # Else MLflow starts another Python to find out what the model imports.
            pip_requirements=["onnxruntime"],
        )
    version = str(info.registered_model_version)
    client = mlflow.MlflowClient()
    for alias in order.get("aliases", []):
        client.set_registered_model_alias(order["name"], alias, version)
    for key, value in order.get("tags", {}).items():
        client.set_model_version_tag(order["name"], version, key, value)
    return {"name": order["name"], "version": version, "runId": run.info.run_id}


# MLflow prints where a run can be looked at.
answer, sys.stdout = sys.stdout, sys.stderr
mlflow.set_experiment("modelmux tests")
json.dump([log(order) for order in json.load(sys.stdin)], answer)
