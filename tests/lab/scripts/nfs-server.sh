#!/bin/bash
# An NFS server in user space (nfs-ganesha), in a network namespace of its own.   nfs-server.sh DIRECTORY
# It exports DIRECTORY/export as /vms, NFS 4 only; rpcbind is there because ganesha does not start without.
set -eu
directory=$1
mount -t tmpfs tmpfs /run
mkdir -p /run/ganesha /run/rpcbind "$directory/export" "$directory/recovery"
rpcbind -w
exec ganesha.nfsd -F -f "$directory/ganesha.conf" -L "$directory/ganesha.log" -p /run/ganesha.pid -N NIV_EVENT
