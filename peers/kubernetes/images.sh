#!/usr/bin/env bash
# images.sh OUT PAUSE_C ADDONS: makes the images that workloads name, out of Debian packages, as archives of one layer.
set -euo pipefail
out=$1 pause_c=$2 addons=$3
mkdir -p "$out"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq busybox nginx nginx-common libc6 libcrypt1 libpcre2-8-0 libssl3 zlib1g 2>/dev/null

# image ROOT CONFIG NAME...: packs the folder ROOT.
image() {
	local root=$1 config=$2 dir=$work/$1.image names; shift 2
	mkdir "$dir"
	tar -C "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$dir/layer.tar" .
	jq -n --argjson config "$config" --arg layer "sha256:$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)" \
		'{architecture: "amd64", os: "linux", config: $config, rootfs: {type: "layers", diff_ids: [$layer]}}' >"$dir/config.json"
	names=$(printf '%s\n' "$@" | jq -R . | jq -s .)
	jq -n --argjson names "$names" '[{Config: "config.json", RepoTags: $names, Layers: ["layer.tar"]}]' >"$dir/manifest.json"
	tar -C "$dir" -cf "$out/$root.tar" manifest.json config.json layer.tar
}

# userland ROOT: a shell and its tools.
userland() {
	mkdir -p "$1"/{bin,dev,etc,proc,root,run,sys,tmp,usr/bin,usr/sbin,var/log}
	chmod 1777 "$1/tmp"
	dpkg -x busybox_*.deb "$1"; dpkg -x libc6_*.deb "$1"
	rm -rf "$1"/usr/share "$1"/usr/lib/x86_64-linux-gnu/{gconv,audit}
	for tool in $("$1/bin/busybox" --list); do [ -e "$1/bin/$tool" ] || ln -s busybox "$1/bin/$tool"; done
	printf 'root:x:0:0:root:/root:/bin/sh\nnginx:x:101:101:nginx:/nonexistent:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnginx:x:101:\n' >"$1/etc/group"
}

path='"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'
mkdir -p pause addons/tmp
cc -static -Os -s -DVERSION=3.10 -o pause/pause "$pause_c"
cp pause/pause "$out/pause"
image pause '{"Entrypoint": ["/pause"]}' registry.k8s.io/pause:3.10
cp "$addons" addons/addons
image addons '{"Entrypoint": ["/addons"]}' virtengine.test/addons:latest
userland busybox
image busybox "{$path, \"Cmd\": [\"sh\"]}" docker.io/library/busybox:{latest,1.35}
userland nginx
for package in nginx_* nginx-common_* libcrypt1_* libpcre2-8-0_* libssl3_* zlib1g_*; do dpkg -x "$package" nginx; done
rm -rf nginx/usr/share/{doc,man,lintian,locale}
mkdir -p nginx/var/lib/nginx nginx/var/log/nginx nginx/etc/nginx/conf.d
cat >nginx/etc/nginx/nginx.conf <<'CONF'
user nginx;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 512; }
http {
	include mime.types;
	access_log /dev/stdout;
	server { listen 80; root /usr/share/nginx/html; }
}
CONF
image nginx "{$path, \"Cmd\": [\"nginx\", \"-g\", \"daemon off;\"], \"StopSignal\": \"SIGQUIT\"}" docker.io/library/nginx:{latest,1.22}
