//! What a cause becomes: of each kind.

use super::*;

/// The Pods of a Deployment with this cause, whenever what is seen of them changes.
fn pods_of(annotations: &str, tag: &str, time: Millis) -> String {
    let mut bench = Bench::new(&[("a", &deployment(1, annotations))]);
    bench.deploy(tag);
    let (mut lines, mut last) = (Vec::new(), String::new());
    for _ in (0..time).step_by(50) {
        let pods = bench.pods().replace('\n', " | ");
        if pods != last {
            lines.push(format!("{:>6} {pods}", bench.now - NOW));
        }
        last = pods;
        bench.pass(50);
    }
    lines.join("\n")
}

#[test]
fn an_image_that_cannot_be_pulled() {
    insta::assert_snapshot!(pods_of("", "cannot-pull-1a2b3c4", 40_000), @r#"
        0 one Running 1/1 Healthy
      200 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ContainerCreating 0/1 Progressing
      700 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ErrImagePull 0/1 Degraded: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": failed to resolve reference "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ghcr.io/acme/checkout:cannot-pull-1a2b3c4: not found
     1700 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ImagePullBackOff 0/1 Degraded: Back-off pulling image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": failed to resolve reference "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ghcr.io/acme/checkout:cannot-pull-1a2b3c4: not found
    10700 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ErrImagePull 0/1 Degraded: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": failed to resolve reference "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ghcr.io/acme/checkout:cannot-pull-1a2b3c4: not found
    11700 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ImagePullBackOff 0/1 Degraded: Back-off pulling image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": failed to resolve reference "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ghcr.io/acme/checkout:cannot-pull-1a2b3c4: not found
    30700 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ErrImagePull 0/1 Degraded: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": failed to resolve reference "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ghcr.io/acme/checkout:cannot-pull-1a2b3c4: not found
    31700 one Running 1/1 Healthy | cannot-pull-1a2b3c4 ImagePullBackOff 0/1 Degraded: Back-off pulling image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": failed to resolve reference "ghcr.io/acme/checkout:cannot-pull-1a2b3c4": ghcr.io/acme/checkout:cannot-pull-1a2b3c4: not found
    "#);
}

#[test]
fn a_container_that_crashes() {
    insta::assert_snapshot!(pods_of("", "crash-1a2b3c4", 40_000), @"
        0 one Running 1/1 Healthy
      200 crash-1a2b3c4 ContainerCreating 0/1 Progressing | one Running 1/1 Healthy
      700 crash-1a2b3c4 Running 0/1 Progressing | one Running 1/1 Healthy
     1700 crash-1a2b3c4 Error 0/1 Progressing | one Running 1/1 Healthy
     2700 crash-1a2b3c4 Running 0/1 restarted 1 Degraded | one Running 1/1 Healthy
     3700 crash-1a2b3c4 Error 0/1 restarted 1 Degraded | one Running 1/1 Healthy
     4700 crash-1a2b3c4 CrashLoopBackOff 0/1 restarted 1 Degraded: back-off 10s restarting failed container=app pod=checkout-05b5bf5898-vgdms_checkout(00000000-0000-4000-8000-000000000002) | one Running 1/1 Healthy
    14700 crash-1a2b3c4 Running 0/1 restarted 2 Degraded | one Running 1/1 Healthy
    15700 crash-1a2b3c4 Error 0/1 restarted 2 Degraded | one Running 1/1 Healthy
    16700 crash-1a2b3c4 CrashLoopBackOff 0/1 restarted 2 Degraded: back-off 20s restarting failed container=app pod=checkout-05b5bf5898-vgdms_checkout(00000000-0000-4000-8000-000000000002) | one Running 1/1 Healthy
    36700 crash-1a2b3c4 Running 0/1 restarted 3 Degraded | one Running 1/1 Healthy
    37700 crash-1a2b3c4 Error 0/1 restarted 3 Degraded | one Running 1/1 Healthy
    38700 crash-1a2b3c4 CrashLoopBackOff 0/1 restarted 3 Degraded: back-off 40s restarting failed container=app pod=checkout-05b5bf5898-vgdms_checkout(00000000-0000-4000-8000-000000000002) | one Running 1/1 Healthy
    ");
}

#[test]
fn a_container_that_needs_too_much_memory() {
    insta::assert_snapshot!(pods_of("", "out-of-memory-1", 6000), @"
       0 one Running 1/1 Healthy
     200 out-of-memory-1 ContainerCreating 0/1 Progressing | one Running 1/1 Healthy
     700 out-of-memory-1 Running 0/1 Progressing | one Running 1/1 Healthy
    1700 out-of-memory-1 OOMKilled 0/1 Progressing | one Running 1/1 Healthy
    2700 out-of-memory-1 Running 0/1 restarted 1 Degraded | one Running 1/1 Healthy
    3700 out-of-memory-1 OOMKilled 0/1 restarted 1 Degraded | one Running 1/1 Healthy
    4700 out-of-memory-1 CrashLoopBackOff 0/1 restarted 1 Degraded: back-off 10s restarting failed container=app pod=checkout-ddd5fd03cf-vgdms_checkout(00000000-0000-4000-8000-000000000002) | one Running 1/1 Healthy
    ");
}

#[test]
fn a_container_that_hangs() {
    insta::assert_snapshot!(pods_of("", "hang-1", 6000), @"
      0 one Running 1/1 Healthy
    200 hang-1 ContainerCreating 0/1 Progressing | one Running 1/1 Healthy
    700 hang-1 Running 0/1 Progressing | one Running 1/1 Healthy
    ");
}

#[test]
fn a_pod_for_which_no_node_has_room() {
    insta::assert_snapshot!(pods_of("paper/lasts: 5s", "unschedulable-1", 8000), @"
       0 one Running 1/1 Healthy
     200 unschedulable-1 Pending 0/1 Progressing | one Running 1/1 Healthy
    5200 unschedulable-1 ContainerCreating 0/1 Progressing | one Running 1/1 Healthy
    5700 unschedulable-1 Running 0/1 Progressing | one Running 1/1 Healthy
    6200 unschedulable-1 Running 1/1 Healthy | one Terminating 1/1 Progressing: Pending deletion
    7200 unschedulable-1 Running 1/1 Healthy
    ");
}

#[test]
fn a_slow_pod() {
    insta::assert_snapshot!(pods_of("", "slow-1", 25_000), @"
        0 one Running 1/1 Healthy
      200 slow-1 ContainerCreating 0/1 Progressing | one Running 1/1 Healthy
    10200 slow-1 Running 0/1 Progressing | one Running 1/1 Healthy
    20200 slow-1 Running 1/1 Healthy | one Terminating 1/1 Progressing: Pending deletion
    21200 slow-1 Running 1/1 Healthy
    ");
}

#[test]
fn a_cause_that_goes_away() {
    insta::assert_snapshot!(pods_of("paper/lasts: 15s", "crash-1", 20_000), @"
        0 one Running 1/1 Healthy
      200 one Running 1/1 Healthy | crash-1 ContainerCreating 0/1 Progressing
      700 one Running 1/1 Healthy | crash-1 Running 0/1 Progressing
     1700 one Running 1/1 Healthy | crash-1 Error 0/1 Progressing
     2700 one Running 1/1 Healthy | crash-1 Running 0/1 restarted 1 Degraded
     3700 one Running 1/1 Healthy | crash-1 Error 0/1 restarted 1 Degraded
     4700 one Running 1/1 Healthy | crash-1 CrashLoopBackOff 0/1 restarted 1 Degraded: back-off 10s restarting failed container=app pod=checkout-fc7d634595-vgdms_checkout(00000000-0000-4000-8000-000000000002)
    14700 one Running 1/1 Healthy | crash-1 Running 0/1 restarted 2 Degraded
    15700 one Terminating 1/1 Progressing: Pending deletion | crash-1 Running 1/1 restarted 2 Healthy
    16700 crash-1 Running 1/1 restarted 2 Healthy
    ");
}

#[test]
fn an_annotation_names_the_cause_the_container_and_the_time() {
    insta::assert_snapshot!(pods_of("paper/cause: none, paper/takes: 3s", "crash-1", 5000), @"
       0 one Running 1/1 Healthy
     200 crash-1 ContainerCreating 0/1 Progressing | one Running 1/1 Healthy
    1700 crash-1 Running 0/1 Progressing | one Running 1/1 Healthy
    3200 crash-1 Running 1/1 Healthy | one Terminating 1/1 Progressing: Pending deletion
    4200 crash-1 Running 1/1 Healthy
    ");
    assert!(!pods_of("paper/cause: crash, paper/container: sidecar", "1", 5000).contains("Error"));
}

/// The Deployment is Progressing until its deadline, and the old Pod runs all the time.
#[test]
fn a_deployment_that_does_not_get_on_is_degraded_at_its_deadline() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.deploy("cannot-pull-2");
    bench.pass(599_000);
    assert_eq!(bench.health(), "Progressing");
    let waits = "Synced Progressing Waiting for rollout to finish: 1 old replicas are pending termination...";
    assert_eq!(bench.resource("checkout"), waits);
    bench.pass(5_000);
    assert_eq!(bench.health(), "Degraded");
    assert_eq!(bench.resource("checkout"), "Synced Degraded Deployment \"checkout\" exceeded its progress deadline");
    assert_eq!(bench.images(), ["cannot-pull-2", "one"]);
    assert!(!bench.argocd.ran_well("checkout", "cannot-pull-2"));
    // The way back.
    bench.deploy("one");
    bench.pass(5000);
    assert_eq!(bench.health(), "Healthy");
    assert_eq!(bench.images(), ["one"]);
}

#[test]
fn a_deployment_says_its_own_deadline() {
    let spec = "  progressDeadlineSeconds: 20";
    let mut bench = Bench::new(&[("a", &workload("Deployment", "checkout", spec, ""))]);
    bench.deploy("crash-2");
    bench.pass(19_000);
    assert_eq!(bench.health(), "Progressing");
    bench.pass(3_000);
    assert_eq!(bench.health(), "Degraded");
}

#[test]
fn no_replicas_are_healthy_without_a_pod() {
    let mut bench = Bench::new(&[("a", &deployment(0, ""))]);
    bench.deploy("two");
    bench.pass(2000);
    assert_eq!((bench.health().as_str(), bench.pods().as_str()), ("Healthy", ""));
    assert!(bench.images().is_empty());
    let applied = &bench.app()["status"]["operationState"]["syncResult"]["resources"][0]["images"];
    assert_eq!(*applied, json!([format!("{IMAGE}:two")]));
}

#[test]
fn a_paused_deployment_is_suspended() {
    let mut bench = Bench::new(&[("a", &workload("Deployment", "checkout", "  paused: true", ""))]);
    bench.pass(1000);
    assert_eq!(bench.resource("checkout"), "Synced Suspended Deployment is paused");
}

#[test]
fn a_deployment_that_recreates_has_no_pods_in_between() {
    let spec = "  replicas: 2\n  strategy: {type: Recreate}";
    let mut bench = Bench::new(&[("a", &workload("Deployment", "checkout", spec, ""))]);
    bench.deploy("two");
    bench.pass(800);
    assert_eq!(bench.pods(), ["one Terminating 1/1 Progressing: Pending deletion"; 2].join("\n"));
    bench.pass(3000);
    assert_eq!(bench.pods(), ["two Running 1/1 Healthy"; 2].join("\n"));
}

/// A StatefulSet never becomes Degraded, and a broken Pod keeps even the way back from happening.
#[test]
fn a_stateful_set_goes_pod_by_pod_and_stops_at_a_broken_one() {
    let mut bench = Bench::new(&[("a", &workload("StatefulSet", "store", "  replicas: 2", ""))]);
    assert_eq!(
        bench.resource("store"),
        "Synced Healthy partitioned roll out complete: 2 new pods have been updated..."
    );
    bench.deploy("two");
    insta::assert_snapshot!(bench.story(6000), @r#"
       0 operation: - - finished -
       0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
       0   StatefulSet/store Synced Healthy: partitioned roll out complete: 2 new pods have been updated...
     100 operation: Running - finished -
     200 no operation: Succeeded successfully synced (all tasks run) finished 20
     200   result StatefulSet/store Sync Synced - Running: statefulset.apps/store configured
     200   StatefulSet/store Synced Progressing: Waiting for partitioned roll out to finish: 0 out of 2 new pods have been updated...
     350 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:one"]
    1200   StatefulSet/store Synced Progressing: Waiting for 1 pods to be ready...
    1350 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    2200   StatefulSet/store Synced Progressing: Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...
    3200   StatefulSet/store Synced Progressing: Waiting for 1 pods to be ready...
    3350 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:two"]
    4200   StatefulSet/store Synced Healthy: partitioned roll out complete: 2 new pods have been updated...
    4350 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:two"]
    "#);
    bench.deploy("cannot-pull-3");
    bench.pass(3_600_000);
    assert_eq!(bench.health(), "Progressing");
    assert_eq!(bench.resource("store"), "Synced Progressing Waiting for 1 pods to be ready...");
    let pods = bench.pods();
    assert!(pods.starts_with("two Running 1/1 Healthy\ncannot-pull-3 "), "{pods}");
    assert!(pods.contains("BackOff 0/1 Degraded: Back-off pulling image"), "{pods}");
    bench.deploy("four");
    bench.pass(60_000);
    assert_eq!(bench.resource("store"), "Synced Progressing Waiting for 1 pods to be ready...");
}

#[test]
fn a_daemon_set_is_never_degraded() {
    let mut bench = Bench::new(&[("a", &workload("DaemonSet", "agent", "", ""))]);
    bench.deploy("crash-2");
    insta::assert_snapshot!(bench.story(5000), @r#"
       0 operation: - - finished -
       0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
       0   DaemonSet/agent Synced Healthy
     100 operation: Running - finished -
     200 no operation: Succeeded successfully synced (all tasks run) finished 20
     200   result DaemonSet/agent Sync Synced - Running: daemonset.apps/agent configured
     200   DaemonSet/agent Synced Progressing: Waiting for daemon set "agent" rollout to finish: 0 out of 1 new pods have been updated...
     350 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:one"]
    1200   DaemonSet/agent Synced Progressing: Waiting for daemon set "agent" rollout to finish: 0 of 1 updated pods are available...
    1350 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:crash-2"]
    "#);
    bench.pass(3_600_000);
    assert_eq!(bench.health(), "Progressing");
    // Here the way back is free.
    bench.deploy("three");
    bench.pass(5000);
    assert_eq!(bench.health(), "Healthy");
}

#[test]
fn a_rollout_pauses_and_is_resumed_or_given_up() {
    let spec = "  replicas: 2\n  strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}";
    let mut bench = Bench::new(&[("a", &workload("Rollout", "checkout", spec, ""))]);
    assert_eq!(bench.health(), "Healthy");
    bench.deploy("two");
    insta::assert_snapshot!(bench.story(5000), @r#"
       0 operation: - - finished -
       0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
       0   Rollout/checkout Synced Healthy
     100 operation: Running - finished -
     200 no operation: Succeeded successfully synced (all tasks run) finished 20
     200   result Rollout/checkout Sync Synced - Running: rollout.argoproj.io/checkout configured
     200   Rollout/checkout Synced Progressing: more replicas need to be updated
     350 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    1200   Rollout/checkout Synced Suspended: CanaryPauseStep
    1350 Synced Suspended reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    "#);
    bench.pass(3_600_000);
    assert_eq!((bench.health().as_str(), bench.images()), ("Suspended", vec!["one".to_owned(), "two".to_owned()]));
    bench.argocd.person_resumes(bench.now, "checkout", "checkout");
    bench.pass(5000);
    assert_eq!((bench.health().as_str(), bench.images()), ("Healthy", vec!["two".to_owned()]));
    bench.deploy("three");
    bench.pass(5000);
    bench.argocd.person_aborts(bench.now, "checkout", "checkout");
    bench.pass(5000);
    let why = "Synced Degraded RolloutAborted: Rollout aborted update to revision 3";
    assert_eq!((bench.resource("checkout").as_str(), bench.images()), (why, vec!["two".to_owned()]));
}

#[test]
fn a_pause_with_a_time_ends_by_itself_and_a_rollout_has_a_deadline() {
    let spec = "  replicas: 2\n  progressDeadlineSeconds: 10\n  strategy: {canary: {steps: [{setWeight: 50}, {pause: {duration: 6}}]}}";
    let mut bench = Bench::new(&[("a", &workload("Rollout", "checkout", spec, ""))]);
    bench.deploy("two");
    bench.pass(5000);
    assert_eq!(bench.resource("checkout"), "Synced Suspended CanaryPauseStep");
    bench.pass(6000);
    assert_eq!((bench.health().as_str(), bench.images()), ("Healthy", vec!["two".to_owned()]));
    bench.deploy("cannot-pull-3");
    bench.pass(15_000);
    let why = bench.resource("checkout");
    assert!(why.starts_with("Synced Degraded ProgressDeadlineExceeded: ReplicaSet \"checkout-"), "{why}");
    assert!(why.ends_with("\" has timed out progressing."), "{why}");
}

#[test]
fn jobs_end_well_fail_or_hang() {
    let mut bench = Bench::new(&[("a", SETTINGS)]);
    let templates = [
        ("well", job("well", "", "1", ONCE)),
        ("crashes", job("crashes", "", "crash", "  backoffLimit: 1")),
        ("hangs", job("hangs", "", "hang", ONCE)),
        ("pulls", job("pulls", "", "cannot-pull", ONCE)),
    ];
    let templates: Vec<(&str, &str)> = templates.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let sha = bench.commit(&templates);
    bench.sync(&sha);
    insta::assert_snapshot!(bench.story(16_000), @r#"
        0 operation: - - finished -
        0 Synced Healthy reconciled 20 []
        0   ConfigMap/settings Synced -
      100 operation: Running - finished -
      200 no operation: Succeeded successfully synced (all tasks run) finished 20
      200   result ConfigMap/settings Sync Synced - Running: configmap/settings unchanged
      200   result Job/crashes Sync Synced - Running: job.batch/crashes created
      200   result Job/hangs Sync Synced - Running: job.batch/hangs created
      200   result Job/pulls Sync Synced - Running: job.batch/pulls created
      200   result Job/well Sync Synced - Running: job.batch/well created
      350 Synced Progressing reconciled 20 ["ghcr.io/acme/tools:1","ghcr.io/acme/tools:cannot-pull","ghcr.io/acme/tools:crash","ghcr.io/acme/tools:hang"]
      350   Job/crashes Synced Progressing
      350   Job/hangs Synced Progressing
      350   Job/pulls Synced Progressing
      350   Job/well Synced Progressing
     2200   Job/well Synced Healthy: Reached expected number of succeeded pods
    14200   Job/crashes Synced Degraded: Job has reached the specified backoff limit
    14350 Synced Degraded reconciled 20 ["ghcr.io/acme/tools:1","ghcr.io/acme/tools:cannot-pull","ghcr.io/acme/tools:crash","ghcr.io/acme/tools:hang"]
    "#);
    insta::assert_snapshot!(bench.pods(), @r#"
    crash Error 0/1 Degraded: container "app" failed with exit code 1
    crash Error 0/1 Degraded: container "app" failed with exit code 1
    hang Running 0/1 Progressing
    cannot-pull ImagePullBackOff 0/1 Progressing
    1 Completed 0/1 Healthy
    "#);
    bench.pass(3_600_000);
    assert_eq!(bench.resource("hangs"), "Synced Progressing -");
    // What a Job runs cannot be changed.
    let sha = bench.commit(&[("well", &job("well", "", "2", ONCE))]);
    bench.sync(&sha);
    bench.pass(1000);
    let why = bench.operation();
    assert!(
        why.starts_with(
            "Failed one or more objects failed to apply, reason: Job.batch \"well\" is invalid: spec.template:"
        ),
        "{why}"
    );
    assert!(why.ends_with(": field is immutable"), "{why}");
}

#[test]
fn other_kinds_have_the_health_that_argo_cd_gives_them() {
    const INGRESS: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: door}\nspec: {rules: [{host: shop.acme.io}]}\n";
    const CRON: &str = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {schedule: '0 3 * * *', jobTemplate: {spec: {template: {spec: {containers: [{name: app, image: 'ghcr.io/acme/tools:1'}]}}}}}\n";
    const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {}\n";
    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: bare}\nspec: {containers: [{name: app, image: 'ghcr.io/acme/tools:1'}]}\n";
    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\n---\n";
    let balancer = SERVICE.replace("checkout", "balancer").replace("{ports", "{type: LoadBalancer, ports");
    let mut bench = Bench::new(&[("a", SETTINGS)]);
    let several = format!("{SECRET}{SERVICE}---\n{balancer}");
    let sha = bench.commit(&[("b", INGRESS), ("c", CRON), ("d", CLAIM), ("e", POD), ("f", &several)]);
    bench.sync(&sha);
    insta::assert_snapshot!(bench.story(3000), @r#"
       0 operation: - - finished -
       0 Synced Healthy reconciled 20 []
       0   ConfigMap/settings Synced -
     100 operation: Running - finished -
     200 no operation: Succeeded successfully synced (all tasks run) finished 20
     200   result Secret/key Sync Synced - Running: secret/key created
     200   result ConfigMap/settings Sync Synced - Running: configmap/settings unchanged
     200   result PersistentVolumeClaim/data Sync Synced - Running: persistentvolumeclaim/data created
     200   result Service/balancer Sync Synced - Running: service/balancer created
     200   result Service/checkout Sync Synced - Running: service/checkout created
     200   result Pod/bare Sync Synced - Running: pod/bare created
     200   result CronJob/nightly Sync Synced - Running: cronjob.batch/nightly created
     200   result Ingress/door Sync Synced - Running: ingress.networking.k8s.io/door created
     350 Synced Progressing reconciled 20 ["ghcr.io/acme/tools:1"]
     350   PersistentVolumeClaim/data Synced Progressing
     350   Pod/bare Synced Progressing
     350   Secret/key Synced -
     350   Service/balancer Synced Progressing
     350   Service/checkout Synced Healthy
     350   CronJob/nightly Synced Healthy: CronJob has not been scheduled yet
     350   Ingress/door Synced Progressing
     500   PersistentVolumeClaim/data Synced Healthy
    1200   Pod/bare Synced Healthy
    "#);
    bench.pass(3_600_000);
    assert_eq!(bench.health(), "Progressing");
    assert_eq!(bench.app()["status"]["summary"]["externalURLs"], json!(["http://shop.acme.io/"]));
    let sha = bench.commit(&[("g", "apiVersion: acme.io/v1\nkind: Nothing\nmetadata: {name: c}\n")]);
    bench.sync(&sha);
    bench.pass(1000);
    assert_eq!(bench.operation(), "Failed one or more synchronization tasks are not valid");
    let results = bench.app()["status"]["operationState"]["syncResult"]["resources"].clone();
    let why = "The Kubernetes API could not find acme.io/Nothing for requested resource checkout/c. Make sure the \"Nothing\" CRD is installed on the destination cluster.";
    assert_eq!(text(&results[0]["message"]), why);
    assert_eq!(results.as_array().unwrap().len(), 1);
}

#[test]
fn a_rolling_update_keeps_old_pods_until_new_ones_are_ready() {
    let mut bench = Bench::new(&[("a", &deployment(4, ""))]);
    bench.deploy("cannot-pull-2");
    bench.pass(60_000);
    let pods = bench.nodes("Pod");
    // A quarter may be missing, a quarter may be too many.
    assert_eq!(pods.iter().filter(|pod| pod.starts_with("one Running 1/1 Healthy")).count(), 3, "{pods:?}");
    assert_eq!(pods.iter().filter(|pod| pod.starts_with("cannot-pull-2 ")).count(), 2, "{pods:?}");
    let sets = bench.nodes("ReplicaSet");
    assert_eq!(sets.iter().filter(|set| set.contains("Progressing")).count(), 1, "{sets:?}");
}

/// The reasons of the only Pod of a new Deployment, one after the other.
fn reasons_of(template: &str, time: Millis) -> Vec<String> {
    let mut bench = Bench::undeployed(&[("a", template)]);
    let sha = bench.store.head(REPO, "main").unwrap();
    bench.sync(&sha);
    let mut reasons: Vec<String> = Vec::new();
    for _ in (0..time).step_by(50) {
        bench.pass(50);
        let pods = bench.pods();
        // The image does not matter here.
        let pods = pods.split_once(' ').map(|(_, rest)| rest.split(": ").next().unwrap().to_owned());
        if pods.as_ref().is_some_and(|pods| reasons.last() != Some(pods)) {
            reasons.extend(pods);
        }
    }
    reasons
}

#[test]
fn an_init_container_holds_the_pod() {
    let with = |tag: &str| {
        let init = format!("      initContainers: [{{name: prepare, image: 'ghcr.io/acme/tools:{tag}'}}]\n");
        deployment(1, "").replace("      containers:", &format!("{init}      containers:"))
    };
    let crashes = [
        "Init:ContainerCreating 0/1 Progressing",
        "Init:0/1 0/1 Progressing",
        "Init:Error 0/1 Progressing",
        "Init:0/1 0/1 Progressing restarted 1",
        "Init:Error 0/1 Progressing restarted 1",
        "Init:CrashLoopBackOff 0/1 Progressing restarted 1",
    ];
    let crashes = crashes.map(|line| {
        let (line, restarts) =
            line.split_once(" restarted").map_or((line, String::new()), |(a, b)| (a, format!(" restarted{b}")));
        line.replace(" Progressing", &format!("{restarts} Progressing"))
    });
    assert_eq!(reasons_of(&with("crash"), 6000), crashes);
    let pulls = ["Init:ContainerCreating", "Init:ErrImagePull", "Init:ImagePullBackOff"];
    assert_eq!(reasons_of(&with("cannot-pull"), 6000), pulls.map(|reason| format!("{reason} 0/1 Progressing")));
    let hangs = ["Init:ContainerCreating", "Init:0/1"];
    assert_eq!(reasons_of(&with("hang"), 6000), hangs.map(|reason| format!("{reason} 0/1 Progressing")));
    let well = ["ContainerCreating 0/1 Progressing", "Running 0/1 Progressing", "Running 1/1 Healthy"];
    assert_eq!(reasons_of(&with("1"), 6000), well);
}

#[test]
fn one_of_two_containers_crashes() {
    let two = deployment(1, "paper/cause: crash, paper/container: sidecar")
        .replace("containers: [", "containers: [{name: sidecar, image: 'ghcr.io/acme/tools:1'}, ");
    insta::assert_snapshot!(reasons_of(&two, 6000).join("\n"), @"
    ContainerCreating 0/2 Progressing
    Running 0/2 Progressing
    Running 1/2 Progressing
    Error 1/2 Progressing
    Running 1/2 restarted 1 Degraded
    Error 1/2 restarted 1 Degraded
    CrashLoopBackOff 1/2 restarted 1 Degraded
    ");
}

#[test]
fn a_job_that_restarts_its_container_counts_restarts() {
    let twice = job("twice", "", "crash", "  backoffLimit: 2").replace("Never", "OnFailure");
    insta::assert_snapshot!(reasons_of(&twice, 20_000).join("\n"), @"
    ContainerCreating 0/1 Progressing
    Running 0/1 Progressing
    Error 0/1 Progressing
    Running 0/1 restarted 1 Progressing
    Error 0/1 restarted 1 Progressing
    CrashLoopBackOff 0/1 restarted 1 Progressing
    Running 0/1 restarted 2 Progressing
    Terminating 0/1 restarted 2 Progressing
    ");
    let mut bench = Bench::undeployed(&[("a", &twice)]);
    let sha = bench.store.head(REPO, "main").unwrap();
    bench.sync(&sha);
    bench.pass(20_000);
    assert_eq!(bench.resource("twice"), "Synced Degraded Job has reached the specified backoff limit");
    assert_eq!(bench.pods(), "");
}

/// It replaces a broken Pod, which one that goes in order does not.
#[test]
fn a_parallel_stateful_set_finds_the_way_back() {
    let spec = "  replicas: 3\n  podManagementPolicy: Parallel";
    let mut bench = Bench::new(&[("a", &workload("StatefulSet", "store", spec, ""))]);
    bench.deploy("cannot-pull-2");
    bench.pass(60_000);
    assert_eq!(bench.resource("store"), "Synced Progressing Waiting for 1 pods to be ready...");
    bench.deploy("three");
    bench.pass(2600);
    let waits =
        "Synced Progressing Waiting for partitioned roll out to finish: 1 out of 3 new pods have been updated...";
    assert_eq!(bench.resource("store"), waits);
    bench.pass(8000);
    assert_eq!((bench.health().as_str(), bench.images()), ("Healthy", vec!["three".to_owned()]));
}

#[test]
fn what_runs_well_is_said_by_workloads_alone() {
    const DOOR: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: door}\nspec: {}\n";
    let mut bench = Bench::new(&[("a", &deployment(1, "")), ("b", DOOR)]);
    bench.deploy("two");
    bench.pass(5000);
    assert_eq!((bench.health().as_str(), bench.argocd.ran_well("checkout", "two")), ("Progressing", true));
    let spec = "  replicas: 2\n  strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}";
    let mut bench = Bench::new(&[("a", &workload("Rollout", "checkout", spec, ""))]);
    bench.deploy("two");
    bench.pass(60_000);
    assert_eq!((bench.health().as_str(), bench.argocd.ran_well("checkout", "two")), ("Suspended", false));
}
