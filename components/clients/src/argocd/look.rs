//! A look at how an application is set up, outside of any deploy: a few fields, and what our account may do with it.
//!
//! Easy to miss: the list leaves out what our account may not see, without a word.

use super::account::{Right, may};
use super::api::{ArgoCd, ArgoError, fault, query, read_error};
use super::wire::WireApplication;
use crate::http::{Http, Request, Response};
use domain::application::AppSource;
use domain::fault::Cause;
use domain::names::{ArgoApplication, KubeName};
use domain::seen::{Found, MOST_SOURCES, Shown};
use domain::selection::{MOST_APPLICATIONS, Selection};
use serde::Deserialize;

const LOOK: &str = "look at the application";

/// How the application is set up.
pub async fn look(http: &impl Http, argocd: &ArgoCd, app: &ArgoApplication) -> Result<Found, ArgoError> {
    let listed = http.send(look_request(argocd, app)).await.map_err(|error| fault(LOOK, error.into()))?;
    match read_look(&listed)? {
        Some(shown) => Ok(Found::There(Shown { may_sync: may(http, argocd, Right::Sync, app).await?, ..shown })),
        None if may(http, argocd, Right::Get, app).await? => Ok(Found::NoApplication),
        None => Ok(Found::Hidden),
    }
}

/// `GET /api/v1/applications`, of this one application and without its state.
pub fn look_request(argocd: &ArgoCd, app: &ArgoApplication) -> Request {
    // Argo CD shows nothing of `items.spec.source` here: a list takes `spec` as a whole (seen with 3.2.11).
    const FIELDS: [&str; 3] = ["items.metadata.name", "items.metadata.annotations", "items.spec"];
    // A list has `projects`, and one application has `project`.
    let place = query(app).replacen("project=", "projects=", 1);
    let url = argocd.url(&format!("/api/v1/applications?name={}&{place}&fields={}", app.name, FIELDS.join(",")));
    argocd.signed_in(Request::get(url))
}

/// Understands the answer to [`look_request`]; whether our account may sync is not in it. `None`: there is none, or we
/// may not see it.
pub fn read_look(response: &Response) -> Result<Option<Shown>, ArgoError> {
    #[derive(Deserialize)]
    struct List {
        items: Option<Vec<WireApplication>>,
    }
    if response.status != 200 {
        return Err(read_error(response, LOOK));
    }
    let list: List = serde_json::from_slice(&response.body)
        .map_err(|_| fault(LOOK, Cause::Nonsense { part: "the list of applications".to_owned() }))?;
    let Some(app) = list.items.into_iter().flatten().next().map(WireApplication::snapshot) else { return Ok(None) };
    if app.sources.is_empty() && !app.hydrated {
        // Every application has a source: an answer without one is not understood, and says nothing about the source.
        return Err(fault(LOOK, Cause::Nonsense { part: "the sources of the application".to_owned() }));
    }
    let sources = app.sources.into_iter().take(MOST_SOURCES);
    Ok(Some(Shown {
        sources: sources.map(|source| AppSource { url: without_login(&source.url), ..source }).collect(),
        generate_paths: app.generate_paths,
        automated: app.automated,
        hydrated: app.hydrated,
        may_sync: false,
    }))
}

const SELECT: &str = "look up the applications";

/// The applications that have certain labels, at most one more than a deploy may have.
pub async fn select(
    http: &impl Http,
    argocd: &ArgoCd,
    selection: &Selection,
) -> Result<Vec<ArgoApplication>, ArgoError> {
    let response = http.send(select_request(argocd, selection)).await.map_err(|error| fault(SELECT, error.into()))?;
    read_selected(&response, selection)
}

/// `GET /api/v1/applications` by labels: their names and namespaces alone.
pub fn select_request(argocd: &ArgoCd, selection: &Selection) -> Request {
    let selector: String = form_urlencoded::byte_serialize(selection.selector.as_str().as_bytes()).collect();
    let namespace =
        selection.namespace.as_ref().map(|namespace| format!("&appNamespace={namespace}")).unwrap_or_default();
    let place = format!("projects={}{namespace}", selection.project);
    argocd.signed_in(Request::get(argocd.url(&format!(
        "/api/v1/applications?selector={selector}&{place}&fields=items.metadata.name,items.metadata.namespace"
    ))))
}

