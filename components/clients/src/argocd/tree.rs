//! The Pods of an application, from its tree of resources. Needs no more rights than to look at the application.

use super::api::{ArgoCd, ArgoError, MAX_APPLICATION, fault, query, read_error};
use super::wire::{SENTENCE, clip};
use crate::http::{Http, Request, Response};
use domain::application::Pod;
use domain::fault::Cause;
use domain::names::ArgoApplication;
use serde::Deserialize;
use std::time::Duration;

const PODS: &str = "look at the Pods";

/// A tree may be large, and nothing waits for it for long.
const TREE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a Pod's status reason is while it goes away.
const TERMINATING: &str = "Terminating";

pub async fn pods(http: &impl Http, argocd: &ArgoCd, app: &ArgoApplication) -> Result<Vec<Pod>, ArgoError> {
    let response = http.send(pods_request(argocd, app)).await;
    read_pods(&response.map_err(|error| fault(PODS, error.into()))?)
}

/// `GET /api/v1/applications/{name}/resource-tree`.
pub fn pods_request(argocd: &ArgoCd, app: &ArgoApplication) -> Request {
    let url = argocd.url(&format!("/api/v1/applications/{}/resource-tree?{}", app.name, query(app)));
    argocd.signed_in(Request::get(url)).timeout(TREE_TIMEOUT).max_answer(MAX_APPLICATION)
}

/// Understands the answer to [`pods_request`].
pub fn read_pods(response: &Response) -> Result<Vec<Pod>, ArgoError> {
    if response.status != 200 {
        return Err(read_error(response, PODS));
    }
    let tree: Tree = serde_json::from_slice(&response.body)
        .map_err(|_| fault(PODS, Cause::Nonsense { part: "the tree of resources".to_owned() }))?;
    Ok(tree.nodes.into_iter().flatten().filter(|node| node.kind == "Pod").map(Node::read).collect())
}

#[derive(Deserialize)]
struct Tree {
    /// Go writes `null` for an empty list.
    nodes: Option<Vec<Node>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Node {
    kind: String,
    name: String,
    parent_refs: Option<Vec<Parent>>,
    info: Option<Vec<Info>>,
    images: Option<Vec<String>>,
    health: Option<PodHealth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodHealth {
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parent {
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    name: String,
    value: String,
}

impl Node {
    fn read(self) -> Pod {
        let reason = self.info.into_iter().flatten().find(|info| info.name == "Status Reason");
        let reason = reason.map(|info| info.value).unwrap_or_default();
        let mut owners = self.parent_refs.iter().flatten();
        let is_owned = owners.any(|owner| matches!(owner.kind.as_str(), "ReplicaSet" | "StatefulSet" | "DaemonSet"));
        Pod {
            name: self.name,
            images: self.images.unwrap_or_default(),
            runs: is_owned && reason != TERMINATING,
            reason: clip(&reason, SENTENCE),
            message: clip(&self.health.unwrap_or_default().message, SENTENCE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples::{app, argocd, error_body};
    use crate::http::script::{response, shown};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_tree_is_asked_for_by_name_and_project() {
        insta::assert_snapshot!(shown(&pods_request(&argocd(), &app())), @r#"
        GET https://argocd.acme.example/argo/api/v1/applications/checkout/resource-tree?project=default
        authorization: Bearer a.jwt.token
        "#);
    }

    #[test]
    fn pods_are_read() {
        let pod = |owner: &str, reason: &str| {
            json!({
                "kind": "Pod", "name": "checkout-1", "images": ["ghcr.io/acme/checkout:new"],
                "parentRefs": [{"group": "apps", "kind": owner, "name": "checkout"}],
                "info": [{"name": "Containers", "value": "1/1"}, {"name": "Status Reason", "value": reason}],
                "health": {"status": "Healthy", "message": "as it says"},
            })
        };
        let read = |nodes| read_pods(&response(200, json!({ "nodes": nodes }).to_string())).unwrap();
        for (owner, reason, runs) in [
            ("ReplicaSet", "Running", true),
            ("StatefulSet", "ImagePullBackOff", true),
            ("DaemonSet", "Running", true),
            ("ReplicaSet", "Terminating", false),
            ("Job", "Completed", false),
        ] {
            let found = &read(json!([{"kind": "Deployment", "name": "checkout"}, pod(owner, reason)]))[..];
            let [pod] = found else { panic!("one Pod: {found:?}") };
            assert_eq!((pod.runs, pod.reason.as_str()), (runs, reason), "{owner} {reason}");
            assert_eq!(
                (&pod.images[..], pod.message.as_str()),
                (&["ghcr.io/acme/checkout:new".to_owned()][..], "as it says")
            );
        }
        assert!(
            !read(json!([{"kind": "Pod", "name": "bare", "parentRefs": null, "info": null, "images": null}]))[0].runs
        );
        assert_eq!(read(json!(null)), []);
        assert_eq!(read_pods(&response(401, "")), Err(ArgoError::Unauthorized));
        assert!(matches!(read_pods(&response(403, error_body(7, "permission denied"))), Err(ArgoError::NoRight(_))));
        assert!(matches!(read_pods(&response(200, "[]")), Err(ArgoError::Fault(_))));
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>) {
            let _ = read_pods(&response(status, body));
        }
    }
}
