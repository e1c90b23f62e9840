#!/bin/sh
# Writes the files of secrets that docker-compose.yml hands to its services: docker/secrets/NAME. A variable of the guide that is set (SMTP_USERNAME,
# SMTP_PASSWORD, SLACK_WEBHOOK_URL, PAGERDUTY_SERVICE_KEY, PAGERDUTY_TRADING_KEY, PAGERDUTY_RISK_KEY, OPSGENIE_API_KEY) fills
# its file; one that is not set gets a placeholder with which the service starts and its deliveries fail, visibly
# (AlertDeliveryFailing). The scrape token is made up. Files that are there stay as they are, except for set variables.
# Usage: [SLACK_WEBHOOK_URL=… …] docker/make-secrets.sh [DIRECTORY]
set -eu
dir=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$dir"
# The services run as other users, so the files are readable; the directory keeps everybody else of this machine out.
chmod 700 "$dir"

write() { # NAME VALUE
  printf '%s' "$2" >"$dir/$1"
  chmod 444 "$dir/$1"
}
secret() { # NAME VALUE PLACEHOLDER
  if [ -n "$2" ]; then
    rm -f "$dir/$1"
    write "$1" "$2"
    echo "$dir/$1: set"
  elif [ -e "$dir/$1" ]; then
    echo "$dir/$1: kept"
  else
    write "$1" "$3"
    echo "$dir/$1: placeholder; nothing is delivered with it"
  fi
}

secret smtp_username "${SMTP_USERNAME:-}" alertmanager@veloz.io
secret smtp_password "${SMTP_PASSWORD:-}" unset
secret slack_webhook_url "${SLACK_WEBHOOK_URL:-}" http://127.0.0.1:9/unset
secret pagerduty_service_key "${PAGERDUTY_SERVICE_KEY:-}" unset
secret pagerduty_trading_key "${PAGERDUTY_TRADING_KEY:-}" unset
secret pagerduty_risk_key "${PAGERDUTY_RISK_KEY:-}" unset
secret opsgenie_api_key "${OPSGENIE_API_KEY:-}" unset
random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}
if [ ! -e "$dir/scrape_token" ]; then
  write scrape_token "$(random)"
  echo "$dir/scrape_token: made up"
fi
# The engine reads a secret only where nobody else can: its files belong to the image's user.
own() { # NAME VALUE
  write "$1" "$2"
  chmod 400 "$dir/$1"
  if [ "$(id -u)" = 0 ]; then
    chown 10001:10001 "$dir/$1"
  else
    echo "$dir/$1: belongs to you and not to user 10001, so the engine will refuse it: run this as root" >&2
  fi
}
if [ ! -e "$dir/veloz_admin_password" ]; then
  own veloz_admin_password "$(random)"
  echo "$dir/veloz_admin_password: made up; the first user is admin with this password"
fi
rm -f "$dir/veloz_scrape_token"
own veloz_scrape_token "$(cat "$dir/scrape_token")"
