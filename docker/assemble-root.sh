#!/bin/sh
# Assembles the file system of the engine's image: assemble-root.sh PROGRAM TARGET. The Dockerfile runs it, and a check of
# this repository runs the program in the result without Docker (tools/checks/image.sh).
set -eu

program=$1
target=$2
if [ -e "$target" ] && [ -n "$(ls -A "$target")" ]; then
  echo "assemble-root.sh: $target is not empty" >&2
  exit 73
fi
umask 022
mkdir -p "$target/usr/bin" "$target/etc/veloz" "$target/tmp" "$target/run/secrets" "$target/proc" "$target/sys" "$target/dev"
install -m 755 "$program" "$target/usr/bin/veloz"

# The libraries that the program links, at the paths where it looks for them.
ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
  install -D -m 755 "$(readlink -f "$library")" "$target$library"
done
if [ ! -e "$target/lib64/ld-linux-x86-64.so.2" ] && [ ! -e "$target/lib/ld-linux-aarch64.so.1" ]; then
  echo "assemble-root.sh: the loader of $program was not found" >&2
  exit 70
fi

# Under this name busybox is wget and nothing else.
install -m 755 "$(command -v busybox)" "$target/usr/bin/wget"

echo 'veloz:x:10001:10001:VeloZ:/var/lib/veloz:/nonexistent' >"$target/etc/passwd"
echo 'veloz:x:10001:' >"$target/etc/group"
echo 'hosts: files dns' >"$target/etc/nsswitch.conf"
chmod 1777 "$target/tmp"
# A new volume takes owner and mode from here.
for folder in var/lib/veloz var/log/veloz; do
  mkdir -p "$target/$folder"
  chmod 700 "$target/$folder"
  if [ "$(id -u)" = 0 ]; then chown 10001:10001 "$target/$folder"; fi
done
chmod 750 "$target/var/log/veloz"
