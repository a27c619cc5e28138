//! What the controller, repo-server and the API server make of a chart.

use super::*;

/// The table of values that helm v3.19 printed, and of errors that it gave.
#[test]
fn renders_as_helm_does() {
    let rendered = |values: &str, template: &str| {
        let mut bench = Bench::new(&[]);
        bench.commit_files(&[("apps/checkout/values.yaml", values), ("apps/checkout/templates/c.yaml", template)]);
        let sha = bench.store.head(REPO, "main").unwrap();
        bench.sync(&sha);
        bench.pass(500);
        let app = bench.app();
        let message = text(&app["status"]["operationState"]["message"]);
        match message.split_once("failed exit status 1: ") {
            Some((_, error)) => error.split('\n').next().unwrap().to_owned(),
            None => {
                let cluster = bench.argocd.app("checkout").now.cluster.clone().unwrap();
                cluster
                    .objects
                    .values()
                    .next()
                    .map(|object| object.manifest.body["data"]["a"].to_string())
                    .unwrap_or(message)
            }
        }
    };
    let settings = |value: &str| SETTINGS.replace("{a: b}", &format!("{{a: {value}}}"));
    let check = |values: &str, value: &str, expected: &str| {
        assert_eq!(rendered(values, &settings(value)), expected, "{values} {value}");
    };
    check("a: x", "\"{{ .Values.a }}\"", "\"x\"");
    check("a: x", "\"{{.Values.a}}\"", "\"x\"");
    check("a: {b: {c: x}}", "{{ .Values.a.b.c | quote }}", "\"x\"");
    check("a: 1234567", "{{ .Values.a | quote }}", "\"1.234567e+06\"");
    check("a: 1.20", "{{ .Values.a|quote }}", "\"1.2\"");
    check("a: 72044e0", "{{ .Values.a | quote }}", "\"72044\"");
    check("a: true", "{{ .Values.a | quote }}", "\"true\"");
    check("a: [1, two]", "\"{{ .Values.a }}\"", "\"[1 two]\"");
    check("a: {h: x, i: 1}", "\"{{ .Values.a }}\"", "\"map[h:x i:1]\"");
    check("a: 1", "{{ .Values.nope }}", "null");
    check("a: 1", "{{ .Values.nope | quote }}", "null");
    let fails =
        |values: &str, template: &str, expected: &str| assert_eq!(rendered(values, template), expected, "{template}");
    fails(
        "a: 1",
        "a: {{ .Values.a.b }}\n",
        "Error: template: checkout/templates/c.yaml:1:13: executing \"checkout/templates/c.yaml\" at <.Values.a.b>: can't evaluate field b in type interface {}",
    );
    fails(
        "a: 1",
        "a: {{ .Values.nope.b.c }}\n",
        "Error: template: checkout/templates/c.yaml:1:13: executing \"checkout/templates/c.yaml\" at <.Values.nope.b.c>: nil pointer evaluating interface {}.b",
    );
    fails(
        "a: 1",
        "\n\n\na: {{ nope }}\n",
        "Error: parse error at (checkout/templates/c.yaml:4): function \"nope\" not defined",
    );
    fails(
        "a: 1",
        "a: {{ .Values.a | foo }}\n",
        "Error: parse error at (checkout/templates/c.yaml:1): function \"foo\" not defined",
    );
    fails("a: 1", "a: {{ if }}\n", "Error: parse error at (checkout/templates/c.yaml:1): missing value for if");
    fails("a: 1", "a: {{ }}\n", "Error: parse error at (checkout/templates/c.yaml:1): missing value for command");
    fails(
        "a: 1",
        "a: \"{{ .Values.a\"}\n",
        "Error: parse error at (checkout/templates/c.yaml:1): bad character U+0022 '\"'",
    );
    fails(
        "a: 1",
        "a: {{ include \"x\" . }}\n",
        "Error: this stand-in of helm knows only `.Values.…` and `| quote`, but not `include \"x\" .`",
    );
    fails(
        "a: 1",
        "a: {{ .Values.a\n",
        "Error: parse error at (checkout/templates/c.yaml:1): unclosed action started at checkout/templates/c.yaml:1",
    );
    assert!(
        rendered("a: [", "a: b\n").starts_with("Error: cannot load values.yaml: error converting YAML to JSON: yaml: ")
    );
    assert!(
        rendered("a: 1", "a: [\n")
            .starts_with("Error: YAML parse error on checkout/templates/c.yaml: error converting YAML to JSON: yaml: ")
    );
}

