package chart_test

import (
	"os"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// kind itself needs Docker. That it understands the file, it says by its types.
func TestKindUnderstandsItsCluster(t *testing.T) {
	text, err := os.ReadFile("../../deploy/kind/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cluster v1alpha4.Cluster
	if err := yaml.UnmarshalStrict(text, &cluster); err != nil {
		t.Fatal(err)
	}
	v1alpha4.SetDefaultsCluster(&cluster)
	roles, zones := map[v1alpha4.NodeRole]int{}, map[string]bool{}
	for _, node := range cluster.Nodes {
		roles[node.Role]++
		zones[node.Labels["topology.kubernetes.io/zone"]] = true
	}
	if roles[v1alpha4.ControlPlaneRole] != 1 || roles[v1alpha4.WorkerRole] < 2 || len(zones) != len(cluster.Nodes) {
		t.Errorf("it has %v in zones %v", roles, zones)
	}
}
