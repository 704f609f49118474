# Sourced by scripts that make a Python environment for the tests, at the root of the checkout.
# make_venv DIR REQUIREMENTS: leaves a fresh environment with these packages in DIR, or says that it is up to date; $venv_made tells.
# A stamp holds the hash of the requirements and the Python version: `stamp_venv DIR` writes it once all is well.
make_venv() {
  local venv=$1 requirements=$2 python=${PYTHON:-python3}
  venv_stamp="$("$python" -c 'import sys; print(sys.version.split()[0])') $(sha256sum "$requirements" | cut -d ' ' -f 1)"
  if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/stamp" 2>/dev/null)" = "$venv_stamp" ]; then
    echo "python: $venv is up to date"
    venv_made=no
    return
  fi
  venv_made=yes
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
}

stamp_venv() {
  echo "$venv_stamp" >"$1/stamp"
}
