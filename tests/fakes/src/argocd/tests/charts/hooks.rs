//! Operations of charts: hooks, waves, retries, terminating, pruning.

use super::*;

#[test]
fn hooks_run_in_their_phases_and_are_counted() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.commit(&[
        ("b", &job("migrate", "PreSync", "1", ONCE)),
        ("c", &job("middle", "Sync", "1", ONCE)),
        ("d", &job("notify", "PostSync", "1", ONCE)),
        ("e", &job("report", "SyncFail", "1", ONCE)),
    ]);
    bench.deploy("two");
    insta::assert_snapshot!(bench.story(14_000), @r#"
       0 operation: - - finished -
       0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
       0   Deployment/checkout Synced Healthy
     100 operation: Running - finished -
     350 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/tools:1"]
     350   Job/migrate - Progressing hook requiresPruning
    2200 operation: Running waiting for completion of hook batch/Job/migrate and 3 more hooks finished -
    2200   result Job/migrate PreSync Synced PreSync Running: job.batch/migrate created
    2200   Job/migrate - Healthy: Reached expected number of succeeded pods hook requiresPruning
    2250   Deployment/checkout Synced Progressing: Waiting for rollout to finish: 1 old replicas are pending termination...
    2350 OutOfSync Progressing reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two","ghcr.io/acme/tools:1"]
    2350   Deployment/checkout OutOfSync Progressing: Waiting for rollout to finish: 1 old replicas are pending termination...
    2350   Job/middle - Progressing hook requiresPruning
    3250   Deployment/checkout OutOfSync Healthy
    3400 OutOfSync Healthy reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two","ghcr.io/acme/tools:1"]
    4250 operation: Running waiting for completion of hook batch/Job/middle and 1 more hooks finished -
    4250   result Job/migrate PreSync - PreSync Succeeded: Reached expected number of succeeded pods
    4250   result Deployment/checkout Sync Synced - Running: deployment.apps/checkout configured
    4250   result Job/middle Sync Synced Sync Running: job.batch/middle created
    4250   Job/middle - Healthy: Reached expected number of succeeded pods hook requiresPruning
    4300 operation: Running waiting for completion of hook batch/Job/notify finished -
    4300   result Deployment/checkout Sync Synced - Succeeded: deployment.apps/checkout configured
    4300   result Job/middle Sync - Sync Succeeded: Reached expected number of succeeded pods
    4300   result Job/notify PostSync - PostSync Running: job.batch/notify created
    4400 OutOfSync Healthy reconciled 20 ["ghcr.io/acme/checkout:two","ghcr.io/acme/tools:1"]
    4400   Job/notify - Progressing hook requiresPruning
    6300   Job/notify - Healthy: Reached expected number of succeeded pods hook requiresPruning
    6350 no operation: Succeeded successfully synced (no more tasks) finished 26
    6350   result Job/notify PostSync - PostSync Succeeded: Reached expected number of succeeded pods
    6500 Synced Healthy reconciled 26 ["ghcr.io/acme/checkout:two","ghcr.io/acme/tools:1"]
    6500   Deployment/checkout Synced Healthy
    "#);
    let runs = ["migrate", "middle", "notify", "report"].map(|hook| bench.argocd.hook_runs("checkout", hook));
    assert_eq!(runs, [1, 1, 1, 0]);
    bench.deploy("three");
    bench.pass(20_000);
    assert_eq!(bench.operation(), "Succeeded successfully synced (no more tasks)");
    assert_eq!(bench.argocd.hook_runs("checkout", "migrate"), 2);
}

