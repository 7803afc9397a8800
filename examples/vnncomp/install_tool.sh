#!/bin/bash
# install_tool.sh VERSION: installs sensverify from this checkout into a virtual environment beside
# these scripts, unless `sensverify` is on the path already. VERSION is v1, that of the interface.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ "${1:-}" != v1 ]; then
    echo "usage: install_tool.sh v1" >&2
    exit 1
fi
if command -v sensverify >/dev/null; then
    echo "$(sensverify --version) is there: $(command -v sensverify)"
    exit 0
fi
root="$(cd "$here/../.." && pwd)"
python3 -m venv "$here/.venv"
"$here/.venv/bin/pip" install -c "$root/.ci/constraints.txt" "$root"
# Compiled once, so that no instance pays for it.
"$here/.venv/bin/python" -m compileall -q "$here/.venv/lib" || true
"$here/.venv/bin/sensverify" --version
