#!/bin/sh
# Starts a service only when each of its secrets is there: require-secrets.sh NAME... -- COMMAND [ARGUMENT...]
# NAME is a file in SECRETS_DIR (/run/secrets). Services themselves start without one and fail later, at the first delivery
# or scrape, when nobody looks.
set -eu
dir=${SECRETS_DIR:-/run/secrets}
while [ $# -gt 0 ] && [ "$1" != "--" ]; do
  if [ ! -r "$dir/$1" ]; then
    echo "cannot start: the secret $dir/$1 is missing or not readable; docker/make-secrets.sh writes it" >&2
    exit 78
  fi
  if [ ! -s "$dir/$1" ]; then
    echo "cannot start: the secret $dir/$1 is empty; docker/make-secrets.sh writes it" >&2
    exit 78
  fi
  shift
done
if [ $# -lt 2 ]; then
  echo "usage: require-secrets.sh NAME... -- COMMAND [ARGUMENT...]" >&2
  exit 64
fi
shift
exec "$@"