#[test]
fn a_chart_that_cannot_be_rendered_ends_the_operation_in_error() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    let sha = bench.commit(&[("b", "a: {{ .Values.nope.b }}\n")]);
    bench.sync(&sha);
    bench.pass(1000);
    insta::assert_snapshot!(bench.operation(), @r#"
        Error ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = failed to execute helm template command: failed to get command args to log: `helm template . --name-template checkout --namespace checkout --kube-version 1.34 <api versions removed> --include-crds` failed exit status 1: Error: template: checkout/templates/b.yaml:1:13: executing "checkout/templates/b.yaml" at <.Values.nope.b>: nil pointer evaluating interface {}.b

        Use --debug flag to render out invalid YAML
        "#);
    let app = bench.app();
    assert_eq!(app["status"]["sync"]["status"], "Unknown");
    assert_eq!(app["status"]["sync"]["revision"], "main");
    assert_eq!(app["status"]["conditions"][0]["type"], "ComparisonError");
    assert_eq!(app["status"]["resources"][0]["status"], "Unknown");
    assert_eq!(app["status"]["resources"][0]["requiresPruning"], true);
    assert_eq!(bench.health(), "Healthy");
}

/// Three failures in a row, and repo-server does not try that revision again for an hour, whatever became of the cause.
#[test]
fn repo_server_keeps_a_generation_error() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    let sha = bench.set_tag("two");
    bench.argocd.app("checkout").generation_fails = Some("helm dependency build failed: no route to host".to_owned());
    bench.sync(&sha);
    bench.pass(1000);
    bench.sync(&sha);
    bench.pass(1000);
    bench.argocd.app("checkout").generation_fails = None;
    bench.sync(&sha);
    bench.pass(1000);
    let cached = "Error ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = Manifest generation error (cached): helm dependency build failed: no route to host";
    assert_eq!(bench.operation(), cached);
    let request = get("/api/v1/applications/checkout?refresh=hard&project=default");
    let Answer::Later(_) = bench.argocd.answer(bench.now, &request) else { panic!("not later") };
    bench.pass(1000);
    assert_eq!(bench.app().get("conditions"), None);
    bench.sync(&sha);
    bench.pass(3000);
    assert_eq!(
        (bench.operation().as_str(), bench.images()),
        ("Succeeded successfully synced (all tasks run)", vec!["two".to_owned()])
    );
}

#[test]
fn the_error_is_forgotten_after_an_hour_and_another_commit_has_its_own() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.argocd.app("checkout").generation_fails = Some("no route to host".to_owned());
    let sha = bench.set_tag("two");
    for _ in 0..2 {
        bench.sync(&sha);
        bench.pass(1000);
    }
    bench.argocd.app("checkout").generation_fails = None;
    bench.deploy("three");
    bench.pass(3000);
    assert_eq!(bench.images(), ["three"]);
    bench.sync(&sha);
    bench.pass(1000);
    assert!(bench.operation().contains("(cached)"));
    bench.pass(3_600_000);
    bench.sync(&sha);
    bench.pass(3000);
    assert_eq!(bench.images(), ["two"]);
}

/// `reconciledAt` is the time of the comparison at the operation's end, often in the same second; what happens in the cluster later leaves
/// it as it is.
#[test]
fn only_a_comparison_with_git_moves_reconciled_at() {
    let mut bench = Bench::new(&[("a", &deployment(1, "paper/takes: 5s"))]);
    bench.pass(2100);
    bench.deploy("two");
    bench.pass(1000);
    let app = bench.app();
    let (finished, reconciled) = (&app["status"]["operationState"]["finishedAt"], &app["status"]["reconciledAt"]);
    assert_eq!(finished, reconciled);
    assert_eq!(bench.health(), "Progressing");
    bench.pass(8000);
    assert_eq!(bench.health(), "Healthy");
    assert_eq!(bench.app()["status"]["reconciledAt"], *reconciled);
    let Answer::Later(id) = bench.argocd.answer(bench.now, &get("/api/v1/applications/checkout?refresh=normal")) else {
        panic!()
    };
    bench.pass(400);
    assert!(bench.argocd.waiting(bench.now, id).is_some());
    assert_ne!(bench.app()["status"]["reconciledAt"], *reconciled);
}

#[test]
fn an_invalid_specification_makes_health_unknown_and_leaves_reconciled_at() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    let before = bench.app()["status"]["reconciledAt"].clone();
    bench.argocd.app("checkout").conditions =
        vec![("InvalidSpecError".to_owned(), "there are no clusters with this name: nowhere".to_owned())];
    bench.pass(5000);
    bench.argocd.look(bench.now, "checkout", None);
    bench.pass(1000);
    let app = bench.app();
    assert_eq!((bench.health().as_str(), &app["status"]["reconciledAt"]), ("Unknown", &before));
    assert_eq!(app["status"]["sync"]["status"], "Unknown");
}

