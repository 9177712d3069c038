#!/usr/bin/env bash
# Brings the chain peer up on loopback and prints where it listens. VE_CHAIN_BLOCK sets the block time (default 300ms).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${VE_PEERS_DIR:-$HOME/.cache/virtengine-peers}/chain; mkdir -p "$dir"
rpc=127.0.0.1:${VE_CHAIN_RPC_PORT:-21657} grpc=127.0.0.1:${VE_CHAIN_GRPC_PORT:-21090} api=127.0.0.1:${VE_CHAIN_API_PORT:-21317} p2p=127.0.0.1:${VE_CHAIN_P2P_PORT:-21656}
exec 9>"$dir/lock"; flock 9 # two callers: the second finds it built and running
sum=$(cd "$here" && find . -name '*.go' -o -name go.mod -o -name go.sum | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
bin=$dir/chainpeer-$sum
alive() { [ -f "$dir/pid" ] && [ "$(readlink "/proc/$(cat "$dir/pid")/exe" 2>/dev/null)" = "$bin" ]; }
up() { curl -sf -m 2 "http://$rpc/status" 2>/dev/null | grep -q '"latest_block_height":"[1-9]'; }
if ! [ -x "$bin" ]; then
  echo "building the chain peer (minutes when cold)" >&2
  (cd "$here" && nice go build -mod=readonly -o "$bin.new" .) >&2 && mv "$bin.new" "$bin"
fi
if ! alive; then
  "$here/down.sh" # an older build of ours may still run
  ! up || { echo "$rpc is taken by something else" >&2; exit 1; }
  find "$dir" -maxdepth 1 -name 'chainpeer-*' ! -path "$bin" -delete
  [ -d "$dir/home" ] || "$bin" init -home "$dir/home" -block "${VE_CHAIN_BLOCK:-300ms}" -rpc "$rpc" -grpc "$grpc" -api "$api" -p2p "$p2p" >&2
  setsid nohup "$bin" start -home "$dir/home" >"$dir/log" 2>&1 </dev/null 9>&- & echo $! >"$dir/pid"
  for _ in $(seq 100); do up && break; kill -0 "$(cat "$dir/pid")" 2>/dev/null || { tail -5 "$dir/log" >&2; exit 1; }; sleep 0.2; done
  up || { echo "no block within 20 s: $dir/log" >&2; exit 1; }
fi
echo "VE_TEST_CHAIN_RPC=http://$rpc"
echo "VE_TEST_CHAIN_GRPC=http://$grpc"
echo "VE_TEST_CHAIN_HOME=$dir/home"
