#!/usr/bin/env bash
# Builds the console anew: web/build.sh WEIR, a binary of this source. Types of the interface come from what it serves.
set -euo pipefail

weir=$(realpath "$1")
cd "$(dirname "$0")"
folder=$(mktemp -d)
coproc server { exec "$weir" serve --data-dir "$folder/data" --http 127.0.0.1:0 --kafka off --postgres off --flight off 2>/dev/null; }
trap 'kill "$server_PID" 2>/dev/null || true; rm -rf "$folder"' EXIT
url=
while read -r word rest <&"${server[0]}"; do
    if [[ $word == http ]]; then
        url=$rest
        break
    fi
done
node_modules/.bin/openapi-typescript "$url/openapi.json" -o src/api/schema.d.ts
node_modules/.bin/tsc --noEmit
node_modules/.bin/vitest run
node_modules/.bin/vite build
