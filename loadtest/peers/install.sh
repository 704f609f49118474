#!/usr/bin/env bash
# Makes the Python environment of the servers that benches compare with, in .venv-peers of the checkout. The last line on standard
# output names what is in it. Idempotent: a stamp holds the hash of requirements.txt and the Python version, an unchanged environment
# is kept. A failed installation leaves no stamp.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.venv-peers
requirements=loadtest/peers/requirements.txt
python=${PYTHON:-python3}
command -v "$python" >/dev/null || {
  echo "peers: there is no $python" >&2
  exit 1
}
stamp="$("$python" -c 'import sys; print(sys.version.split()[0])') $(sha256sum "$requirements" | cut -d ' ' -f 1)"

if [ ! -x "$venv/bin/python" ] || [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
  echo "peers: making $venv with $("$python" --version), about 600 MB"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --only-binary :all: --quiet -r "$requirements"
  echo "$stamp" >"$venv/stamp"
fi
"$venv/bin/python" - <<'PY'
from importlib.metadata import version
from platform import python_version
print(f"Ray Serve {version('ray')}, ONNX Runtime {version('onnxruntime')}, Python {python_version()}")
PY
