#!/bin/sh
# Installs VeloZ as a service: install.sh [--account] [--instance CPU]... [--start] [BINARY]
#   BINARY      the program; default target/release/veloz of this repository
#   --account   with the drop-in that hands over the keys of an account (/etc/veloz/credentials)
#   --instance  enables veloz@CPU.service instead of veloz.service; may be given several times
#   --start     starts what is enabled
# DESTDIR puts everything under another root, and then nothing is enabled or started. Files of /etc/veloz that are there stay.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
account=
start=
instances=
binary=$here/../target/release/veloz

while [ $# -gt 0 ]; do
  case $1 in
    --account) account=1 ;;
    --start) start=1 ;;
    --instance)
      shift
      case ${1:-} in
        '' | *[!0-9]*) echo "install.sh: --instance needs the number of a CPU, got '${1:-}'" >&2; exit 64 ;;
      esac
      instances="$instances $1"
      ;;
    -*) echo "install.sh: unknown option $1" >&2; exit 64 ;;
    *) binary=$1 ;;
  esac
  shift
done

if [ ! -x "$binary" ]; then
  echo "install.sh: $binary is not there or not executable; build it with: cargo build --release" >&2
  exit 66
fi
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
  echo "install.sh: needs root, or DESTDIR" >&2
  exit 77
fi

put() { # MODE SOURCE TARGET
  install -D -m "$1" "$2" "$root$3"
}
keep() { # MODE SOURCE TARGET: not over what is there
  [ -e "$root$3" ] || put "$1" "$2" "$3"
}

put 755 "$binary" /usr/bin/veloz
put 644 "$here/veloz.service" /etc/systemd/system/veloz.service
put 644 "$here/veloz@.service" /etc/systemd/system/veloz@.service
put 644 "$here/veloz.slice" /etc/systemd/system/veloz.slice
put 644 "$here/veloz.sysusers" /etc/sysusers.d/veloz.conf
put 644 "$here/veloz.tmpfiles" /etc/tmpfiles.d/veloz.conf
put 644 "$here/veloz.sysctl" /etc/sysctl.d/60-veloz.conf
put 644 "$here/veloz.logrotate" /etc/logrotate.d/veloz
put 644 "$here/README.md" /usr/share/doc/veloz/service.md
put 644 "$here/tuning.md" /usr/share/doc/veloz/tuning.md
put 644 "$here/../README.md" /usr/share/doc/veloz/README.md
for overlay in veloz paper testnet live; do
  put 644 "$here/../config/$overlay.toml" "/usr/share/doc/veloz/$overlay.toml"
done
keep 644 "$here/site.toml" /etc/veloz/site.toml
keep 644 "$here/veloz.env" /etc/veloz/veloz.env
for cpu in $instances; do
  [ -e "$root/etc/veloz/cpu$cpu.toml" ] || {
    mkdir -p "$root/etc/veloz"
    echo "# What only the engine on CPU $cpu has, over site.toml." >"$root/etc/veloz/cpu$cpu.toml"
  }
done
if [ -n "$account" ]; then
  put 644 "$here/account.conf" /etc/systemd/system/veloz.service.d/account.conf
  put 644 "$here/account.conf" /etc/systemd/system/veloz@.service.d/account.conf
fi

if [ -n "$root" ]; then
  echo "installed under $root; nothing was enabled"
  exit 0
fi
systemd-sysusers /etc/sysusers.d/veloz.conf
systemd-tmpfiles --create /etc/tmpfiles.d/veloz.conf
systemctl daemon-reload
if [ -n "$account" ]; then
  for name in binance_api_key binance_private_key.pem; do
    [ -s "/etc/veloz/credentials/$name" ] || echo "put the account's key into /etc/veloz/credentials/$name (chmod 600) before the start"
  done
fi
units=
for cpu in $instances; do units="$units veloz@$cpu.service"; done
# shellcheck disable=SC2086 # a list of units
systemctl enable ${start:+--now} ${units:-veloz.service}
echo "enabled:${units:- veloz.service}; sysctls come with: sysctl --system; then: veloz check"
