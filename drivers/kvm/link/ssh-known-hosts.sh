#!/bin/sh
# ssh(1) for libvirt, which can name a key but no file of known hosts: the one beside the key is used, and no other.
set -eu
previous=
for word; do
    if [ "$word" = -- ]; then break; fi
    if [ "$previous" = -i ]; then directory=${word%/*}; fi
    previous=$word
done
set -- -o "UserKnownHostsFile=$directory/known_hosts" -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes "$@"
if [ -e "$directory/id" ]; then set -- -o IdentitiesOnly=yes "$@"; fi
exec ssh "$@"
