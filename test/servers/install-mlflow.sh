#!/usr/bin/env bash
# Makes the Python environment of the MLflow server that some integration tests talk to, and of the script that logs models there.
# Idempotent: an environment of the same requirements and Python is kept.
# Tests look for the interpreter in $TEST_MLFLOW_PYTHON, else in .venv-mlflow/bin/python of the checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/servers/venv.sh

venv=.venv-mlflow
make_venv "$venv" test/servers/mlflow-requirements.txt
[ "$venv_made" = yes ] || exit 0
# An empty database takes MLflow longer to make than all the rest of its start: the tests begin with a copy.
rm -f "$venv/empty.sqlite"
MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true "$venv/bin/python" - "$PWD/$venv/empty.sqlite" <<'PY'
import logging, sys
logging.disable(logging.WARNING)
import mlflow, mlflow.onnx, mlflow.server.fastapi_app, onnx
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore(f"sqlite:///{sys.argv[1]}", "mlflow-artifacts:/")
print(f"python: mlflow {mlflow.__version__} onnx {onnx.__version__}: imported")
PY
stamp_venv "$venv"
