#!/bin/sh
# Installs schemathesis, which makes requests from the OpenAPI document (`vitest --project faults`), into
# .cache/schemathesis. Needs Python 3.
set -eu
cd "$(dirname "$0")/.."
version=4.32.5

[ ! -x .cache/schemathesis/bin/schemathesis ] || exit 0
command -v python3 >/dev/null || { echo "schemathesis needs Python 3." >&2; exit 1; }
python3 -m venv .cache/schemathesis
.cache/schemathesis/bin/pip install --quiet "schemathesis==$version"
echo "Ready: .cache/schemathesis/bin/schemathesis" >&2
