#!/usr/bin/env bash
# Makes the Python environment that some integration tests talk through (tritonclient, KServe's client, onnx).
# Idempotent: an environment of the same requirements and Python is kept.
# Tests look for the interpreter in $TEST_PYTHON, else in .venv-test/bin/python of the checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/servers/venv.sh

venv=.venv-test
make_venv "$venv" test/servers/requirements.txt
[ "$venv_made" = yes ] || exit 0
"$venv/bin/python" - <<'PY'
import kserve, numpy, onnx, tritonclient.http
print(f"python: kserve {kserve.__version__ if hasattr(kserve, '__version__') else ''} onnx {onnx.__version__} numpy {numpy.__version__} tritonclient: imported")
PY
stamp_venv "$venv"
