#!/bin/sh
# Installs k6 into .cache/bin (about a minute on two cores). Needs Go. What is there is kept. Prints its path.
set -eu
cd "$(dirname "$0")/.."
version=v1.8.1

if [ ! -x .cache/bin/k6 ]; then
  command -v go >/dev/null || { echo "k6 needs Go: https://go.dev/dl/" >&2; exit 1; }
  mkdir -p .cache/bin
  echo "Building k6 $version ..." >&2
  GOBIN="$PWD/.cache/bin" go install "go.k6.io/k6@$version"
fi
echo "$PWD/.cache/bin/k6"
