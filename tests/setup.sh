#!/usr/bin/env bash
# Sets up the programs of others that the tests use: tests/setup.sh. It may be run again at any time.
# Python's are in the folder WEIR_TEST_VENV, or target/test-venv of the source tree; in it, those of Node in `node`, the
# browser's driver in `browser` and Java's in `jars`. What builds the console is in `web/node_modules`. What the system lacks of
# python3, node, java, maven, kcat, psql and chromium is installed from Debian's packages.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
environment=${WEIR_TEST_VENV:-$here/../target/test-venv}
wanted=$(cat "$here/requirements.txt" "$here/node/package-lock.json" "$here/browser/package-lock.json" "$here/java/pom.xml")
stamp=$environment/installed

packages=()
has() { command -v "$1" >/dev/null; }
has python3 || packages+=(python3 python3-venv)
has npm || packages+=(nodejs npm)
has java || packages+=(default-jre-headless)
# A program of one source file is compiled as it is run, which takes the compiler.
has javac || packages+=(default-jdk-headless)
has mvn || packages+=(maven)
has kcat || packages+=(kafkacat)
# With fonts that the console is shown in where a reader has them.
has chromium || packages+=(chromium fonts-inter fonts-jetbrains-mono)
has psql || packages+=(postgresql-client)
# What the answers of PostgreSQL's SQL are compared with; its server is started by the tests alone.
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || packages+=(postgresql)
if ((${#packages[@]})); then
    echo "installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >/dev/null
fi

web=$here/../web
if ! cmp -s "$web/package-lock.json" "$web/node_modules/installed"; then
    echo "installing what builds the console"
    npm ci --prefix "$web" --silent --no-audit --no-fund
    cp "$web/package-lock.json" "$web/node_modules/installed"
fi

if [[ -f $stamp ]] && [[ $(cat "$stamp") == "$wanted" ]]; then
    exit 0
fi
echo "making the tests' environment in $environment"
python3 -m venv --clear "$environment"
"$environment/bin/pip" install --disable-pip-version-check --quiet --requirement "$here/requirements.txt"
mkdir -p "$environment/node"
cp "$here"/node/package*.json "$environment/node/"
npm ci --prefix "$environment/node" --silent --no-audit --no-fund
mkdir -p "$environment/browser"
cp "$here"/browser/package*.json "$environment/browser/"
npm ci --prefix "$environment/browser" --silent --no-audit --no-fund
mvn --quiet --batch-mode --file "$here/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$environment/jars"
printf '%s' "$wanted" >"$stamp"
