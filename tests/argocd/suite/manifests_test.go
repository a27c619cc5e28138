package suite

import (
	"fmt"
	"strings"
)

// workload is a Deployment, StatefulSet or DaemonSet of one container.
func workload(kind, name, image string, annotations ...string) string {
	extra := ""
	switch kind {
	case "Deployment":
		extra = "\n  replicas: 1"
	case "StatefulSet":
		extra = fmt.Sprintf(`
  serviceName: %s
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`, name)
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: %s
metadata: {name: %[2]s}
spec:%s
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata:
      labels: {app: %[2]s}%[5]s
    spec:
      containers: [{name: app, image: %[4]q}]
`, kind, name, extra, image, annotated("      ", annotations))
}

// job is one that runs as a hook of a sync, and is not tried a second time.
func job(name, hook, image string, annotations ...string) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata:
  name: %s
  annotations: {argocd.argoproj.io/hook: %s}
spec:
  backoffLimit: 0
  template:
    metadata:
      labels: {job: %[1]s}%[4]s
    spec:
      restartPolicy: Never
      containers: [{name: app, image: %[3]q}]
`, name, hook, image, annotated("      ", annotations))
}

func annotated(indent string, annotations []string) string {
	var text strings.Builder
	for i := 0; i+1 < len(annotations); i += 2 {
		if i == 0 {
			text.WriteString("\n" + indent + "annotations:")
		}
		fmt.Fprintf(&text, "\n%s  %s: %q", indent, annotations[i], annotations[i+1])
	}
	return text.String()
}

const service = `apiVersion: v1
kind: Service
metadata: {name: checkout}
spec:
  selector: {app: checkout}
  ports: [{port: 80}]
`