/// A Pod's change sends no event; the application's does.
#[test]
fn a_pod_that_changes_is_no_event_of_the_application() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.deploy("crash-2");
    bench.pass(10_000);
    let version = bench.app()["metadata"]["resourceVersion"].clone();
    let pods = bench.pods();
    bench.pass(20_000);
    assert_ne!(bench.pods(), pods);
    assert_eq!(bench.app()["metadata"]["resourceVersion"], version);
}

/// Between operations it begins one of its own, whose revision nobody knows before it compares.
#[test]
fn somebody_writes_an_operation() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.deploy("two");
    bench.pass(5000);
    let head = bench.set_tag("three");
    bench.argocd.operation_written(bench.now, "checkout");
    let app = bench.app();
    assert_eq!(app["operation"], json!({"sync": {}, "initiatedBy": {}, "retry": {}}));
    // The API server clears the last operation's state; this way nobody does.
    assert_eq!(bench.operation(), "Succeeded successfully synced (all tasks run)");
    bench.pass(100);
    assert_eq!(bench.operation(), "Running successfully synced (all tasks run)");
    assert_eq!(bench.app()["status"]["operationState"]["operation"]["sync"], json!({}));
    bench.pass(5000);
    assert_eq!(bench.app()["status"]["operationState"]["syncResult"]["revision"], json!(head));
    assert_eq!(bench.argocd.live_tag("checkout"), Some("three"));
}

/// Over an operation that runs it is shown, but the controller goes on with what it began, and takes both away at the end.
#[test]
fn an_operation_written_over_a_running_one_is_lost() {
    let mut bench = Bench::new(&[("a", &deployment(1, "")), ("b", &job("notify", "PostSync", "1", ONCE))]);
    let sha = bench.set_tag("two");
    bench.set_tag("three");
    bench.sync(&sha);
    bench.pass(2000);
    bench.argocd.operation_written(bench.now, "checkout");
    bench.pass(200);
    let app = bench.app();
    assert_eq!(app["operation"]["sync"], json!({}));
    assert_eq!(app["status"]["operationState"]["operation"]["sync"]["revision"], json!(sha));
    bench.pass(10_000);
    let app = bench.app();
    assert_eq!(app.get("operation"), None);
    assert_eq!(app["status"]["operationState"]["syncResult"]["revision"], json!(sha));
    assert_eq!((bench.argocd.live_tag("checkout"), bench.argocd.hook_runs("checkout", "notify")), (Some("two"), 1));
}

/// Before the controller has begun there is nothing to go on with: the first one is gone.
#[test]
fn an_operation_written_over_one_that_has_not_begun_replaces_it() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    let sha = bench.set_tag("two");
    bench.set_tag("three");
    bench.sync(&sha);
    bench.argocd.operation_written(bench.now, "checkout");
    bench.pass(5000);
    assert_eq!(bench.argocd.live_tag("checkout"), Some("three"));
}

#[test]
fn a_sync_takes_as_long_as_its_unpinned_sources_take() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.argocd.resolve_takes = 8000;
    let sha = bench.set_tag("two");
    bench.sync(&sha);
    bench.pass(3000);
    let request = sync_request(&json!({}));
    let Answer::Later(id) = bench.argocd.answer(bench.now, &request) else { panic!("not later") };
    bench.pass(7000);
    assert!(bench.argocd.waiting(bench.now, id).is_none());
    assert_eq!(bench.app().get("operation"), None);
    bench.pass(1000);
    assert_eq!(bench.argocd.waiting(bench.now, id).map(|response| response.status), Some(200));
    bench.pass(3000);
    // Whoever hangs up gets no operation.
    let Answer::Later(id) = bench.argocd.answer(bench.now, &request) else { panic!("not later") };
    bench.argocd.stream_closed(id);
    bench.pass(9000);
    assert_eq!(bench.app().get("operation"), None);
    let statuses: Vec<u16> = bench.argocd.syncs().iter().map(|sync| sync.status).collect();
    assert_eq!(statuses, [200, 200, 499]);
}

#[test]
fn an_event_may_be_lost() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    let id =
        open(&mut bench.argocd, bench.now, "name=checkout&project=default&fields=result.type", "text/event-stream");
    let first = take(&mut bench.argocd, bench.now, id);
    assert!(first[0].contains("ADDED"), "{first:?}");
    bench.argocd.lose_events = 2;
    bench.argocd.person_deletes(bench.now, "checkout");
    bench.argocd.app("checkout").deleting = false;
    bench.argocd.look(bench.now, "checkout", None);
    assert!(take(&mut bench.argocd, bench.now, id).iter().all(String::is_empty));
    bench.argocd.look(bench.now, "checkout", None);
    assert!(take(&mut bench.argocd, bench.now, id)[0].contains("MODIFIED"));
}

