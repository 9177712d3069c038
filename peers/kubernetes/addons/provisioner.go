package main

import (
	"context"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const provisionerName = "virtengine.test/directory"

// folders makes a volume a folder of this node. Nothing holds it to its size.
type folders struct{}

func (folders) Provision(_ context.Context, wish controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	folder := filepath.Join(*root, wish.PVName)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.Chmod(folder, 0o777); err != nil { // whatever user the container has
		return nil, controller.ProvisioningFinished, err
	}
	here := core.NodeSelectorTerm{MatchExpressions: []core.NodeSelectorRequirement{
		{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{*node}},
	}}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: wish.PVName},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   wish.PVC.Spec.AccessModes,
			Capacity:                      wish.PVC.Spec.Resources.Requests,
			NodeAffinity:                  &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{here}}},
			PersistentVolumeReclaimPolicy: *wish.StorageClass.ReclaimPolicy,
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: folder}},
		},
	}, controller.ProvisioningFinished, nil
}

func (folders) Delete(_ context.Context, volume *core.PersistentVolume) error {
	return os.RemoveAll(filepath.Join(*root, volume.Name))
}

// provisioner serves the storage classes that name it.
func provisioner(set *kubernetes.Clientset) error {
	ctx := context.Background()
	controller.NewProvisionController(ctx, set, provisionerName, folders{}, controller.LeaderElection(false)).Run(ctx)
	return nil
}
