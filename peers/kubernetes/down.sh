#!/usr/bin/env bash
# Ends the cluster and gives the machine back as it was; programs and images are kept. The node is one process that everything
# else lives in: when it ends, the kernel ends every daemon, container, mount and packet rule.
set -euo pipefail
. "$(dirname "$0")/env.sh"
if alive node; then
	kill -9 "$(cat "$run/node.pid")"
	ended() { ! alive node; }
	within 20 ended
fi
[ ! -e "$run/sysctl" ] || sysctl -qp "$run/sysctl" >/dev/null
ip link del "$link" 2>/dev/null || true
for dir in /sys/fs/cgroup/*/"$group"; do
	[ ! -d "$dir" ] || within 15 find "$dir" -depth -type d -exec rmdir {} +
done
rm -rf "$node" "$run" "$state/test-run"