/// The manifests are those of the last comparison when nothing changed below the annotation's paths.
#[test]
fn generate_paths_decide_what_a_sync_applies() {
    let paths = "argocd.argoproj.io/manifest-generate-paths".to_owned();
    let mut bench = Bench::with(&[("a", &deployment(1, ""))], |app| {
        app.annotations.insert(paths.clone(), "/apps/checkout/templates".to_owned());
    });
    bench.deploy("two");
    bench.pass(3000);
    assert_eq!(bench.operation(), "Succeeded successfully synced (all tasks run)");
    assert_eq!(bench.images(), ["one"]);
    let request = get("/api/v1/applications/checkout?refresh=normal");
    bench.argocd.answer(bench.now, &request);
    bench.pass(1000);
    assert_eq!(bench.app()["status"]["sync"]["status"], "Synced");
    bench.argocd.answer(bench.now, &get("/api/v1/applications/checkout?refresh=hard"));
    bench.pass(1000);
    assert_eq!(bench.app()["status"]["sync"]["status"], "OutOfSync");
    bench.argocd.app("checkout").annotations.insert(paths, ".".to_owned());
    bench.deploy("three");
    bench.pass(3000);
    assert_eq!(bench.images(), ["three"]);
}

#[test]
fn images_are_those_of_pods_as_far_as_the_project_shows_them() {
    let mut bench = Bench::with(&[("a", &deployment(1, "")), ("b", SERVICE)], |app| {
        app.hidden = vec!["ReplicaSet".to_owned(), "Pod".to_owned()];
    });
    bench.deploy("two");
    bench.pass(4000);
    assert_eq!((bench.health().as_str(), bench.images().len(), bench.pods().as_str()), ("Healthy", 0, ""));
    let mut bench = Bench::with(&[("a", &deployment(1, ""))], |app| {
        app.renames = Some(("ghcr.io/".to_owned(), "mirror.acme.io/ghcr/".to_owned()));
    });
    bench.deploy("two");
    bench.pass(4000);
    assert_eq!(bench.app()["status"]["summary"]["images"], json!(["mirror.acme.io/ghcr/acme/checkout:two"]));
    let applied = &bench.app()["status"]["operationState"]["syncResult"]["resources"][0]["images"];
    assert_eq!(*applied, json!([format!("{IMAGE}:two")]));
}

#[test]
fn pods_take_as_long_as_the_installation_says() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.argocd.pods_take = 7000;
    bench.deploy("two");
    bench.pass(6000);
    assert_eq!(bench.health(), "Progressing");
    bench.pass(3000);
    assert_eq!(bench.health(), "Healthy");
}

/// However the stand-in is ticked, the same is seen.
#[test]
fn what_is_seen_does_not_depend_on_how_often_it_is_ticked() {
    let run = |step: Millis| {
        let mut bench =
            Bench::new(&[("a", &deployment(3, "")), ("b", &job("migrate", "PreSync", "crash", "  backoffLimit: 1"))]);
        bench.deploy("crash-2");
        while bench.now < NOW + 30_000 {
            bench.now += step;
            bench.argocd.tick(bench.now);
        }
        (bench.pods(), facts(&bench.app()))
    };
    assert_eq!(run(50), run(30_000));
}

/// A closed window holds an operation that has begun, and nothing is applied meanwhile.
#[test]
fn a_window_that_closes_holds_the_operation() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.deploy("two");
    bench.argocd.app("checkout").window = Window::Closed;
    bench.pass(3000);
    assert_eq!(bench.operation(), "Running Sync operation blocked by sync window");
    bench.argocd.app("checkout").window = Window::Open;
    bench.pass(4000);
    assert_eq!(bench.images(), ["two"]);
}

/// Rights are as they were, and so is `can-i`.
#[test]
fn without_kubernetes_everything_is_denied() {
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    bench.argocd.kubernetes_away = true;
    let denied = "403 7 permission denied";
    for path in ["?project=default", "?project=default&refresh=normal", "/resource-tree?project=default"] {
        let request = get(&format!("/api/v1/applications/checkout{path}"));
        assert_eq!(outcome(whole(&mut bench.argocd, bench.now, &request)), denied, "{path}");
    }
    let body = json!({"project": "default"});
    assert_eq!(outcome(sync(&mut bench.argocd, bench.now, &body)), denied);
    let request = get("/api/v1/account/can-i/applications/sync/default/checkout");
    assert_eq!(whole(&mut bench.argocd, bench.now, &request), (200, json!({"value": "yes"})));
    bench.argocd.kubernetes_away = false;
    assert_eq!(outcome(sync(&mut bench.argocd, bench.now, &body)), "200");
}