/// Understands the answer to [`select_request`].
pub fn read_selected(response: &Response, selection: &Selection) -> Result<Vec<ArgoApplication>, ArgoError> {
    #[derive(Deserialize)]
    struct List {
        items: Option<Vec<Item>>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: KubeName,
        namespace: KubeName,
    }
    if response.status != 200 {
        return Err(read_error(response, SELECT));
    }
    let list: List = serde_json::from_slice(&response.body)
        .map_err(|_| fault(SELECT, Cause::Nonsense { part: "the list of applications".to_owned() }))?;
    let of = |Item { metadata: Metadata { name, namespace } }: Item| ArgoApplication {
        name,
        project: selection.project.clone(),
        // As Argo CD names it: without a namespace it lists those of all of them.
        namespace: Some(namespace),
    };
    let mut all: Vec<ArgoApplication> = list.items.into_iter().flatten().map(of).collect();
    all.sort();
    all.truncate(MOST_APPLICATIONS.saturating_add(1));
    Ok(all)
}

/// A password in a URL is not ours to remember.
fn without_login(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", host.rsplit_once('@').map_or(host, |(_, host)| host))
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples::{app, argocd, error_body, in_namespace, sample};
    use crate::http::script::{Script, response, shown};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn one_application_is_listed_without_its_state() {
        insta::assert_snapshot!(shown(&look_request(&argocd(), &app())), @"
        GET https://argocd.acme.example/argo/api/v1/applications?name=checkout&projects=default&fields=items.metadata.name,items.metadata.annotations,items.spec
        authorization: Bearer a.jwt.token
        ");
        let there = look_request(&argocd(), &in_namespace()).url;
        assert!(there.contains("?name=checkout&projects=shop&appNamespace=shop-apps&fields="), "{there}");
    }

    fn list(change: impl FnOnce(&mut Value)) -> Response {
        let mut item = json!({ "metadata": { "name": "checkout" }, "spec": sample()["spec"] });
        change(&mut item);
        response(200, json!({ "metadata": {}, "items": [item] }).to_string())
    }

    #[test]
    fn how_it_is_set_up_is_read() {
        let plain = read_look(&list(|_| {})).unwrap().unwrap();
        let source =
            |url: &str| AppSource { url: url.to_owned(), target: "main".to_owned(), path: "checkout".to_owned() };
        assert_eq!(plain, Shown { sources: vec![source("https://github.com/acme/gitops.git")], ..Shown::default() });
        let odd = read_look(&list(|item| {
            item["spec"]["source"]["repoURL"] = json!("https://bot:hunter2@github.com/acme/gitops");
            item["spec"]["syncPolicy"] = json!({ "automated": {} });
            item["metadata"]["annotations"] = json!({ "argocd.argoproj.io/manifest-generate-paths": "." });
        }));
        let odd = odd.unwrap().unwrap();
        assert_eq!((odd.sources, odd.automated), (vec![source("https://github.com/acme/gitops")], true));
        assert_eq!(odd.generate_paths.as_deref(), Some("."));
        assert!(read_look(&list(|item| item["spec"]["sourceHydrator"] = json!({}))).unwrap().unwrap().hydrated);
        for none in ["{}", r#"{"items":null}"#, r#"{"items":[]}"#] {
            assert_eq!(read_look(&response(200, none)), Ok(None), "{none}");
        }
        assert_eq!(read_look(&response(401, error_body(16, "invalid session: x"))), Err(ArgoError::Unauthorized));
        assert!(matches!(read_look(&response(200, "[]")), Err(ArgoError::Fault(_))));
        let sourceless = |item: &mut Value| drop(item["spec"].as_object_mut().unwrap().remove("source"));
        assert!(matches!(read_look(&list(sourceless)), Err(ArgoError::Fault(_))), "it says nothing about the source");
    }

    #[test]
    fn what_our_account_may_do_is_asked() {
        let check = |answers: [Response; 2], expected: fn(&Found) -> bool| {
            let http = Script::new(answers.map(Ok));
            let found = http.run(look(&http, &argocd(), &app())).0.unwrap();
            assert!(expected(&found), "{found:?}");
        };
        let value = |value: &str| response(200, format!(r#"{{"value":"{value}"}}"#));
        let none = || response(200, "{}");
        check([list(|_| {}), value("yes")], |found| matches!(found, Found::There(shown) if shown.may_sync));
        check([list(|_| {}), value("no")], |found| matches!(found, Found::There(shown) if !shown.may_sync));
        check([none(), value("yes")], |found| *found == Found::NoApplication);
        check([none(), value("no")], |found| *found == Found::Hidden);
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>, url in "\\PC*") {
            let _ = (read_look(&response(status, body)), without_login(&url));
        }
    }
}
