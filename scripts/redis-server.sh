#!/bin/sh
# Provides the Redis or Valkey server that `vitest --project redis` tests against, from Debian's packages: as
# .cache/bin/redis-server. Only the package with the programs is installed, which starts no service.
set -eu
cd "$(dirname "$0")/.."
target=.cache/bin/redis-server
[ ! -x "$target" ] || exit 0
mkdir -p .cache/bin

# The server and its checking tool are one program, which acts by the name it is called by.
find_server() {
  for name in valkey-server redis-server valkey-check-rdb redis-check-rdb; do
    path=$(command -v "$name") && { echo "$path"; return; }
  done
  return 1
}

if ! find_server >/dev/null; then
  command -v apt-get >/dev/null || { echo "Install Redis or Valkey by hand: https://valkey.io/download/" >&2; exit 1; }
  as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
  $as_root apt-get update -q >&2
  $as_root apt-get install -qy --no-install-recommends valkey-tools >&2 ||
    $as_root apt-get install -qy --no-install-recommends redis-tools >&2
fi
ln -sf "$(readlink -f "$(find_server)")" "$target"
echo "Ready: $target ($("$target" --version))" >&2
