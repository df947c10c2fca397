#!/usr/bin/env bash
# Sets up the programs of others that the tests use: tests/setup.sh. It may be run again at any time.
# Python's are in the folder WEIR_TEST_VENV, or target/test-venv of the source tree; in it, those of Node in `node`, the
# browser's driver in `browser`, Java's in `jars`, tools whose packages go with no others in `tools`, and Superset in `superset`.
# What builds the console is in `web/node_modules`. What the system lacks of python3, node, java, maven, kcat, psql, ODBC and
# chromium is installed from Debian's packages.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
environment=${WEIR_TEST_VENV:-$here/../target/test-venv}

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
# The driver manager, and PostgreSQL's driver.
compgen -G "/usr/lib/*/odbc/psqlodbcw.so" >/dev/null || packages+=(unixodbc odbc-postgresql)
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

# Whether a folder was made from what is wanted now: is_made FOLDER WANTED
is_made() { [[ -f $1/installed ]] && [[ $(cat "$1/installed") == "$2" ]]; }
# A virtual environment with all that a list names: python_environment FOLDER LIST
python_environment() {
    python3 -m venv --clear "$1"
    # The list is whole: nothing is left to be chosen.
    "$1/bin/pip" install --disable-pip-version-check --quiet --no-deps --requirement "$2"
}

wanted=$(cat "$here/requirements.txt" "$here/node/package-lock.json" "$here/browser/package-lock.json" "$here/java/pom.xml")
if ! is_made "$environment" "$wanted"; then
    echo "making the tests' environment in $environment"
    python_environment "$environment" "$here/requirements.txt"
    for scripts in node browser; do
        mkdir -p "$environment/$scripts"
        cp "$here/$scripts"/package*.json "$environment/$scripts/"
        npm ci --prefix "$environment/$scripts" --silent --no-audit --no-fund
    done
    mvn --quiet --batch-mode --file "$here/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$environment/jars"
    printf '%s' "$wanted" >"$environment/installed"
fi
for name in tools superset; do
    list=$here/requirements-$name.txt
    if ! is_made "$environment/$name" "$(cat "$list")"; then
        echo "installing $name"
        python_environment "$environment/$name" "$list"
        cp "$list" "$environment/$name/installed"
    fi
done
