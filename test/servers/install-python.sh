#!/usr/bin/env bash
# Makes the Python environment that some integration tests talk through (tritonclient, KServe's client, onnx).
# Idempotent: a stamp holds the hash of requirements.txt and the Python version, an unchanged environment is kept.
# Tests look for the interpreter in $TEST_PYTHON, else in .venv-test/bin/python of the checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.venv-test
requirements=test/servers/requirements.txt
python=${PYTHON:-python3}
stamp="$("$python" -c 'import sys; print(sys.version.split()[0])') $(sha256sum "$requirements" | cut -d ' ' -f 1)"

if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "python: $venv is up to date"
  exit 0
fi

echo "python: making $venv with $("$python" --version)"
rm -rf "$venv"
if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
  # Debian splits ensurepip off into its own package.
  rm -rf "$venv"
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
    echo "python: '$python -m venv' failed; install python3-venv" >&2
    exit 1
  }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
  "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --only-binary :all: --quiet -r "$requirements"
"$venv/bin/python" - <<'PY'
import kserve, numpy, onnx, tritonclient.http
print(f"python: kserve {kserve.__version__ if hasattr(kserve, '__version__') else ''} onnx {onnx.__version__} numpy {numpy.__version__} tritonclient: imported")
PY
echo "$stamp" >"$venv/stamp"
