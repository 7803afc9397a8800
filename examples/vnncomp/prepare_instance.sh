#!/bin/bash
# prepare_instance.sh VERSION CATEGORY ONNX VNNLIB: exit status 0 where the instance can be run.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PATH="$PATH:$here/.venv/bin"
if [ "$#" -ne 4 ] || [ "$1" != v1 ]; then
    echo "usage: prepare_instance.sh v1 CATEGORY ONNX VNNLIB" >&2
    exit 1
fi
for file in "$3" "$4"; do
    if [ ! -r "$file" ]; then
        echo "there is no file '$file' to read" >&2
        exit 1
    fi
done
command -v sensverify >/dev/null || { echo "run install_tool.sh v1 first" >&2; exit 1; }
# What is started next reads the program and the files from memory.
sensverify --version >/dev/null
cat "$3" "$4" >/dev/null
