#!/usr/bin/env bash
# Stops the chain peer; `down.sh wipe` also forgets its state. Only a process that runs our binary is ended.
set -euo pipefail
dir=${VE_PEERS_DIR:-$HOME/.cache/virtengine-peers}/chain
ours() { case "$(readlink "/proc/$1/exe" 2>/dev/null)" in "$dir"/chainpeer-*) true ;; *) false ;; esac; }
if [ -f "$dir/pid" ]; then
  pid=$(cat "$dir/pid")
  if ours "$pid"; then
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do ours "$pid" || break; sleep 0.1; done
  fi
  rm -f "$dir/pid"
fi
rm -f "$dir/test-run"
[ "${1:-}" != wipe ] || rm -rf "$dir"/home "$dir"/home-*
