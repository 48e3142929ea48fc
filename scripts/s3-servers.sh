#!/bin/sh
# Installs the S3 servers that `vitest --project s3` tests against, into .cache/ (about two minutes):
# versitygw, the strict one (needs Go), and moto, a second opinion (needs Python). What is there is kept.
set -eu
cd "$(dirname "$0")/.."
versitygw=v1.8.0
moto=5.2.5

mkdir -p .cache/bin
if [ ! -x .cache/bin/versitygw ]; then
  command -v go >/dev/null || { echo "versitygw needs Go: https://go.dev/dl/" >&2; exit 1; }
  echo "Building versitygw $versitygw ..." >&2
  GOBIN="$PWD/.cache/bin" go install "github.com/versity/versitygw/cmd/versitygw@$versitygw"
fi
if [ ! -x .cache/moto/bin/moto_server ]; then
  command -v python3 >/dev/null || { echo "moto needs Python 3." >&2; exit 1; }
  echo "Installing moto $moto ..." >&2
  python3 -m venv .cache/moto
  .cache/moto/bin/pip install --quiet "moto[server]==$moto"
fi
echo "Ready: .cache/bin/versitygw, .cache/moto/bin/moto_server" >&2