/// The first pass of the retry deletes the failed hook, and its second one takes the stored result for its own (seen with 3.2.11).
#[test]
fn a_hook_that_fails_fails_the_operation_and_its_first_retry() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.commit(&[("b", &job("migrate", "PreSync", "crash", ONCE)), ("e", &job("report", "SyncFail", "1", ONCE))]);
    let sha = bench.set_tag("two");
    bench.sync_with(
        &sha,
        json!({"retryStrategy": {"limit": 1, "backoff": {"duration": "3s", "factor": 2, "maxDuration": "1m"}}}),
    );
    insta::assert_snapshot!(bench.story(26_000), @r#"
        0 operation: - - finished -
        0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
        0   Deployment/checkout Synced Healthy
      100 operation: Running - finished -
      350 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/tools:crash"]
      350   Job/migrate - Progressing hook requiresPruning
     2200 operation: Running waiting for completion of hook batch/Job/migrate and 1 more hooks finished -
     2200   result Job/migrate PreSync Synced PreSync Running: job.batch/migrate created
     2250 operation: Running waiting for completion of hook batch/Job/migrate finished -
     2250   result Job/migrate PreSync - PreSync Running: job.batch/migrate created
     2700   Job/migrate - Degraded: Job has reached the specified backoff limit hook requiresPruning
     2750   result Job/migrate PreSync - PreSync Failed: Job has reached the specified backoff limit
     2750   result Job/report SyncFail Synced SyncFail Running: job.batch/report created
     2800 operation: Running waiting for completion of hook batch/Job/report finished -
     2800   result Job/report SyncFail - SyncFail Running: job.batch/report created
     2850 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/tools:1","ghcr.io/acme/tools:crash"]
     2850   Job/report - Progressing hook requiresPruning
     4750   Job/report - Healthy: Reached expected number of succeeded pods hook requiresPruning
     4800 operation: Running one or more synchronization tasks completed unsuccessfully. Retrying attempt #1 at 10:13PM. finished 24
     4800   result Job/report SyncFail - SyncFail Succeeded: Reached expected number of succeeded pods
    10800 operation: Running Retrying operation. Attempt #1 finished -
    10900 operation: Running - finished -
    10900   Job/migrate - - hook requiresPruning
    11050 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/tools:1"]
    12900 operation: Running one or more tasks are running finished -
    12950 no operation: Failed one or more synchronization tasks completed unsuccessfully (retried 1 times). finished 32
    13100 OutOfSync Healthy reconciled 33 ["ghcr.io/acme/checkout:one","ghcr.io/acme/tools:1"]
    13100   Deployment/checkout OutOfSync Healthy
    "#);
    assert_eq!(bench.argocd.hook_runs("checkout", "migrate"), 1);
    assert_eq!(bench.argocd.hook_runs("checkout", "report"), 1);
    assert_eq!(bench.argocd.live_tag("checkout"), Some("one"));
}

#[test]
fn a_failing_hook_takes_its_back_off_limit() {
    let mut bench =
        Bench::new(&[("a", &job("migrate", "PreSync", "crash", "  backoffLimit: 1")), ("b", &deployment(1, ""))]);
    bench.deploy("two");
    bench.pass(12_000);
    assert_eq!(bench.operation(), "Running waiting for completion of hook batch/Job/migrate");
    bench.pass(6000);
    assert_eq!(bench.operation(), "Failed one or more synchronization tasks completed unsuccessfully");
    assert_eq!(bench.argocd.hook_runs("checkout", "migrate"), 1);
}

