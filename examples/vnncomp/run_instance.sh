#!/bin/bash
# run_instance.sh VERSION CATEGORY ONNX VNNLIB RESULTS TIMEOUT: the answer as the first line of
# RESULTS: sat (with the input and its outputs), unsat, timeout, unknown or error.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PATH="$PATH:$here/.venv/bin"
if [ "$#" -ne 6 ] || [ "$1" != v1 ]; then
    echo "usage: run_instance.sh v1 CATEGORY ONNX VNNLIB RESULTS TIMEOUT" >&2
    exit 1
fi
onnx="$3" vnnlib="$4" results="$5"
# Python and torch start, and end, outside of the time that sensverify counts.
seconds="$(awk -v t="$6" 'BEGIN { s = t - 3; if (s < t / 2) s = t / 2; printf "%.3f", s }')"
answer="$(mktemp)"
trap 'rm -f "$answer"' EXIT
sensverify verify "$onnx" --property "$vnnlib" --timeout "$seconds" >"$answer"
case "$?" in
    0 | 1 | 3) ;;
    *) echo error >"$answer" ;;
esac
# Whole or not at all: whoever stops this finds no half of a witness.
cp "$answer" "$results.part" && mv "$results.part" "$results"
