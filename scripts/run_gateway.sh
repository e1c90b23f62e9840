#!/bin/sh
# What the monitoring guide and existing clients start: run_gateway.sh [dev|release] [ARGUMENT of `veloz run`]...
# The engine serves by itself, so this is `veloz run` with the variables that are set. PROGRAM names the program; without it
# the build of that name is made and taken (dev: the debug one).
set -eu
build=${1:-dev}
[ $# = 0 ] || shift
case $build in
  dev) profile=debug flag= ;;
  release) profile=release flag=--release ;;
  *)
    echo "run_gateway.sh: $build is no build, expected dev or release" >&2
    exit 64
    ;;
esac
if [ -z "${PROGRAM:-}" ]; then
  root=$(cd "$(dirname "$0")/.." && pwd)
  # shellcheck disable=SC2086 # no flag is no argument
  (cd "$root" && cargo build --locked $flag)
  PROGRAM=$root/target/$profile/veloz
fi
exec "$PROGRAM" run "$@"
