#!/bin/sh
# Does the engine run in the file system of its image, as another user, on a read-only root? Assembles it with
# docker/assemble-root.sh and runs the program in it without a Docker engine: own mount, process and network name spaces,
# the root mounted read-only, user 10001 without any capability.
# Usage: image.sh PATH_OF_VELOZ (as root)
set -eu

program=$(readlink -f "$1")
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$here/docker/assemble-root.sh" "$program" "$work/root"
size=$(du -sm "$work/root" | cut -f1)
echo "the image's file system has $size MB"
for name in sh bash ls cat busybox; do
  for folder in bin usr/bin; do
    [ ! -e "$work/root/$folder/$name" ] || { echo "FAILED: there is $folder/$name in the image" >&2; exit 1; }
  done
done

# The health check's own command, from the Dockerfile.
check=$(sed -n 's/^    CMD \["\(.*\)"\]$/\1/p' "$here/docker/Dockerfile" | sed 's/", "/ /g')
[ -n "$check" ] || { echo "FAILED: no health check in the Dockerfile" >&2; exit 1; }

export work check
# shellcheck disable=SC2016 # expanded inside
unshare --mount --pid --net --fork --kill-child sh -eu -c '
  mount --make-rprivate /
  mount --bind "$work/root" "$work/root"
  mount -t proc proc "$work/root/proc"
  mount -t tmpfs tmpfs "$work/root/tmp"
  mount -t tmpfs -o mode=755 tmpfs "$work/root/dev"
  for node in null urandom random; do : >"$work/root/dev/$node"; mount --bind "/dev/$node" "$work/root/dev/$node"; done
  mount -t tmpfs -o mode=700,uid=10001,gid=10001 tmpfs "$work/root/var/lib/veloz"
  mount -o remount,bind,ro "$work/root"
  ip link set lo up
  # As user 10001 nothing is left of the capabilities that chroot needed.
  inside() { chroot --userspec=10001:10001 --groups= "$work/root" "$@"; }
  # Even root cannot write it.
  if (: >"$work/root/etc/written") 2>/dev/null; then echo "FAILED: the root can be written" >&2; exit 1; fi
  VELOZ_LOG__FORMAT=json STATE_DIRECTORY=/var/lib/veloz inside /usr/bin/veloz run --no-status --for 8 >"$work/log" 2>&1 &
  running=$!
  good=
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
    sleep 0.5
    # shellcheck disable=SC2086 # a command and its arguments
    if inside $check; then good=1; break; fi
  done
  if wait "$running"; then code=0; else code=$?; fi
  if [ -z "$good" ] || [ "$code" != 0 ]; then
    tail -n 20 "$work/log" >&2
    echo "FAILED: health check ${good:-never good}, exit code $code" >&2
    exit 1
  fi
  grep -c "\"level\":\"ERROR\"" "$work/log" | sed "s/^/error lines: /"
'
echo "ok: runs as user 10001 on a read-only root, and the health check is good"
echo "1 passed, 0 failed"