#[test]
fn a_hook_that_hangs_holds_the_operation_until_somebody_terminates_it() {
    let mut bench = Bench::new(&[("a", &deployment(1, "")), ("b", &job("notify", "PostSync", "hang", ONCE))]);
    bench.deploy("two");
    bench.pass(3_600_000);
    assert_eq!(bench.operation(), "Running waiting for completion of hook batch/Job/notify");
    assert_eq!((bench.health().as_str(), bench.images()), ("Healthy", vec!["two".to_owned(), "hang".to_owned()]));
    let sha = bench.set_tag("three");
    let busy = "400 9 another operation is already in progress";
    assert_eq!(outcome(sync(&mut bench.argocd, bench.now, &json!({"revision": sha}))), busy);
    let delete = || {
        let headers = [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/json")];
        request(http::Method::DELETE, "/api/v1/applications/checkout/operation?project=default", &headers, "")
    };
    assert_eq!(whole(&mut bench.argocd, bench.now, &delete()), (200, json!({})));
    let before = bench.app()["status"]["operationState"].clone();
    assert_eq!(before["phase"], "Terminating");
    bench.pass(500);
    let app = bench.app();
    let (state, resources) = (&app["status"]["operationState"], &app["status"]["resources"]);
    assert_eq!(bench.operation(), "Failed Operation terminated");
    let hook = &state["syncResult"]["resources"][1];
    assert_eq!((text(&hook["hookPhase"]), text(&hook["message"])), ("Succeeded".to_owned(), "Deleted".to_owned()));
    assert_eq!(hook.get("status"), None);
    assert_eq!(resources[1]["health"], json!({"status": "Progressing", "message": "Pending deletion"}));
    bench.pass(2000);
    assert_eq!(bench.app()["status"]["resources"].as_array().unwrap().len(), 1);
    assert_eq!(bench.images(), ["two"]);
    let over = "400 3 Unable to terminate operation. No operation is in progress";
    assert_eq!(outcome(whole(&mut bench.argocd, bench.now, &delete())), over);
}

#[test]
fn waves_wait_for_health_and_show_only_what_was_done() {
    let waved = |name: &str, wave: u32, annotations: &str| {
        let text = workload("Deployment", name, "  progressDeadlineSeconds: 20", annotations);
        let annotated =
            format!("metadata: {{name: {name}, annotations: {{argocd.argoproj.io/sync-wave: \"{wave}\"}}}}");
        text.replacen(&format!("metadata: {{name: {name}}}"), &annotated, 1)
    };
    let (first, second) = (waved("first", 1, "paper/takes: 3s"), waved("second", 2, ""));
    let mut bench = Bench::undeployed(&[("a", SETTINGS), ("b", &first), ("c", &second)]);
    let sha = bench.store.head(REPO, "main").unwrap();
    bench.sync(&sha);
    insta::assert_snapshot!(bench.story(10_000), @r#"
       0 operation: - - finished -
       0 OutOfSync Missing reconciled 20 []
       0   ConfigMap/settings OutOfSync Missing
       0   Deployment/first OutOfSync Missing
       0   Deployment/second OutOfSync Missing
     100 operation: Running - finished -
     200   ConfigMap/settings OutOfSync -
     350   ConfigMap/settings Synced -
    2200 operation: Running waiting for healthy state of apps/Deployment/first and 1 more resources finished -
    2200   result ConfigMap/settings Sync Synced - Running: configmap/settings created
    2250   Deployment/first OutOfSync Progressing: Waiting for rollout to finish: 0 of 1 updated replicas are available...
    2400 OutOfSync Missing reconciled 20 ["ghcr.io/acme/checkout:one"]
    2400   Deployment/first Synced Progressing: Waiting for rollout to finish: 0 of 1 updated replicas are available...
    4250 operation: Running waiting for healthy state of apps/Deployment/second finished -
    4250   result ConfigMap/settings Sync Synced - Succeeded: configmap/settings created
    4250   result Deployment/first Sync Synced - Running: deployment.apps/first created
    4300 operation: Running waiting for healthy state of apps/Deployment/first finished -
    5250   Deployment/first Synced Healthy
    5300 no operation: Succeeded successfully synced (all tasks run) finished 25
    5300   result Deployment/first Sync Synced - Succeeded: deployment.apps/first created
    5300   result Deployment/second Sync Synced - Running: deployment.apps/second created
    5300   Deployment/second OutOfSync Progressing: Waiting for rollout to finish: 0 of 1 updated replicas are available...
    5400 Synced Progressing reconciled 20 ["ghcr.io/acme/checkout:one"]
    5400   Deployment/second Synced Progressing: Waiting for rollout to finish: 0 of 1 updated replicas are available...
    5450 Synced Progressing reconciled 25 ["ghcr.io/acme/checkout:one"]
    6300   Deployment/second Synced Healthy
    6450 Synced Healthy reconciled 25 ["ghcr.io/acme/checkout:one"]
    "#);
    // What does not become healthy fails the operation, and the next wave never comes.
    bench.commit(&[("b", &waved("first", 1, "paper/cause: crash"))]);
    bench.deploy("two");
    bench.pass(20_000);
    assert_eq!(bench.operation(), "Running waiting for healthy state of apps/Deployment/first");
    bench.pass(5000);
    assert_eq!(bench.operation(), "Failed one or more synchronization tasks completed unsuccessfully");
    let results = bench.app()["status"]["operationState"]["syncResult"]["resources"].clone();
    let last = results.as_array().unwrap().last().unwrap();
    assert_eq!(text(&last["name"]), "first");
    assert_eq!(text(&last["message"]), "Deployment \"first\" exceeded its progress deadline");
}

#[test]
fn hooks_of_other_kinds_and_with_other_delete_policies() {
    let pod = |tag: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: probe, annotations: {{argocd.argoproj.io/hook: PostSync, argocd.argoproj.io/hook-delete-policy: HookSucceeded}}}}\nspec: {{restartPolicy: Never, containers: [{{name: app, image: 'ghcr.io/acme/tools:{tag}'}}]}}\n"
        )
    };
    let settings =
        SETTINGS.replace("{name: settings}", "{name: settings, annotations: {argocd.argoproj.io/hook: PreSync}}");
    let mut bench = Bench::new(&[("a", &deployment(1, "")), ("b", &settings), ("c", &pod("1"))]);
    bench.deploy("two");
    insta::assert_snapshot!(bench.story(9000), @r#"
       0 operation: - - finished -
       0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
       0   Deployment/checkout Synced Healthy
     100 operation: Running - finished -
     350   ConfigMap/settings - - hook requiresPruning
    2200 operation: Running waiting for completion of hook /ConfigMap/settings and 2 more hooks finished -
    2200   result ConfigMap/settings PreSync Synced PreSync Running: configmap/settings created
    2250   Deployment/checkout Synced Progressing: Waiting for rollout to finish: 1 old replicas are pending termination...
    2400 OutOfSync Progressing reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    2400   Deployment/checkout OutOfSync Progressing: Waiting for rollout to finish: 1 old replicas are pending termination...
    3250   Deployment/checkout OutOfSync Healthy
    3400 OutOfSync Healthy reconciled 20 ["ghcr.io/acme/checkout:one","ghcr.io/acme/checkout:two"]
    4250 operation: Running waiting for completion of hook /Pod/probe finished -
    4250   result ConfigMap/settings PreSync - PreSync Succeeded: settings created
    4250   result Deployment/checkout Sync Synced - Running: deployment.apps/checkout configured
    4300   result Deployment/checkout Sync Synced - Succeeded: deployment.apps/checkout configured
    4300   result Pod/probe PostSync - PostSync Running: pod/probe created
    4400 OutOfSync Healthy reconciled 20 ["ghcr.io/acme/checkout:two","ghcr.io/acme/tools:1"]
    4400   Pod/probe - Progressing hook requiresPruning
    5300   Pod/probe - Healthy hook requiresPruning
    5350 no operation: Succeeded successfully synced (no more tasks) finished 25
    5350   result Pod/probe PostSync - PostSync Succeeded: pod/probe created
    5350   Pod/probe - - hook requiresPruning
    5450 OutOfSync Healthy reconciled 20 ["ghcr.io/acme/checkout:two"]
    5500 Synced Healthy reconciled 25 ["ghcr.io/acme/checkout:two"]
    5500   Deployment/checkout Synced Healthy
    "#);
    bench.commit(&[("c", &pod("crash"))]);
    bench.deploy("three");
    bench.pass(10_000);
    assert_eq!(bench.operation(), "Failed one or more synchronization tasks completed unsuccessfully");
    let results = bench.app()["status"]["operationState"]["syncResult"]["resources"].clone();
    let last = results.as_array().unwrap().last().unwrap();
    assert_eq!(text(&last["message"]), "container \"app\" failed with exit code 1");
}

