// Command addons is what a cluster needs beside Kubernetes itself: names, network policies, volumes, and a metadata service like
// a cloud's for tenants to be kept away from. The first argument says which.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"

	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// What the programs are told; CoreDNS reads its own flags.
var (
	config   = flag.String("kubeconfig", "", "how to reach the API")
	node     = flag.String("node", "", "name of this node")
	services = flag.String("services", "10.96.0.0/16", "network of the services")
	root     = flag.String("root", "", "folder of the volumes")
	listen   = flag.String("listen", "", "address of the metadata service")
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: addons coredns|netpol|provisioner|metadata [FLAG...]"))
	}
	name := os.Args[1]
	os.Args = os.Args[1:]
	if name == "coredns" {
		coremain.Run()
		return
	}
	flag.Parse()
	switch name {
	case "netpol":
		fail(netpol(connect()))
	case "provisioner":
		fail(provisioner(connect()))
	case "metadata":
		fail(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "the credentials of the node")
		})))
	default:
		fail(fmt.Errorf("there is no program %q", name))
	}
}

func connect() *kubernetes.Clientset {
	access, err := clientcmd.BuildConfigFromFlags("", *config)
	fail(err)
	access.QPS, access.Burst = 50, 100
	set, err := kubernetes.NewForConfig(access)
	fail(err)
	return set
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "addons:", err)
		os.Exit(1)
	}
}
