package up

import (
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Manifests are what every installation of Argo CD begins with.
type manifests struct {
	definitions []*apiextensionsv1.CustomResourceDefinition
	configs     []*corev1.ConfigMap
}

// readManifests reads what `build` has put beside the binary.
func readManifests(folder string) (*manifests, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no manifests in %s: `build` puts them there", folder)
	}
	var all manifests
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := all.add(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return &all, nil
}

func (m *manifests) add(text []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(text, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "CustomResourceDefinition":
		var definition apiextensionsv1.CustomResourceDefinition
		m.definitions = append(m.definitions, &definition)
		return yaml.Unmarshal(text, &definition)
	case "ConfigMap":
		var config corev1.ConfigMap
		m.configs = append(m.configs, &config)
		return yaml.Unmarshal(text, &config)
	}
	return fmt.Errorf("neither a definition nor a ConfigMap, but %q", kind.Kind)
}