#[test]
fn what_is_no_longer_in_git_stays_until_it_is_pruned() {
    let mut bench = Bench::new(&[("a", &deployment(1, "")), ("b", SETTINGS)]);
    let sha = bench.commit(&[("b", "")]);
    bench.sync(&sha);
    insta::assert_snapshot!(bench.story(2000), @r#"
      0 operation: - - finished -
      0 Synced Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
      0   ConfigMap/settings Synced -
      0   Deployment/checkout Synced Healthy
    100 operation: Running - finished -
    200 no operation: Succeeded successfully synced (all tasks run) finished 20
    200   result ConfigMap/settings Sync PruneSkipped - Succeeded: ignored (requires pruning)
    200   result Deployment/checkout Sync Synced - Running: deployment.apps/checkout unchanged
    350 OutOfSync Healthy reconciled 20 ["ghcr.io/acme/checkout:one"]
    350   ConfigMap/settings OutOfSync - requiresPruning
    "#);
    bench.sync_with(&sha, json!({"prune": true}));
    bench.pass(2000);
    let results = &bench.app()["status"]["operationState"]["syncResult"]["resources"];
    assert_eq!((text(&results[0]["status"]), text(&results[0]["message"])), ("Pruned".to_owned(), "pruned".to_owned()));
    assert_eq!(bench.app()["status"]["sync"]["status"], "Synced");
    bench.sync_with(&sha, json!({"dryRun": true}));
    bench.pass(2000);
    assert_eq!(bench.operation(), "Succeeded successfully synced (no more tasks)");
    let results = &bench.app()["status"]["operationState"]["syncResult"]["resources"];
    assert_eq!(text(&results[0]["message"]), "deployment.apps/checkout configured (dry run)");
}

#[test]
fn a_partial_sync_runs_no_hooks() {
    let mut bench =
        Bench::new(&[("a", &deployment(1, "")), ("b", SERVICE), ("c", &job("migrate", "PreSync", "1", ONCE))]);
    let sha = bench.set_tag("two");
    bench.sync_with(&sha, json!({"resources": [{"group": "apps", "kind": "Deployment", "name": "checkout"}]}));
    bench.pass(3000);
    assert_eq!(bench.argocd.live_tag("checkout"), Some("two"));
    assert_eq!(bench.argocd.hook_runs("checkout", "migrate"), 0);
    let results = bench.app()["status"]["operationState"]["syncResult"]["resources"].clone();
    assert_eq!(results.as_array().unwrap().len(), 1);
}

#[test]
fn what_kubernetes_refuses_fails_the_operation() {
    let mut bench = Bench::new(&[("a", SETTINGS)]);
    let sha = bench.commit(&[("b", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: two}\nspec: {template: {spec: {containers: [{name: a, image: x}]}}}\n")]);
    bench.sync(&sha);
    bench.pass(1000);
    insta::assert_snapshot!(bench.operation(), @r#"Failed one or more objects failed to apply, reason: Deployment.apps "two" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`]"#);
    bench.argocd.app("checkout").script.failures = 1;
    let sha = bench.commit(&[("b", &deployment(1, ""))]);
    bench.sync_with(
        &sha,
        json!({"retryStrategy": {"limit": 1, "backoff": {"duration": "1s", "factor": 1, "maxDuration": "1m"}}}),
    );
    bench.pass(500);
    let why = bench.operation();
    let refused = "Running one or more objects failed to apply, reason: Internal error occurred: failed calling webhook \"validate.acme.io\". Retrying attempt #1 at ";
    assert!(why.starts_with(refused), "{why}");
    bench.pass(3000);
    assert_eq!(bench.operation(), "Succeeded successfully synced (all tasks run)");
}
