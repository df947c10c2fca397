#!/usr/bin/env bash
# Makes the Python environment that the tests use: tests/setup.sh. It may be run again at any time.
# The folder is WEIR_TEST_VENV, or target/test-venv of the source tree.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
environment=${WEIR_TEST_VENV:-$here/../target/test-venv}
requirements=$here/requirements.txt
stamp=$environment/requirements.installed

if [[ -f $stamp ]] && cmp -s "$requirements" "$stamp"; then
    exit 0
fi
echo "making the tests' Python environment in $environment"
python3 -m venv --clear "$environment"
"$environment/bin/pip" install --disable-pip-version-check --quiet --requirement "$requirements"
cp "$requirements" "$stamp"
