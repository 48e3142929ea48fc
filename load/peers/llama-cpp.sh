#!/usr/bin/env bash
# Builds llama.cpp from the source that the llama-cpp-python package on PyPI carries, for this machine's
# processor, into .cache/peers/llama.cpp. Takes 5 to 10 minutes on two cores; done before, it does nothing.
# Needs Python 3, CMake, Ninja and a C++ compiler. Prints the folder with the programs.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$PWD/.cache/peers/llama.cpp
programs=(llama-bench llama-quantize llama-server)
if [ ! -x "$target/build/bin/llama-server" ]; then
  mkdir -p "$target"
  python3 -m venv "$target/venv"
  "$target/venv/bin/pip" install -q scikit-build-core >&2
  "$target/venv/bin/pip" download -q --no-deps --no-binary=:all: --no-build-isolation -d "$target" llama-cpp-python >&2
  tar -xf "$target"/llama_cpp_python-*.tar.gz -C "$target" --strip-components=1
  cmake -S "$target/vendor/llama.cpp" -B "$target/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF >&2
  ninja -C "$target/build" "${programs[@]}" >&2
fi
echo "$target/build/bin"
