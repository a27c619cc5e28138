package paper

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"

	"real-argocd/rollouts"
)

// nodeName is the one node, in which all Pods stand.
const nodeName = "paper"

// Run plays the node, and the controller of Argo Rollouts beside it, until the process ends.
func Run(args []string) error {
	flags := flag.NewFlagSet("paper-node", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach kube-apiserver")
	usual := flags.Duration("takes", time.Second, "how long a Pod usually takes to get ready")
	_ = flags.Parse(args)

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 500, 1000
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for {
		if err := register(ctx, client); err == nil {
			break
		}
		complain("register the node", err)
		time.Sleep(time.Second)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	n := newNode(client, factory, *usual)
	provide(ctx, client, factory)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range 4 {
		go n.work(ctx)
	}
	return rollouts.Run(ctx, config)
}

// register creates the node. Kubernetes taints a new node until it is ready, so the taint is taken off.
func register(ctx context.Context, client kubernetes.Interface) error {
	labels := map[string]string{"kubernetes.io/hostname": nodeName, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
	node, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: labels}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	node.Spec.Taints = nil
	if node, err = client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("1000Gi"), corev1.ResourcePods: resource.MustParse("10000"),
	}
	now := metav1.Now()
	node.Status.Capacity, node.Status.Allocatable = room, room
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now}}
	_, err = client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// A node binds Pods to itself and writes their status.
type node struct {
	client kubernetes.Interface
	pods   listers.PodLister
	queue  workqueue.TypedDelayingInterface[cache.ObjectName]
	usual  time.Duration

	// The API keeps whole seconds. What began while this process runs is known more exactly.
	lock  sync.Mutex
	began map[types.UID]time.Time
	stops map[types.UID]time.Time
}

func newNode(client kubernetes.Interface, factory informers.SharedInformerFactory, usual time.Duration) *node {
	n := &node{
		client: client,
		pods:   factory.Core().V1().Pods().Lister(),
		queue:  workqueue.NewTypedDelayingQueue[cache.ObjectName](),
		usual:  usual,
		began:  map[types.UID]time.Time{},
		stops:  map[types.UID]time.Time{},
	}
	_, _ = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    n.enqueue,
		UpdateFunc: func(_, pod any) { n.enqueue(pod) },
		DeleteFunc: n.forget,
	})
	return n
}

func (n *node) enqueue(object any) {
	if name, err := cache.ObjectToName(object); err == nil {
		n.queue.Add(name)
	}
}

func (n *node) forget(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if pod, ok := object.(*corev1.Pod); ok {
		n.lock.Lock()
		defer n.lock.Unlock()
		delete(n.began, pod.UID)
		delete(n.stops, pod.UID)
	}
}

func (n *node) work(ctx context.Context) {
	for {
		name, down := n.queue.Get()
		if down {
			return
		}
		again, err := n.look(ctx, name)
		if err != nil && !apierrors.IsNotFound(err) {
			if !apierrors.IsConflict(err) {
				complain("look after "+name.String(), err)
			}
			again = 100 * time.Millisecond
		}
		if again > 0 {
			n.queue.AddAfter(name, again)
		}
		n.queue.Done(name)
	}
}

// look does what is due for one Pod, and says in which time to look again (zero: when it changes).
func (n *node) look(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	pod, err := n.pods.Pods(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	switch {
	case pod.DeletionTimestamp != nil:
		return n.stop(ctx, pod, now)
	case pod.Spec.NodeName == "":
		return n.bind(ctx, pod, now)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return 0, nil
	}
	status, again := statusAt(pod, n.first(n.began, pod.UID, started(pod, now)), now, n.usual)
	return again, n.write(ctx, pod, status)
}

// bind is what a scheduler does.
func (n *node) bind(ctx context.Context, pod *corev1.Pod, now time.Time) (time.Duration, error) {
	if isUnschedulable(pod) {
		waits := lasts(pod) - now.Sub(pod.CreationTimestamp.Time)
		if lasts(pod) == 0 || waits > 0 {
			status := *pod.Status.DeepCopy()
			set(&status, corev1.PodScheduled, false, corev1.PodReasonUnschedulable,
				"0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
				metav1.NewTime(now.Truncate(time.Second)))
			return max(waits, 0), n.write(ctx, pod, status)
		}
	}
	n.first(n.began, pod.UID, now)
	return 0, n.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
	}, metav1.CreateOptions{})
}

// stop lets a deleted Pod end, and then go.
func (n *node) stop(ctx context.Context, pod *corev1.Pod, now time.Time) (time.Duration, error) {
	at := n.first(n.stops, pod.UID, now.Add(stopsIn(pod)))
	if wait := at.Sub(now); wait > 0 {
		return wait, nil
	}
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		if err := n.write(ctx, pod, ended(pod, now)); err != nil {
			return 0, err
		}
	}
	atOnce := int64(0)
	return 0, n.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &atOnce, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
}

// write saves a status, if there is anything new in it.
func (n *node) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	if equality.Semantic.DeepEqual(pod.Status, status) {
		return nil
	}
	changed := pod.DeepCopy()
	changed.Status = status
	_, err := n.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

// first keeps the first time that is named for a Pod.
func (n *node) first(of map[types.UID]time.Time, uid types.UID, at time.Time) time.Time {
	n.lock.Lock()
	defer n.lock.Unlock()
	if known, ok := of[uid]; ok {
		return known
	}
	of[uid] = at
	return at
}

func started(pod *corev1.Pod, now time.Time) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return now
}

func complain(doing string, err error) {
	fmt.Fprintf(os.Stderr, "%s paper: cannot %s: %v\n", time.Now().Format(time.RFC3339), doing, err)
}
