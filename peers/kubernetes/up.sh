#!/usr/bin/env bash
# Brings up a cluster of one node and prints how tests reach it. Safe to run again: what runs is left alone, what was killed is
# started. VE_PEER_TEST_RUN=1: a run of tests asks, and the last run that uses it takes it down; otherwise whoever asked does.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ "$(id -u)" = 0 ] || { echo "the kubernetes peer needs root: it makes namespaces, a link and control groups" >&2; exit 1; }
command -v go >/dev/null || { echo "the kubernetes peer needs Go 1.26 or newer" >&2; exit 1; }
mkdir -p "$bin" "$run" "$log" "$pki"
exec 9>"$state/lock"; flock 9 # two callers: the second finds it built and running

packages() {
	local name missing=()
	for name in containerd runc containernetworking-plugins conntrack ipset iptables nftables iproute2 procps util-linux \
		openssl gcc libc6-dev jq curl; do
		dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing ${missing[*]}" >&2
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}"; } \
		>"$log/apt.log" 2>&1 || { tail -n 5 "$log/apt.log" >&2; exit 1; }
}

programs() {
	local about=k8s.io/component-base/version sum
	sum=$(cd "$here" && cat main.go addons/*.go go.mod go.sum images.sh | sha256sum)
	[ "$(cat "$bin/sum" 2>/dev/null)" != "$sum" ] || return 0
	echo "building the kubernetes peer (ten minutes when cold)" >&2
	"$here/down.sh" # it may run with the programs of before
	mkdir -p "$run" "$log"
	export CGO_ENABLED=0 GOFLAGS='-buildvcs=false -mod=readonly'
	cd "$here"
	nice go build -trimpath -o "$bin/kube" -ldflags "-s -w -X $about.gitVersion=v$version -X $about.gitMajor=1 \
		-X $about.gitMinor=${version:2:2} -X $about.gitTreeState=clean -X $about.gitCommit=module \
		-X $about.buildDate=2026-01-01T00:00:00Z" . >&2
	nice go build -trimpath -o "$bin/addons" -ldflags "-s -w" ./addons >&2
	./images.sh "$images" "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c" "$bin/addons" >&2
	echo "$sum" >"$bin/sum"
}

# certificate NAME SUBJECT EXTENSION...: openssl's own defaults would mark each as an authority, which clients refuse.
certificate() {
	local name=$1 subject=$2 signer=(-CA ca.crt -CAkey ca.key); shift 2
	[ "$name" != ca ] || signer=()
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "$subject" "${signer[@]}" \
		-config <(printf '[req]\ndistinguished_name=dn\nx509_extensions=x\n[dn]\n[x]\n'; printf '%s\n' "$@") \
		-keyout "$name.key" -out "$name.crt" 2>/dev/null
}

# access FILE USER: how a client reaches the API.
access() {
	cat >"$1" <<-YAML
		apiVersion: v1
		kind: Config
		clusters: [{name: peer, cluster: {server: "https://$node_ip:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
		users: [{name: peer, user: {$2}}]
		contexts: [{name: peer, context: {cluster: peer, user: peer}}]
		current-context: peer
	YAML
}

credentials() {
	local name user groups token
	cd "$pki"
	if ! [ -s sa.key ]; then
		certificate ca /CN=peer-ca basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign subjectKeyIdentifier=hash
		certificate server /CN=kube-apiserver extendedKeyUsage=serverAuth \
			"subjectAltName=IP:$node_ip,IP:127.0.0.1,IP:${services%.*}.1,DNS:localhost,DNS:kubernetes.default.svc"
		certificate admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth
		openssl ecparam -name prime256v1 -genkey -noout -out sa.key
	fi
	access "$KUBECONFIG" "client-certificate-data: $(base64 -w0 admin.crt), client-key-data: $(base64 -w0 admin.key)"
	: >tokens.csv
	while read -r name user groups; do
		token=$(openssl rand -hex 16)
		echo "$token,$user,$user,\"$groups\"" >>tokens.csv
		access "$name.kubeconfig" "token: $token"
	done <<-LIST
		kubelet system:node:ve-node system:nodes
		controllers system:kube-controller-manager
		scheduler system:kube-scheduler
		proxy system:kube-proxy
		addons system:admin system:masters
	LIST
}

# Written once per node: kube-proxy ends when its file is touched.
settings() {
	cat >"$node/containerd.toml" <<-TOML
		version = 2
		disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
		  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
		[plugins."io.containerd.grpc.v1.cri"]
		  restrict_oom_score_adj = true
		  sandbox_image = "registry.k8s.io/pause:3.10"
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
	TOML
	cat >"$node/kubelet.yaml" <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $node_ip
		authentication: {x509: {clientCAFile: "$pki/ca.crt"}}
		cgroupDriver: cgroupfs
		cgroupRoot: /$group
		clusterDNS: ["${services%.*}.10"]
		clusterDomain: cluster.local
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		evictionHard: {memory.available: 100Mi, nodefs.available: 200Mi, imagefs.available: 200Mi}
		failCgroupV1: false
		failSwapOn: false
		imageGCHighThresholdPercent: 100
		resolvConf: ""
	YAML
	cat >"$node/proxy.yaml" <<-YAML
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		bindAddressHardFail: false
		clientConnection: {kubeconfig: "$pki/proxy.kubeconfig"}
		clusterCIDR: $pods
		conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
		healthzBindAddress: 127.0.0.1
		hostnameOverride: ve-node
		metricsBindAddress: 127.0.0.1
		mode: nftables
	YAML
	cat >"$node/etc/cni/net.d/10-peer.conflist" <<-JSON
		{"cniVersion": "1.0.0", "name": "peer", "plugins": [
		 {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {"type": "host-local",
		  "ranges": [[{"subnet": "${pods%.*.*}.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
		 {"type": "portmap", "capabilities": {"portMappings": true}}]}
	JSON
}

# holds PID: PID has started the process that holds the node, and that has done its preparations.
holds() { child_of "$1" node && [ "$(readlink "/proc/$(cat "$run/node.pid")/exe")" = "$images/pause" ]; }

# The node: one process in network, mount and process namespaces of its own, which every daemon joins.
make_node() {
	! alive node || return 0
	local dir binds='' outer
	(umask 077; credentials)
	rm -rf "$node" "${run:?}"/* "$log"/*.log
	for dir in /var/lib/kubelet /var/lib/cni /var/lib/containerd /var/lib/etcd /var/log/pods /var/log/containers /run/containerd \
		/run/netns /etc/cni/net.d; do
		mkdir -p "$dir" "$node$dir"
		binds+="mount --rbind '$node$dir' '$dir'; "
	done
	echo "nameserver 127.0.0.1" >"$node/etc/resolv.conf" # a pull fails at once, and no packet leaves
	binds+="mount --bind '$node/etc/resolv.conf' /etc/resolv.conf; "
	settings
	setsid unshare --net --mount --pid --fork --mount-proc --kill-child --propagation private \
		bash -c "mount --make-rshared /; $binds ip link set lo up; exec '$images/pause'" 9>&- </dev/null >"$log/node.log" 2>&1 &
	outer=$!
	within 10 holds "$outer" || { cat "$log/node.log" >&2; return 1; }
	ip link del "$link" 2>/dev/null || true
	ip link add "$link" type veth peer name eth0 netns "$(cat "$run/node.pid")"
	ip addr add "$host_ip/30" dev "$link"; ip link set "$link" up
	inside ip addr add "$node_ip/30" dev eth0
	inside ip addr add "$metadata/32" dev eth0
	inside ip link set eth0 up
	inside ip route add "$services" dev eth0 # the node's own packets need a route before they are translated
	inside sysctl -qw net.ipv4.ip_forward=1
	ip route add "$pods" via "$node_ip"; ip route add "$services" via "$node_ip"
	# The kubelet changes these for the whole machine; down.sh puts them back.
	sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys \
		kernel.keys.root_maxbytes >"$run/sysctl"
	for dir in /sys/fs/cgroup/*/cgroup.clone_children; do # version 1: one folder in each hierarchy
		[ -e "$dir" ] || continue
		dir=${dir%/*}; mkdir -p "$dir/$group"
		[ ! -e "$dir/cpuset.cpus" ] || for f in cpuset.cpus cpuset.mems; do cat "$dir/$f" >"$dir/$group/$f"; done
	done
}

control_plane() {
	daemon etcd "$bin/kube" etcd --data-dir=/var/lib/etcd --unsafe-no-fsync --log-level=warn
	daemon apiserver "$bin/kube" kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address="$node_ip" \
		--advertise-address="$node_ip" --service-cluster-ip-range="$services" --allow-privileged --authorization-mode=Node,RBAC \
		--enable-admission-plugins=NodeRestriction --tls-cert-file="$pki/server.crt" --tls-private-key-file="$pki/server.key" \
		--client-ca-file="$pki/ca.crt" --token-auth-file="$pki/tokens.csv" \
		--service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.key" \
		--service-account-signing-key-file="$pki/sa.key" --kubelet-preferred-address-types=InternalIP \
		--kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key"
	daemon controllers "$bin/kube" kube-controller-manager --kubeconfig="$pki/controllers.kubeconfig" --leader-elect=false \
		--use-service-account-credentials --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
		--allocate-node-cidrs --cluster-cidr="$pods" --bind-address=127.0.0.1 --kube-api-qps=300 --kube-api-burst=600
	daemon scheduler "$bin/kube" kube-scheduler --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
	within 60 kubectl get --raw /readyz
}

node_daemons() {
	local archive
	daemon containerd containerd --config "$node/containerd.toml"
	within 20 inside ctr version
	for archive in "$images"/*.tar; do
		[ -e "$node/${archive##*/}.done" ] || { inside ctr -n k8s.io images import "$archive" >/dev/null && : >"$node/${archive##*/}.done"; }
	done
	daemon kubelet "$bin/kube" kubelet --config="$node/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" \
		--hostname-override=ve-node --node-ip="$node_ip"
	daemon proxy "$bin/kube" kube-proxy --config="$node/proxy.yaml"
	within 60 kubectl get node ve-node
	daemon netpol "$bin/addons" netpol -kubeconfig "$pki/addons.kubeconfig" -node ve-node -services "$services"
	daemon provisioner "$bin/addons" provisioner -kubeconfig "$pki/addons.kubeconfig" -node ve-node -root "$node/volumes"
	daemon metadata "$bin/addons" metadata -listen "$metadata:80"
}

packages
programs
[ -n "${VE_PEER_TEST_RUN:-}" ] || rm -f "$state/test-run" # from now on it is somebody's who says so
fresh=; alive node || fresh=1
make_node
control_plane
node_daemons
kubectl apply -f "$here/addons.yaml" >/dev/null
kubectl wait --for=condition=Ready node/ve-node --timeout=60s >/dev/null
kubectl -n kube-system wait --for=condition=Available deployment --all --timeout=60s >/dev/null
within 60 kubectl -n default get serviceaccount default
[ -z "$fresh" ] || [ -z "${VE_PEER_TEST_RUN:-}" ] || touch "$state/test-run"
echo "VE_TEST_KUBECONFIG=$KUBECONFIG"
