#!/bin/sh
# Create the virtual environment with the first interpreter that is new enough (Python >= 3.12).
set -eu
venv=$1
check='import sys; sys.exit(sys.version_info < (3, 12))'
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$check" 2>/dev/null; then
    exit 0
fi
for candidate in "${PYTHON:-}" python3.13 python3.12 python3.14 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c "$check" >/dev/null 2>&1; then
        "$candidate" -m venv --clear "$venv"
        exit 0
    fi
done
echo "counterpoise needs Python 3.12 or newer and found none on PATH." >&2
echo "Next: install it (Debian/Ubuntu: apt-get install python3 python3-venv; macOS: brew install" >&2
echo "python@3.13; pyenv install 3.13), or name one: make PYTHON=/path/to/python3.13 test" >&2
exit 1
