package main

import (
	"context"
	"sync"
	"time"

	policies "github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// netpol enforces network policies with the one controller of kube-router that does so.
func netpol(set *kubernetes.Clientset) error {
	settings := options.NewKubeRouterConfig()
	settings.EnableIPv4, settings.RunFirewall = true, true
	settings.IPTablesSyncPeriod = time.Minute
	settings.HostnameOverride, settings.ClusterIPCIDRs = *node, []string{*services}
	tables, sets, err := policies.NewIPTablesHandlers(settings)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(set, 0)
	seen := struct{ pods, namespaces, policies cache.SharedIndexInformer }{
		factory.Core().V1().Pods().Informer(),
		factory.Core().V1().Namespaces().Informer(),
		factory.Networking().V1().NetworkPolicies().Informer(),
	}
	controller, err := policies.NewNetworkPolicyController(
		set, settings, seen.pods, seen.policies, seen.namespaces, new(sync.Mutex), tables, sets)
	if err != nil {
		return err
	}
	for _, pair := range []struct {
		of cache.SharedIndexInformer
		to cache.ResourceEventHandler
	}{
		{seen.pods, controller.PodEventHandler},
		{seen.namespaces, controller.NamespaceEventHandler},
		{seen.policies, controller.NetworkPolicyEventHandler},
	} {
		if _, err := pair.of.AddEventHandler(pair.to); err != nil {
			return err
		}
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	heartbeats := make(chan *healthcheck.ControllerHeartbeat, 16)
	go func() { // nobody asks for its health, but it may not block on saying it
		for range heartbeats {
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	controller.Run(heartbeats, ctx.Done(), &running)
	return nil
}
