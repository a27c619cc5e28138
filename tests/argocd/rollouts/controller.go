package rollouts

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

var resource = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}

const (
	hashLabel         = "rollouts-pod-template-hash"
	revisionKey       = "rollout.argoproj.io/revision"
	desiredKey        = "rollout.argoproj.io/desired-replicas"
	kind              = "Rollout"
	againAfterTrouble = 100 * time.Millisecond
)

// A controller looks after all rollouts of the cluster.
type controller struct {
	client   kubernetes.Interface
	rollouts dynamic.NamespaceableResourceInterface
	known    cache.GenericLister
	sets     listers.ReplicaSetLister
	queue    workqueue.TypedDelayingInterface[cache.ObjectName]
}

// Run looks after rollouts until the context ends.
func Run(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	rollouts := dynamicinformer.NewDynamicSharedInformerFactory(untyped, 0)
	sets := informers.NewSharedInformerFactory(client, 0)
	c := &controller{
		client:   client,
		rollouts: untyped.Resource(resource),
		known:    rollouts.ForResource(resource).Lister(),
		sets:     sets.Apps().V1().ReplicaSets().Lister(),
		queue:    workqueue.NewTypedDelayingQueue[cache.ObjectName](),
	}
	handle(rollouts.ForResource(resource).Informer(), func(object any) {
		if name, err := cache.ObjectToName(object); err == nil {
			c.queue.Add(name)
		}
	})
	handle(sets.Apps().V1().ReplicaSets().Informer(), func(object any) {
		if set, ok := object.(*appsv1.ReplicaSet); ok {
			if owner := metav1.GetControllerOf(set); owner != nil && owner.Kind == kind {
				c.queue.Add(cache.ObjectName{Namespace: set.Namespace, Name: owner.Name})
			}
		}
	})
	rollouts.Start(ctx.Done())
	sets.Start(ctx.Done())
	rollouts.WaitForCacheSync(ctx.Done())
	sets.WaitForCacheSync(ctx.Done())
	for {
		name, _ := c.queue.Get()
		again, err := c.look(ctx, name)
		if err != nil && !apierrors.IsNotFound(err) {
			if !apierrors.IsConflict(err) {
				fmt.Fprintf(os.Stderr, "rollouts: cannot look after %s: %v\n", name, err)
			}
			again = againAfterTrouble
		}
		if again > 0 {
			c.queue.AddAfter(name, again)
		}
		c.queue.Done(name)
	}
}

func handle(informer cache.SharedIndexInformer, do func(any)) {
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    do,
		UpdateFunc: func(_, object any) { do(object) },
		DeleteFunc: do,
	})
}

// look carries out what is decided for one rollout.
func (c *controller) look(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	object, err := c.known.ByNamespace(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, err
	}
	untyped, ok := object.(*unstructured.Unstructured)
	if !ok || untyped.GetDeletionTimestamp() != nil {
		return 0, nil
	}
	var r rollout
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(untyped.Object, &r); err != nil {
		return 0, err
	}
	sets, err := c.versions(&r)
	if err != nil {
		return 0, err
	}
	hash := hashOf(&r)
	if sets[hash] == nil {
		set, err := c.client.AppsV1().ReplicaSets(r.Namespace).Create(ctx, newSet(&r, hash, len(sets)+1), metav1.CreateOptions{})
		if err != nil {
			return 0, err
		}
		sets[hash] = set
	}
	l := look{rollout: &r, hash: hash, versions: map[string]count{}, now: time.Now()}
	l.revision, _ = strconv.Atoi(sets[hash].Annotations[revisionKey])
	for version, set := range sets {
		l.versions[version] = count{set.Status.Replicas, set.Status.ReadyReplicas, set.Status.AvailableReplicas}
	}
	p := decide(l)
	for version, replicas := range p.scale {
		if err := c.scale(ctx, sets[version], replicas); err != nil {
			return 0, err
		}
	}
	return p.again, c.write(ctx, untyped, &r, p.status)
}

// versions are the rollout's ReplicaSets by the hash of their template.
func (c *controller) versions(r *rollout) (map[string]*appsv1.ReplicaSet, error) {
	all, err := c.sets.ReplicaSets(r.Namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	own := map[string]*appsv1.ReplicaSet{}
	for _, set := range all {
		if owner := metav1.GetControllerOf(set); owner != nil && owner.UID == r.UID {
			own[set.Labels[hashLabel]] = set
		}
	}
	return own, nil
}

func (c *controller) scale(ctx context.Context, set *appsv1.ReplicaSet, replicas int32) error {
	if set == nil || set.Spec.Replicas != nil && *set.Spec.Replicas == replicas {
		return nil
	}
	changed := set.DeepCopy()
	changed.Spec.Replicas = &replicas
	_, err := c.client.AppsV1().ReplicaSets(set.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
	return err
}

// write saves a status, if there is anything new in it.
func (c *controller) write(ctx context.Context, untyped *unstructured.Unstructured, r *rollout, s status) error {
	if equality.Semantic.DeepEqual(r.Status, s) {
		return nil
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s)
	if err != nil {
		return err
	}
	changed := untyped.DeepCopy()
	changed.Object["status"] = fields
	_, err = c.rollouts.Namespace(r.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

func newSet(r *rollout, hash string, revision int) *appsv1.ReplicaSet {
	none := int32(0)
	with := func(labels map[string]string) map[string]string {
		all := map[string]string{hashLabel: hash}
		for key, value := range labels {
			all[key] = value
		}
		return all
	}
	template := *r.Spec.Template.DeepCopy()
	template.Labels = with(template.Labels)
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.Name + "-" + hash, Namespace: r.Namespace, Labels: with(r.Spec.Template.Labels),
			Annotations:     map[string]string{revisionKey: strconv.Itoa(revision), desiredKey: strconv.Itoa(int(r.replicas()))},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(&r.ObjectMeta, resource.GroupVersion().WithKind(kind))},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &none,
			Selector: &metav1.LabelSelector{MatchLabels: with(r.Spec.Selector.MatchLabels)},
			Template: template,
		},
	}
}

func hashOf(r *rollout) string {
	text, _ := json.Marshal(r.Spec.Template)
	return fmt.Sprintf("%x", sha256.Sum256(text))[:10]
}
