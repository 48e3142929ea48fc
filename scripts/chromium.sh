#!/usr/bin/env bash
# Installs Chromium for the tests of project `browser`, where it is missing: Debian's or Ubuntu's, as root.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then echo "$name is here: $("$name" --version 2>/dev/null || true)"; exit 0; fi
done
[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || {
  echo "There is no Chromium, and only root on Debian can install it here: install it, or name it in CHROMIUM." >&2
  exit 1
}
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
chromium --version