/// A comparison within the lag shows everything as it was before the sync.
#[test]
fn the_controllers_cache_may_lag_behind_the_cluster() {
    let mut bench = Bench::with(&[("a", &deployment(1, ""))], |app| app.cluster_lag = 3000);
    bench.deploy("two");
    bench.pass(2500);
    assert_eq!((bench.health().as_str(), bench.images()), ("Healthy", vec!["one".to_owned()]));
    bench.pass(1500);
    assert_eq!((bench.health().as_str(), bench.images()), ("Healthy", vec!["two".to_owned()]));
}

#[test]
fn an_automated_application_syncs_itself_and_a_drifting_one_is_never_in_sync() {
    let mut bench = Bench::with(&[("a", &deployment(1, ""))], |app| app.automated = true);
    bench.set_tag("two");
    bench.argocd.look(bench.now, "checkout", None);
    bench.pass(4000);
    assert_eq!(bench.images(), ["two"]);
    assert_eq!(bench.app()["status"]["operationState"]["operation"]["initiatedBy"], json!({"automated": true}));
    let mut bench = Bench::with(&[("a", &deployment(1, ""))], |app| app.drifting = true);
    bench.deploy("two");
    bench.pass(4000);
    let app = bench.app();
    assert_eq!((bench.health().as_str(), &app["status"]["sync"]["status"]), ("Healthy", &json!("OutOfSync")));
}

/// The chart is one of several sources: an error says which.
#[test]
fn a_chart_may_be_one_of_several_sources() {
    let mut bench = Bench::empty(&[("a", &deployment(1, ""))]);
    let sources = vec![Source::new(REPO, "main").at("other"), Source::new(REPO, "main").at("apps/checkout")];
    let tag_at = TagAt { source: 1, file: "apps/checkout/values.yaml".to_owned(), key: "image.tag".to_owned() };
    bench.argocd.add(NOW, App::multi("checkout", sources, tag_at));
    let sha = bench.set_tag("two");
    let body = json!({"revisions": [sha, sha], "sourcePositions": [1, 2]});
    assert_eq!(outcome(sync(&mut bench.argocd, bench.now, &body)), "200");
    bench.pass(4000);
    assert_eq!(bench.images(), ["two"]);
    assert_eq!(bench.app()["status"]["operationState"]["syncResult"]["revisions"], json!([sha, sha]));
    let sha = bench.commit(&[("b", "a: {{ nope }}\n")]);
    let body = json!({"revisions": [sha, sha], "sourcePositions": [1, 2]});
    assert_eq!(outcome(sync(&mut bench.argocd, bench.now, &body)), "200");
    bench.pass(1000);
    assert!(bench.operation().contains("failed to generate manifest for source 2 of 2"), "{}", bench.operation());
    // What was asked for is still there, but the result names no revisions.
    let state = bench.app()["status"]["operationState"].clone();
    assert_eq!(state["operation"]["sync"]["revisions"], json!([sha, sha]));
    assert_eq!(state["operation"]["sync"]["sources"][1]["targetRevision"], json!(sha));
    let source = |path: &str| json!({"repoURL": REPO, "path": path, "targetRevision": sha});
    let sources = json!([source("other"), source("apps/checkout")]);
    let expected = json!({"revision": "", "source": {"repoURL": ""}, "sources": sources, "resources": []});
    assert_eq!(state["syncResult"], expected);
}

/// Both were seen so on the real one: an autoscaler without metrics, and a budget.
#[test]
fn an_autoscaler_is_healthy_after_its_first_look() {
    const SCALER: &str =
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: scaler}\nspec: {}\n";
    const BUDGET: &str = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: budget}\nspec: {}\n";
    let mut bench = Bench::new(&[("a", &deployment(1, ""))]);
    let sha = bench.commit(&[("b", SCALER), ("c", BUDGET)]);
    bench.sync(&sha);
    bench.pass(14_000);
    assert_eq!(bench.resource("scaler"), "Synced Progressing Waiting to Autoscale");
    assert_eq!(bench.resource("budget"), "Synced Healthy PodDisruptionBudget has InsufficientPods");
    bench.pass(2000);
    let scaled = "Synced Healthy the HPA controller was able to get the target's current scale";
    assert_eq!((bench.resource("scaler").as_str(), bench.health().as_str()), (scaled, "Healthy"));
}
