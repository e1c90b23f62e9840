#!/bin/sh
# Takes away what install.sh installed: uninstall.sh [--purge]
#   --purge  also configuration, credentials, state and logs, the audit among them: it has to be kept for a year in many places
# Stopping cancels what the engines have open at the venue. DESTDIR as in install.sh.
set -eu

root=${DESTDIR:-}
purge=
case ${1:-} in
  '') ;;
  --purge) purge=1 ;;
  *) echo "uninstall.sh: unknown option $1" >&2; exit 64 ;;
esac
if [ -z "$root" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "uninstall.sh: needs root, or DESTDIR" >&2
    exit 77
  fi
  # Also those that are only loaded; a pattern matches these alone.
  systemctl stop 'veloz.service' 'veloz@*.service'
  left=$(systemctl list-units --failed --no-legend 'veloz.service' 'veloz@*.service')
  if [ -n "$left" ]; then
    echo "uninstall.sh: a stop failed, so orders may be open; look before anything is removed:" >&2
    echo "$left" >&2
    exit 1
  fi
  systemctl disable veloz.service 'veloz@.service'
fi

for file in \
  /usr/bin/veloz /etc/systemd/system/veloz.service /etc/systemd/system/veloz@.service /etc/systemd/system/veloz.slice \
  /etc/systemd/system/veloz.service.d/account.conf /etc/systemd/system/veloz@.service.d/account.conf \
  /etc/sysusers.d/veloz.conf /etc/tmpfiles.d/veloz.conf /etc/sysctl.d/60-veloz.conf /etc/logrotate.d/veloz; do
  rm -f "$root$file"
done
for folder in /etc/systemd/system/veloz.service.d /etc/systemd/system/veloz@.service.d; do
  # Drop-ins of others stay.
  rmdir "$root$folder" 2>/dev/null || true
done
rm -rf "$root/usr/share/doc/veloz"
if [ -n "$purge" ]; then
  rm -rf "$root/etc/veloz" "$root/var/lib/veloz" "$root/var/log/veloz"
fi
if [ -z "$root" ]; then
  systemctl daemon-reload
  # The user stays while files of it do.
  [ -z "$purge" ] || userdel veloz 2>/dev/null || true
fi
[ -n "$purge" ] || echo "kept: /etc/veloz, /var/lib/veloz, /var/log/veloz (--purge takes them too)"
