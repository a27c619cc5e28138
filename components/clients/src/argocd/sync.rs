//! Ask for a sync of one commit.

use super::api::{ArgoCd, ArgoError, MAX_APPLICATION, Said, query, read_application, read_error, words};
use super::wire::DEPLOY_ID;
use crate::http::{Http, Method, Request, Response, header, without_nulls};
use domain::application::Application;
use domain::deployment::GitOpsBranch;
use domain::fault::{Cause, Changed, Fault, System};
use domain::limits;
use domain::names::{ArgoApplication, CommitSha, DeploymentId};
use domain::sources;
use serde_json::{Value, json};

/// Which commit an application is synced to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub commit: CommitSha,
    /// The positions, from 1, of the sources that are pinned: those that follow the GitOps branch. The others
    /// keep to their own target. `None`: the application is not made of several sources.
    pub positions: Option<Vec<u32>>,
    /// The application's own retry strategy. A retry runs the hooks again, so a strategy of ours could run a failed
    /// migration twice.
    pub retry: Option<Value>,
}

/// How to pin `commit` of the GitOps branch in this application. A source that is at a tag or on another
/// branch of the same repository is not ours to move. `None`: no source follows the GitOps branch.
pub fn which_sources(snapshot: &Application, gitops: &GitOpsBranch, commit: &CommitSha) -> Option<Revision> {
    let positions: Vec<u32> = (1..)
        .zip(&snapshot.sources)
        .filter(|(_, source)| sources::follows(source, gitops))
        .map(|(position, _)| position)
        .collect();
    if positions.is_empty() {
        return None;
    }
    let mut retry = snapshot.retry.clone();
    // Never a newer commit than the one that was decided on.
    if let Some(retry) = retry.as_mut().and_then(Value::as_object_mut) {
        retry.insert("refresh".to_owned(), false.into());
    }
    Some(Revision { commit: commit.clone(), positions: snapshot.multi_source.then_some(positions), retry })
}

/// What became of the request for a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncOutcome {
    /// Argo CD took it. The snapshot has our operation and no earlier operation's state.
    Taken(Box<Application>),
    /// Another operation (or an earlier request of ours) is under way.
    InProgress,
    /// A sync window does not allow it now; Argo CD's words.
    Window(String),
    Deleting,
    /// Auto-sync is on, and then Argo CD syncs to no other revision; its words.
    AutoSync(String),
    /// Argo CD refused for another reason; its words.
    Refused(String),
    /// Argo CD certainly did not take the sync, for a reason that any question may meet.
    NotTaken(ArgoError),
    /// Argo CD may have taken the sync: look before asking again.
    Unknown(Fault),
}

const SYNC: &str = "ask Argo CD for the sync";

/// Asks for a sync of exactly one commit. Argo CD keeps the deployment's id with the operation, so that we
/// know it as ours.
pub async fn sync(
    http: &impl Http,
    argocd: &ArgoCd,
    app: &ArgoApplication,
    revision: &Revision,
    deployment: &DeploymentId,
) -> SyncOutcome {
    match http.send(sync_request(argocd, app, revision, deployment)).await {
        Ok(response) => read_sync(response),
        Err(error) => {
            let fault = Fault::new(System::ArgoCd, SYNC, error.into());
            if error.nothing_happened() { SyncOutcome::NotTaken(ArgoError::Fault(fault)) } else { unknown(fault) }
        }
    }
}

