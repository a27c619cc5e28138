//! Further files of the catalog, each within the bounds that the catalog gives it: who may push one of them decides about
//! the apps in it, and about nothing else.
//!
//! Easy to miss: a deploy with a known catalog asks GitHub once before its commit, however many files there are.

use crate::catalog::{is_announced, watched};
use crate::conversation::{asks, hurry, whispers};
use crate::insiders::is_refused;
use anyhow::{Result, ensure};
use e2e::{Room, quick, room};
use fakes::github::{NewCommit, SYMLINK};
use sandbox::world::{ALICE, CAROL, DEPLOYS, GITOPS};

const PAYMENTS: &str = "teams/payments.yaml";

fn host(room: &Room) -> String {
    room.registry.origin().trim_start_matches("http://").to_owned()
}

/// An entry of an app, with more keys.
fn entry(room: &Room, app: &str, more: &str) -> String {
    let host = host(room);
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!("  {app}:\n    repo: acme/payments\n    image: {host}/acme/payments\n{more}")
}

/// The catalog with checkout, and a file for each team. That of payments has payments and these entries.
fn includes(room: &Room, allow: &str, entries: &str) {
    let host = host(room);
    let root = format!(
        "include:
  teams/*.yaml:
    apps: ['{{name}}', '{{name}}-*']
    values: ['{{name}}/**']
    applications: ['{{name}}', '{{name}}-*']
    repositories: ['acme/{{name}}*']
    images: ['{host}/acme/{{name}}*']
apps:
  checkout:
    repo: acme/checkout
    image: {host}/acme/checkout
    allow: {allow}
"
    );
    let file = format!("apps:\n{}{entries}", entry(room, "payments", "allow: anyone"));
    let files = [("deploy-bot.yaml", root.as_str()), (PAYMENTS, file.as_str())];
    room.github.lock().person_pushes(GITOPS, "main", "carol", &files, "A file for each team");
}

/// Somebody who may push no other file pushes this one.
fn mallory_writes(room: &Room, path: &str, text: &str) {
    room.github.lock().person_pushes(GITOPS, "main", "mallory", &[(path, text)], "Our apps");
}

#[test]
fn an_app_of_an_included_file_goes_live_in_as_few_round_trips() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.script("payments", quick());
        includes(room, "anyone", "");
        let queries = |room: &Room| room.github.lock().calls("github.query");
        let before = queries(room);
        room.alice("paymnets 7").await;
        room.says("Did you mean `payments`?").await?;
        room.all_told().await?;
        ensure!(queries(room) == before + 3, "the catalog, the names of its files, their texts");

        let since = room.journal.mark("payments");
        room.goes_live("payments 7").await?;
        room.all_told().await?;
        let to_github = |calls: &[String]| -> Vec<String> {
            let all = calls.iter().filter(|call| call.starts_with("github.")).cloned();
            all.take_while(|call| call != "github.compare").collect()
        };
        ensure!(to_github(&room.calls(since)) == ["github.query", "github.commit"], "{:?}", room.calls(since));
        let tag = room.tag("payments", "feature/refunds");
        ensure!(String::from_utf8_lossy(&room.file("payments/values.yaml")).contains(&tag));

        // One file has changed: one query more, for its text.
        let (before, more) = (queries(room), entry(room, "payments-x", "allow: anyone\nvalues: payments/x.yaml"));
        let file = format!("apps:\n{}{more}", entry(room, "payments", "allow: anyone"));
        mallory_writes(room, PAYMENTS, &file);
        room.alice("paymnets-x 7").await;
        room.says("Did you mean `payments-x`?").await?;
        room.all_told().await?;
        ensure!(queries(room) == before + 2, "{} queries", queries(room) - before);
        Ok(())
    });
}

#[test]
fn an_included_file_that_changed_a_moment_ago_counts() {
    room(async |room| -> Result<()> {
        hurry(room);
        includes(room, "anyone", "");
        is_refused(room, ALICE, "payments 99", "no pull request").await?;
        // The cached catalog would still let her deploy, but the commit step sees that a file of it is old.
        let file = |room: &Room, allow: &str| format!("apps:\n{}", entry(room, "payments", allow));
        let bob = file(room, "allow: { users: [U0BOB] }");
        mallory_writes(room, PAYMENTS, &bob);
        is_refused(room, ALICE, "payments 7", "you aren't allowed to deploy payments").await?;
        let history = room.key("deploy-bot/target/payments/default/history").await?.unwrap_or_default();
        ensure!(history["ids"].as_array().map(Vec::len) == Some(2), "she got as far as the lease: {history}");
        // A file that was not there before counts, too: it is in bounds, and takes nothing.
        let alice = file(room, "allow: { users: [U0ALICE] }");
        mallory_writes(room, PAYMENTS, &alice);
        mallory_writes(room, "teams/a.yaml", "apps: {}\n");
        room.goes_live("payments 7").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | may push one team's file alone, and names in it what belongs to others | each such app is out of service, and all others are not
#[test]
fn an_app_out_of_bounds_is_out_of_service() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.script("payments", quick());
        let (host, ours) = (host(room), "values: payments/x.yaml");
        let mine = "argocd: { application: payments-x }";
        let cases = [
            ("values: checkout/values.yaml".to_owned(), "`checkout/values.yaml` is out of bounds"),
            // People read the name of the file in which the app stands wherever the catalog is named.
            ("values: [payments/x.yaml, deploy-bot.yaml]".to_owned(), "`teams/payments.yaml` is out of bounds"),
            (format!("{ours}\nargocd: {{ application: checkout }}"), "`checkout` is out of bounds"),
            (format!("{ours}\nargocd: {{ applications: [payments-x, checkout] }}"), "`checkout` is out of bounds"),
            (
                format!("{ours}\nargocd: {{ application: payments-x, namespace: other }}"),
                "`other/payments-x` is out of bounds",
            ),
            (format!("{ours}\nargocd: {{ selector: app=checkout }}"), "`selector` is out of bounds"),
            (format!("{ours}\n{mine}\nmirrors: [{host}/acme/checkout]"), "acme/checkout` is out of bounds"),
        ];
        for (more, words) in cases {
            includes(room, "anyone", &entry(room, "payments-x", &format!("allow: anyone\n{more}")));
            let words = format!("{words}: for this file");
            let told = is_refused(room, ALICE, "payments-x 7", &words).await?;
            ensure!(
                told.contains("`payments-x` is out of service: `teams/payments.yaml` has a mistake on line"),
                "{told}"
            );
        }
        for (from, to) in [("repo: acme/payments", "repo: acme/checkout"), ("/acme/payments\n", "/acme/checkout\n")] {
            let evil = entry(room, "payments-x", ours).replace(from, to);
            includes(room, "anyone", &evil);
            is_refused(room, ALICE, "payments-x 7", "acme/checkout` is out of bounds: for this file").await?;
        }
        // Names of others. That of the catalog itself counts, with its own gate.
        let taken = format!("{}{}", entry(room, "checkout", "allow: anyone"), entry(room, "search", "allow: anyone"));
        includes(room, "{ users: [U0CAROL] }", &taken);
        is_refused(room, ALICE, "checkout 42", "you aren't allowed to deploy checkout").await?;
        is_refused(room, ALICE, "search 7", "`search` is out of bounds").await?;
        let apps = asks(room, ALICE, "apps", "*payments*").await?;
        ensure!(apps.contains(":x: *checkout* is out of service: `teams/payments.yaml`"), "{apps}");
        ensure!(apps.contains("*checkout* (acme/checkout)"), "{apps}");
        room.goes_live("payments 7").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | may push one team's file alone, and names owners and readers in it | the file is not read
#[test]
fn an_included_file_has_no_owners_of_everything() {
    room(async |room| -> Result<()> {
        hurry(room);
        for top in ["owners: { users: [U0ALICE] }", "readers: []", "include: {}"] {
            includes(room, "anyone", "");
            let file = format!("{top}\napps:\n{}", entry(room, "payments", "allow: anyone"));
            mallory_writes(room, PAYMENTS, &file);
            is_refused(room, ALICE, "payments 7", "unless it is in `teams/payments.yaml`, which has a mistake").await?;
            let apps = asks(room, ALICE, "apps", "`teams/payments.yaml` has a mistake on line 1").await?;
            ensure!(apps.contains("an included file cannot have"), "{apps}");
            asks(room, ALICE, "lock all mine", "Only an owner may lock everything").await?;
        }
        room.goes_live("checkout 42").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | may push one team's file alone, names herself as owner of its app, and overrides the freeze of everything | refused
#[test]
fn owners_of_an_included_file_override_no_freeze_of_everything() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.script("payments", quick());
        includes(room, "anyone", "");
        let root = String::from_utf8_lossy(&room.file("deploy-bot.yaml")).into_owned();
        let always = "freeze: [{ from: 'Mon 00:00', until: 'Thu 00:00', zone: UTC }, { from: 'Thu 00:00', until: 'Mon 00:00', zone: UTC }]";
        let root = format!("owners: {{ users: [{CAROL}] }}\n{always}\n{root}");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &root)], "Freeze everything");
        let own = entry(room, "payments", &format!("allow: anyone\nowners: {{ users: [{ALICE}] }}"));
        mallory_writes(room, PAYMENTS, &format!("apps:\n{own}"));
        let before = room.commits();
        room.alice("payments 7 override orders are lost").await;
        whispers(room, ALICE, "only an owner may override the freeze of payments").await?;
        ensure!(room.commits() == before);
        // Who owns everything may.
        room.command(CAROL, DEPLOYS, "payments 7 override orders are lost").await;
        room.says("is live").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | names a file so that its name becomes a pattern, or makes it a link | the file is not read
#[test]
fn the_name_of_a_file_is_no_pattern() {
    room(async |room| -> Result<()> {
        hurry(room);
        includes(room, "anyone", "");
        let evil = format!("apps:\n{}", entry(room, "evil", "allow: anyone\nvalues: payments/values.yaml"));
        for name in ["*", "**", "{name}", "pay*", "PAYMENTS", "payments.x", "pay ments"] {
            let path = format!("teams/{name}.yaml");
            mallory_writes(room, &path, &evil);
            is_refused(room, ALICE, "evil 7", "which has a mistake").await?;
            let mut gone = NewCommit::new("Away with it", &[]);
            gone.files.push((path, None));
            room.github.lock().push(GITOPS, "main", "mallory", &[gone]);
        }
        mallory_writes(room, "payments/evil.yaml", &evil);
        let link = NewCommit::new("A link", &[("teams/evil.yaml", "../payments/evil.yaml")]);
        let link = NewCommit { modes: vec![("teams/evil.yaml".to_owned(), SYMLINK)], ..link };
        room.github.lock().push(GITOPS, "main", "mallory", &[link]);
        is_refused(room, ALICE, "evil 7", "unless it is in `teams/evil.yaml`, which has a mistake").await?;
        room.goes_live("payments 7").await?;
        room.all_told().await
    });
}

/// Attack: may push to the GitOps repository | breaks one team's file | its apps are out of service, those of others are not, and it is announced with who
#[test]
fn a_broken_file_takes_no_app_of_others_along() {
    watched(async |room| -> Result<()> {
        includes(room, "anyone", "");
        is_announced(room, 0, &["carol pushed it", "`include`", "*payments*"]).await?;
        let whole = String::from_utf8(room.file(PAYMENTS))?;
        mallory_writes(room, PAYMENTS, "apps: [\n");
        is_announced(room, 1, &["mallory pushed it", "*teams/payments.yaml* is out of service", "not YAML"]).await?;
        is_refused(room, ALICE, "payments 7", "there is no app `payments`, unless it is in `teams/payments.yaml`")
            .await?;
        let apps = asks(room, ALICE, "apps", "*checkout*").await?;
        ensure!(apps.contains("`teams/payments.yaml` has a mistake on line 2: this is not YAML"), "{apps}");
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        // Mended, and with less of a gate.
        let wide = whole.replace("allow: anyone", "allow: { users: [U0MALLORY] }");
        mallory_writes(room, PAYMENTS, &wide);
        let words = ["mallory pushed it", "*payments* `allow`: `anyone` → `users U0MALLORY`", "is back in service"];
        is_announced(room, 2, &words).await?;
        Ok(())
    });
}

/// Attack: may push to the GitOps repository | names a values file that is not there in a folder of many, so that the folder does not count for others | it counts
#[test]
fn a_file_that_is_only_named_takes_no_folder_of_others() {
    room(async |room| -> Result<()> {
        hurry(room);
        let x = entry(room, "payments-x", "allow: anyone\nvalues: environments/base/payments.yaml");
        includes(room, "anyone", &x);
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        let root = String::from_utf8(room.file("deploy-bot.yaml"))?;
        let root = root.replace("['{name}/**']", "['{name}/**', 'environments/*/{name}.yaml']");
        let root = root.replace("allow: anyone", "allow: anyone\n    foreign_changes: refuse");
        room.github.lock().person_pushes(GITOPS, "main", "carol", &[("deploy-bot.yaml", &root)], "Environments");
        asks(room, ALICE, "apps", "*payments-x*").await?;
        // What the catalog leaves to the team is the team's.
        let text = String::from_utf8(room.file("payments/values.yaml"))?;
        mallory_writes(room, "payments/values.yaml", &format!("{text}# more\n"));
        mallory_writes(room, "environments/base/payments.yaml", "image: {}\n");
        let tag = room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        room.says(&format!("is live: `{tag}`")).await?;
        room.all_told().await?;
        mallory_writes(room, "environments/base/rbac.yaml", "kind: ClusterRoleBinding\n");
        room.builds("checkout", "feature/totals", "alice");
        is_refused(room, ALICE, "checkout 42", "`environments/base/rbac.yaml` in Git isn't as it was").await?;
        Ok(())
    });
}

#[test]
fn a_change_of_one_teams_file_is_no_foreign_change_for_others() {
    room(async |room| -> Result<()> {
        hurry(room);
        room.goes_live("checkout 42").await?;
        room.all_told().await?;
        // The folder of these files is new, too.
        includes(room, "anyone\n    foreign_changes: refuse", "");
        let tag = room.builds("checkout", "feature/totals", "alice");
        room.alice("checkout 42").await;
        room.says(&format!("is live: `{tag}`")).await?;
        room.all_told().await?;
        mallory_writes(room, "teams/readme.md", "Hello\n");
        room.builds("checkout", "feature/totals", "alice");
        is_refused(room, ALICE, "checkout 42", "`teams/readme.md` in Git").await?;
        Ok(())
    });
}
