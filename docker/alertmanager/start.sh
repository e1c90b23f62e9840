#!/bin/sh
# Starts Alertmanager: puts the SMTP user, for which it has no file key, into a copy of the configuration. Arguments go to
# Alertmanager. Its secrets were checked before (docker/require-secrets.sh).
set -eu
config=${ALERTMANAGER_CONFIG:-/etc/alertmanager/alertmanager.yml}
rendered=${ALERTMANAGER_RENDERED:-/tmp/alertmanager.yml}
user=$(cat "${SECRETS_DIR:-/run/secrets}/smtp_username")
case $user in
  *[!A-Za-z0-9@._+-]*)
    echo "cannot start: the secret smtp_username holds a character that no mail user has" >&2
    exit 78
    ;;
esac
sed "s/^\(  smtp_auth_username: \).*/\1'$user'/" "$config" >"$rendered"
exec "${ALERTMANAGER_BIN:-/bin/alertmanager}" --config.file="$rendered" "$@"
