#!/usr/bin/env bash
# Makes compressor/onnx/generated anew from the schema that the onnx package on PyPI carries.
# Needs Python 3 and `npm ci`.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grpcio-tools
"$work/venv/bin/pip" download -q --no-deps --only-binary=:all: -d "$work" onnx
unzip -q -j "$work"/onnx-*.whl onnx/onnx.proto -d "$work"
"$work/venv/bin/python" -m grpc_tools.protoc -I "$work" --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es \
  --es_out=compressor/onnx/generated --es_opt=target=js+dts,import_extension=js onnx.proto
