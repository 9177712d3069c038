#!/usr/bin/env bash
# Brings the chain peer up on loopback and prints where it listens. VE_CHAIN_BLOCK sets the block time (default 300ms).
# VE_PEER_TEST_RUN=1: a run of tests asks, and the last run that uses it takes it down; otherwise whoever asked does.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${VE_PEERS_DIR:-$HOME/.cache/virtengine-peers}/chain; mkdir -p "$dir"
block=${VE_CHAIN_BLOCK:-300ms}
rpc=127.0.0.1:${VE_CHAIN_RPC_PORT:-21657} grpc=127.0.0.1:${VE_CHAIN_GRPC_PORT:-21090} api=127.0.0.1:${VE_CHAIN_API_PORT:-21317} p2p=127.0.0.1:${VE_CHAIN_P2P_PORT:-21656}
exec 9>"$dir/lock"; flock 9 # two callers: the second finds it built and running
sum=$(cd "$here" && find . -name '*.go' -o -name go.mod -o -name go.sum | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
bin=$dir/chainpeer-$sum
# The chain belongs to the program and the settings that it was made with: another program may not read its state.
home=$dir/home-$sum-$(printf '%s ' "$block" "$rpc" "$grpc" "$api" "$p2p" | sha256sum | cut -c1-6)
alive() {
  [ -f "$dir/pid" ] || return 1
  local pid; pid=$(cat "$dir/pid")
  [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$bin" ] && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$home"
}
up() { curl -sf -m 2 "http://$rpc/status" 2>/dev/null | grep -q '"latest_block_height":"[1-9]'; }
if ! [ -x "$bin" ]; then
  echo "building the chain peer (minutes when cold)" >&2
  (cd "$here" && nice go build -mod=readonly -o "$bin.new" .) >&2 && mv "$bin.new" "$bin"
fi
[ -n "${VE_PEER_TEST_RUN:-}" ] || rm -f "$dir/test-run" # from now on it is somebody's who says so
if ! alive; then
  if [ -f "$dir/pid" ] && [ "$(readlink "/proc/$(cat "$dir/pid")/exe" 2>/dev/null)" = "$bin" ]; then
    echo "the chain peer runs with other settings: end it with peers/chain/down.sh, or give VE_PEERS_DIR another folder" >&2; exit 1
  fi
  "$here/down.sh" # an older build of ours may still run
  ! up || { echo "$rpc is taken by something else" >&2; exit 1; }
  find "$dir" -maxdepth 1 -name 'chainpeer-*' ! -path "$bin" -delete
  for old in "$dir"/home "$dir"/home-*; do [ "$old" = "$home" ] || rm -rf "$old"; done
  [ -d "$home" ] || "$bin" init -home "$home" -block "$block" -rpc "$rpc" -grpc "$grpc" -api "$api" -p2p "$p2p" >&2
  setsid nohup "$bin" start -home "$home" >"$dir/log" 2>&1 </dev/null 9>&- & echo $! >"$dir/pid"
  for _ in $(seq 100); do up && break; kill -0 "$(cat "$dir/pid")" 2>/dev/null || { tail -5 "$dir/log" >&2; exit 1; }; sleep 0.2; done
  up || { echo "no block within 20 s: $dir/log" >&2; exit 1; }
  [ -z "${VE_PEER_TEST_RUN:-}" ] || touch "$dir/test-run"
fi
echo "VE_TEST_CHAIN_RPC=http://$rpc"
echo "VE_TEST_CHAIN_GRPC=http://$grpc"
echo "VE_TEST_CHAIN_HOME=$home"
