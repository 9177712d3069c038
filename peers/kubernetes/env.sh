# What the scripts here share; read by them, not run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=${VE_PEERS_DIR:-$HOME/.cache/virtengine-peers}/kubernetes
case $state in /*) ;; *) echo "VE_PEERS_DIR must be an absolute path" >&2; exit 1 ;; esac
bin=$state/bin run=$state/run log=$state/log pki=$state/pki images=$state/images node=$state/node
version=1.37.2
net=${VE_KUBERNETES_NET:-10.213.7} # between this machine and the node: a network of four addresses
host_ip=$net.1 node_ip=$net.2 link=ve-kube0 group=ve-kube
pods=10.244.0.0/16 services=10.96.0.0/16 # reached from here, so tests can be clients
metadata=169.254.169.254                 # where a cloud gives its credentials away
export KUBECONFIG=$state/kubeconfig

kubectl() { "$bin/kube" kubectl "$@"; }

# A process is known by its number and the time it began: a number that is used again is not ours.
began() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
remember() { local at; at=$(began "$2") && [ -n "$at" ] && echo "$at" >"$run/$1.began" && echo "$2" >"$run/$1.pid"; }
alive() { [ -s "$run/$1.pid" ] && [ -s "$run/$1.began" ] && [ "$(began "$(cat "$run/$1.pid")")" = "$(cat "$run/$1.began")" ]; }

# within SECONDS COMMAND...: repeats the command until it succeeds.
within() {
	local end=$((SECONDS + $1)); shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "not within its time: $*" >&2; return 1; }
		sleep 0.2
	done
}

# inside COMMAND...: in the namespaces of the node.
inside() { nsenter -t "$(cat "$run/node.pid")" -n -m -p -- "$@"; }

# child_of PID NAME: remembers the one process that PID has started.
child_of() {
	local child; child=$(cut -d' ' -f1 "/proc/$1/task/$1/children") && [ -n "$child" ] && remember "$2" "$child"
}

# daemon NAME COMMAND...: starts it in the node, unless it runs.
daemon() {
	local name=$1 outer; shift
	! alive "$name" || return 0
	setsid nsenter -t "$(cat "$run/node.pid")" -n -m -p -- "$@" 9>&- </dev/null >>"$log/$name.log" 2>&1 &
	outer=$!
	within 10 child_of "$outer" "$name" || { echo "$name does not start:" >&2; tail -n 5 "$log/$name.log" >&2; return 1; }
}
