//! Many apps, and as many people who deploy them at the same moment.

use fakes::argocd::{App, Script, Source};
use sandbox::bot::Exchange;
use sandbox::world::{DEPLOYS, GITOPS, tag};
use sandbox::{Sandbox, now};
use tokio::task::JoinSet;

/// The name of an app.
pub fn app(n: usize) -> String {
    format!("app-{n:02}")
}

fn person(n: usize) -> String {
    format!("U0PERSON{n:02}")
}

/// Replaces the apps by this many others. Each has a repository, an image, a new version, an application, and
/// somebody who works on it.
pub fn grow(room: &Sandbox, count: usize, script: impl Fn(usize) -> Script) {
    let host = room.registry.origin().trim_start_matches("http://").to_owned();
    let mut catalog = "apps:\n".to_owned();
    let mut files = Vec::new();
    for n in 0..count {
        let name = app(n);
        let repo = format!("acme/{name}");
        catalog += &format!("  {name}:\n    repo: {repo}\n    image: {host}/{repo}\n    allow: anyone\n");
        let before = {
            let mut github = room.github.lock();
            github.repo(&repo).commit("Begin", &[("README.md", &name)]);
            tag(&github, &name, "main")
        };
        room.registry.lock().push(&repo, &before);
        files.push((format!("{name}/values.yaml"), format!("image:\n  tag: \"{before}\"\n")));
    }
    files.push(("deploy-bot.yaml".to_owned(), catalog));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    room.github.lock().repo(GITOPS).commit("Grow", &files);
    for n in 0..count {
        let name = app(n);
        let source = Source::new(&format!("https://github.com/{GITOPS}"), "main").at(&name);
        let mut application = App::new(&name, source);
        application.image = format!("{host}/acme/{name}");
        application.script = script(n);
        let only_its_folder = ("argocd.argoproj.io/manifest-generate-paths".to_owned(), ".".to_owned());
        application.annotations.extend([only_its_folder]);
        room.argocd.lock().add(now(), application);
        room.slack.lock().add_user(&person(n), &format!("person-{n:02}"));
        build(room, &name);
    }
}

/// Somebody pushes to `main` of an app's repository, and CI pushes its image; the image's tag.
pub fn build(room: &Sandbox, app: &str) -> String {
    let repo = format!("acme/{app}");
    let tag = {
        let mut github = room.github.lock();
        let text = format!("after {}", tag(&github, app, "main"));
        github.person_pushes(&repo, "main", "alice", &[("work.txt", &text)], "Work");
        tag(&github, app, "main")
    };
    room.registry.lock().push(&repo, &tag);
    tag
}

/// Everybody types at the same moment.
pub async fn everybody_types(room: &Sandbox, count: usize) -> Vec<Exchange> {
    let mut typing = JoinSet::new();
    for n in 0..count {
        let click = room.slack.lock().command(now(), &person(n), DEPLOYS, &format!("{} main", app(n)));
        let bot = room.bot.clone();
        typing.spawn(async move { (bot.send(&click).await, click) });
    }
    let mut answers = Vec::new();
    while let Some(answered) = typing.join_next().await {
        let (exchange, click) = answered.expect("nobody panics");
        room.slack.lock().answered(now(), &click, exchange.status.unwrap_or(0), exchange.body.as_bytes());
        answers.push(exchange);
    }
    answers
}
