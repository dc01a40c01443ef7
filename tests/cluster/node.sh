# The real node of `cluster up --node`, sourced by `cluster`: containerd, kubelet, kube-proxy and
# CoreDNS as processes of this machine. It joins the machine's network (a bridge, iptables rules,
# ports of the kubelet), so there is one per machine. shellcheck shell=bash

pods=10.244.0.0/24 dns_address=10.0.0.10 plugins=/usr/lib/cni

node_requirements() {
  local program lacking=()
  [ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ] || unavailable "a real node needs Linux and root"
  for program in containerd runc ctr iptables conntrack; do
    command -v $program >/dev/null || lacking+=("$program")
  done
  [ -x $plugins/bridge ] || lacking+=("the CNI plugins in $plugins")
  [ ${#lacking[@]} = 0 ] ||
    unavailable "a real node needs ${lacking[*]} (Debian: apt-get install containerd runc containernetworking-plugins iptables conntrack)"
  [ ! -e /sys/class/net/fabric-test0 ] || fail "another cluster's node is up on this machine (its bridge fabric-test0 is there)"
}

containers() { ctr -a "$DIR/containerd.sock" -n k8s.io "$@"; }

real_node() {
  address=$(hostname -I | cut -d' ' -f1)
  start_containerd && load_pause && start_kubelet && start_dns && local_volumes &&
    await kubelet 90 "the node is Ready" kube wait --for=condition=Ready node/node1 --timeout=5s
}

start_containerd() {
  mkdir -p "$DIR/cni"
  cat >"$DIR/cni/10-pods.conflist" <<J
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "fabric-test0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$DIR/ipam", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
  # restrict_oom_score_adj: small virtual machines have no CAP_SYS_RESOURCE.
  cat >"$DIR/containerd.toml" <<T
version = 2
root = "$DIR/containerd/root"
state = "$DIR/containerd/state"
[grpc]
  address = "$DIR/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  sandbox_image = "kubectl-fabric.invalid/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$DIR/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
T
  start containerd "$(command -v containerd)" --config "$DIR/containerd.toml"
  await containerd 30 "containerd answers" containers version
}

load_pause() {
  mkdir -p "$DIR/pause" && cp "$(locate pause)" "$DIR/pause/pause" &&
    load kubectl-fabric.invalid/pause:1 "$DIR/pause" --entrypoint '["/pause"]'
}

load() { # ARCHIVE, or REF ROOTFS FLAGS...: the node pulls nothing, it is given its images
  if [ $# = 1 ]; then containers images import "$1" >/dev/null && name_by_digest; return; fi
  local reference=$1 root=$2 archive status=0; shift 2
  archive=$(mktemp "$DIR/image.XXXXXX")
  "$(locate image)" "$reference" "$root" "$archive" "$@" && containers images import "$archive" >/dev/null &&
    name_by_digest "name==$reference" || status=$?
  rm -f "$archive"
  return $status
}

name_by_digest() { # pods may name an image by its digest, as if a registry had served it
  local reference digest
  containers images ls "$@" | awk 'NR > 1 && $1 !~ /@|^sha256:/ { print $1, $3 }' | while read -r reference digest; do
    containers images tag --force "$reference" "${reference%:*}@$digest" >/dev/null
  done
}

start_kubelet() {
  # failCgroupV1, enforceNodeAllocatable: small virtual machines come with cgroups as they are.
  # evictionHard, imageGC: the disk is the machine's, and what others leave free of it is no reason
  # to end pods or to remove images that cannot be pulled again.
  cat >"$DIR/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
enforceNodeAllocatable: []
failSwapOn: false
evictionHard: {memory.available: "100Mi", nodefs.available: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
containerRuntimeEndpoint: unix://$DIR/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: $address
clusterDNS: [$dns_address]
clusterDomain: cluster.local
K
  start kubelet "$(locate kubelet)" --kubeconfig="$DIR/components.kubeconfig" --config="$DIR/kubelet.yaml" \
    --root-dir="$DIR/kubelet" --hostname-override=node1 --node-ip="$address"
  start proxy "$(locate kube-proxy)" --kubeconfig="$DIR/components.kubeconfig" --cluster-cidr="$pods" \
    --hostname-override=node1 --conntrack-max-per-core=0
}

start_dns() { # behind the Service that pods are pointed at
  cat >"$DIR/Corefile" <<C
.:10053 {
  bind $address
  kubernetes cluster.local {
    kubeconfig $DIR/components.kubeconfig component
  }
}
C
  start coredns "$(locate coredns)" -conf "$DIR/Corefile"
  kube apply -f - >/dev/null <<K
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $dns_address
  ports: [{name: dns, port: 53, targetPort: 10053, protocol: UDP}, {name: dns-tcp, port: 53, targetPort: 10053, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: ["$address"], conditions: {ready: true}}]
ports: [{name: dns, port: 10053, protocol: UDP}, {name: dns-tcp, port: 10053, protocol: TCP}]
K
}

local_volumes() { # a default StorageClass over local volumes, which honour fsGroup as a disk does
  local number
  {
    cat <<K
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
K
    for number in $(seq 60); do
      mkdir -p "$DIR/volumes/$number"
      cat <<K
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: local-$number}
spec:
  capacity: {storage: 100Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: standard
  persistentVolumeReclaimPolicy: Retain
  local: {path: $DIR/volumes/$number}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}]}}
K
    done
  } | kube apply -f - >/dev/null
}

stop_containers() { # before containerd, which alone knows them
  local task
  stop kubelet
  if running containerd; then
    for task in $(containers tasks ls -q 2>/dev/null); do containers tasks kill -s KILL "$task" 2>/dev/null || true; done
    for task in $(containers tasks ls -q 2>/dev/null); do containers tasks delete -f "$task" >/dev/null 2>&1 || true; done
  fi
}

leave_machine() { # mounts, shims and the bridge outlive the processes that made them
  local mount pid
  for pid in $(pgrep -f "containerd-shim.* -address $DIR/containerd.sock" || true); do kill -KILL "$pid" 2>/dev/null || true; done
  while read -r mount; do umount -l "$mount" 2>/dev/null || true; done < <(awk -v dir="$DIR/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r)
  "$(locate kube-proxy)" --cleanup >/dev/null 2>&1 || true
  ip link delete fabric-test0 2>/dev/null || true
}
