#!/bin/bash
# Enter the cgroups of a host and become the parent of its pid 1.   host-outer.sh INIT CGROUP...
# The caller has put this process into the network namespace of the host.
set -eu
init=$1
shift
for directory; do echo $$ >"$directory/tasks"; done
exec unshare --cgroup --mount --pid --uts --ipc --fork --kill-child=KILL --propagation private "$init"
