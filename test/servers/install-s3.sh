#!/usr/bin/env bash
# Builds the S3 server that some integration tests talk to: Versity S3 Gateway over a folder, from the Go module registry.
# Idempotent: the file's name holds the version. Tests look for it in $TEST_S3_SERVER, else in .test-servers of the checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=v1.8.0
server=.test-servers/versitygw

if [ -x "$server" ] && "$server" --version 2>/dev/null | grep -qF "$version"; then
  echo "s3: $server $version is here"
  exit 0
fi

# Where Go's own installer and the container images put it, when a login shell's PATH is not there.
PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || {
  echo "s3: versitygw is built with Go 1.25 or newer, and there is no go on PATH" >&2
  exit 1
}
echo "s3: building versitygw $version with $(go version)"
mkdir -p .test-servers
# -trimpath and a pinned version: the module registry's checksum database vouches for the source.
GOFLAGS=-buildvcs=false GOBIN="$PWD/.test-servers" CGO_ENABLED=0 \
  go install -trimpath -ldflags "-s -w -X main.Version=$version" "github.com/versity/versitygw/cmd/versitygw@$version"
"$server" --version