/// `POST /api/v1/applications/{name}/sync`.
pub fn sync_request(
    argocd: &ArgoCd,
    app: &ArgoApplication,
    Revision { commit, positions, retry }: &Revision,
    deployment: &DeploymentId,
) -> Request {
    let (revision, revisions) = match positions {
        None => (Some(commit), None),
        // As many revisions as positions: Argo CD indexes one by the other without a check.
        Some(positions) => (None, Some(vec![commit; positions.len()])),
    };
    let body = json!({
        "revision": revision,
        "sourcePositions": positions,
        "revisions": revisions,
        "prune": false,
        "retryStrategy": retry,
        "infos": [{ "name": DEPLOY_ID, "value": deployment }],
        "project": app.project,
        "appNamespace": app.namespace,
    });
    let url = argocd.url(&format!("/api/v1/applications/{}/sync", app.name));
    let timeout = if positions.is_some() { limits::ASK_SEVERAL } else { limits::ASK };
    argocd.signed_in(Request::post_json(url, &without_nulls(body))).max_answer(MAX_APPLICATION).timeout(timeout)
}

const TERMINATE: &str = "end the older sync in Argo CD";

/// Ends the operation that is under way, whichever that is: Argo CD takes no condition. Look right before. Argo CD kills
/// the hooks that run.
pub async fn terminate(http: &impl Http, argocd: &ArgoCd, app: &ArgoApplication) -> Result<(), ArgoError> {
    let response = http.send(terminate_request(argocd, app)).await;
    let response = response.map_err(|error| ArgoError::Fault(Fault::new(System::ArgoCd, TERMINATE, error.into())))?;
    if response.status == 200 { Ok(()) } else { Err(read_error(&response, TERMINATE)) }
}

/// `DELETE /api/v1/applications/{name}/operation`, which takes the right `sync`.
pub fn terminate_request(argocd: &ArgoCd, app: &ArgoApplication) -> Request {
    let url = argocd.url(&format!("/api/v1/applications/{}/operation?{}", app.name, query(app)));
    let request = Request::new(Method::DELETE, url).header(header::CONTENT_TYPE, "application/json");
    argocd.signed_in(request)
}

/// Understands the answer to [`sync_request`].
pub fn read_sync(response: Response) -> SyncOutcome {
    let status = response.status;
    if status == 200 {
        return match read_application(response, SYNC) {
            Ok(snapshot) => SyncOutcome::Taken(Box::new(snapshot)),
            Err(ArgoError::Fault(fault)) => unknown(fault),
            Err(_) => unknown(Fault::new(System::ArgoCd, SYNC, Cause::Status { status: 200 })),
        };
    }
    // Argo CD's own 400 has a code, a proxy's has none.
    if status == 400
        && let Ok(Said { message, code }) = serde_json::from_slice::<Said>(&response.body)
    {
        let said = words(&message);
        return match message.as_str() {
            text if text.contains("another operation is already in progress") => SyncOutcome::InProgress,
            text if text.contains("application is deleting") => SyncOutcome::Deleting,
            text if text.contains("auto-sync currently set to") => SyncOutcome::AutoSync(said),
            // While Argo CD starts it knows no project yet, and a repo-server that is away resolves nothing.
            text if code == INVALID || text.contains("error resolving repo revision") => {
                SyncOutcome::NotTaken(ArgoError::Refused(said))
            }
            _ => SyncOutcome::Refused(said),
        };
    }
    match read_error(&response, SYNC) {
        ArgoError::NoRight(said) if said.starts_with("cannot sync: blocked by") => SyncOutcome::Window(said),
        // A window whose schedule Argo CD cannot read does not open by itself.
        ArgoError::NoRight(said) if said.starts_with("cannot sync:") => SyncOutcome::Refused(said),
        // 408 and 409 stand for gRPC's `Canceled` and `Aborted`, which may come after the fact.
        ArgoError::Fault(fault) if status == 408 || status == 409 => unknown(fault),
        ArgoError::Fault(fault) if !status.is_redirection() && !status.is_client_error() => unknown(fault),
        error => SyncOutcome::NotTaken(error),
    }
}

/// gRPC's `InvalidArgument`.
const INVALID: i64 = 3;

fn unknown(fault: Fault) -> SyncOutcome {
    SyncOutcome::Unknown(fault.changed(Changed::Unknown))
}

#[cfg(test)]
mod tests;
