//! What the tests of this client share.

use super::ArgoCd;
use domain::names::{ArgoApplication, CommitSha, DeploymentId, KubeName, Secret, UrlOrigin};
use serde_json::{Value, json};

pub(crate) const ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SHA: &str = "6b6ed4bd9a4f2ea2d3a7fce1f4e9b8d5c0a1b2c3";

/// An application as Argo CD 3.5 writes it, after a deploy of ours that went through and left one
/// resource unhealthy.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn sample() -> Value {
    let source = json!({ "repoURL": "https://github.com/acme/gitops.git", "path": "checkout", "targetRevision": "main",
        "helm": { "valueFiles": ["values.yaml"], "values": "image:\n  tag: x\n" } });
    let operation = json!({
        "sync": { "dryRun": false, "revision": SHA, "syncOptions": ["CreateNamespace=true"], "source": source },
        "initiatedBy": { "username": "deploybot" },
        "info": [{ "name": "slack-user", "value": "U1" }, { "name": "deploy-id", "value": ID }],
        "retry": { "limit": 2, "backoff": { "duration": "5s", "factor": 2, "maxDuration": "1m" } },
    });
    json!({
        "metadata": { "name": "checkout", "namespace": "argocd", "uid": "6d3bc2b4", "resourceVersion": "4711", "generation": 12,
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": { "team": "shop" },
            "managedFields": [{ "manager": "argocd-server", "operation": "Update", "fieldsV1": { "f:spec": {} } }] },
        "spec": {
            "source": source,
            "destination": { "server": "https://kubernetes.default.svc", "namespace": "checkout" },
            "project": "default",
            "syncPolicy": { "syncOptions": ["CreateNamespace=true"] },
        },
        "status": {
            "resources": [
                { "version": "v1", "kind": "ConfigMap", "namespace": "checkout", "name": "settings", "status": "Synced" },
                { "version": "v1", "kind": "Service", "namespace": "checkout", "name": "checkout", "status": "Synced",
                  "health": { "status": "Healthy" } },
                { "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "checkout", "name": "checkout",
                  "status": "Synced", "syncWave": 1,
                  "health": { "status": "Degraded", "message": "Deployment \"checkout\" exceeded its progress deadline" } },
                { "group": "batch", "version": "v1", "kind": "Job", "namespace": "checkout", "name": "migrate", "status": "Synced",
                  "hook": true, "health": { "status": "Healthy" } },
            ],
            "sync": { "status": "Synced", "comparedTo": { "source": source, "destination": {} }, "revision": SHA },
            "health": { "status": "Degraded", "lastTransitionTime": "2026-08-21T08:52:43Z" },
            "history": [
                { "revision": "11aa22bb33cc44dd55ee66ff778899aabbccddee", "deployedAt": "2026-08-20T10:00:00Z", "id": 7,
                  "source": source, "deployStartedAt": "2026-08-20T09:59:58Z", "initiatedBy": { "username": "alice" } },
                { "revision": SHA, "deployedAt": "2026-08-21T08:42:43Z", "id": 8, "source": source,
                  "deployStartedAt": "2026-08-21T08:42:40Z", "initiatedBy": { "username": "deploybot" } },
            ],
            "conditions": [{ "type": "SharedResourceWarning", "message": "Service/checkout is part of\napplications a and b",
                "lastTransitionTime": "2026-08-01T00:00:00Z" }],
            "reconciledAt": "2026-08-21T08:42:44Z",
            "operationState": {
                "operation": operation,
                "phase": "Succeeded",
                "message": "successfully synced (all tasks run)",
                "syncResult": {
                    "resources": [
                        { "group": "", "version": "v1", "kind": "Service", "namespace": "checkout", "name": "checkout",
                          "status": "Synced", "message": "service/checkout unchanged", "hookPhase": "Running", "syncPhase": "Sync" },
                        { "group": "batch", "version": "v1", "kind": "Job", "namespace": "checkout", "name": "migrate",
                          "message": "job.batch/migrate created", "hookType": "PreSync", "hookPhase": "Succeeded",
                          "syncPhase": "PreSync", "images": ["ghcr.io/acme/checkout:x"] },
                    ],
                    "revision": SHA,
                    "source": source,
                },
                "startedAt": "2026-08-21T08:42:40Z",
                "finishedAt": "2026-08-21T08:42:43Z",
                "retryCount": 1,
            },
            "sourceType": "Helm",
            "summary": { "externalURLs": ["https://checkout.acme.example/"], "images": ["ghcr.io/acme/checkout:main-6b6ed4b"] },
            "controllerNamespace": "argocd",
        },
    })
}

pub(crate) fn argocd() -> ArgoCd {
    ArgoCd {
        url: UrlOrigin::parse("https://argocd.acme.example").unwrap(),
        root_path: "/argo".to_owned(),
        token: Some(Secret::new("a.jwt.token")),
    }
}

pub(crate) fn app() -> ArgoApplication {
    let name = |text| KubeName::parse(text).unwrap();
    ArgoApplication { name: name("checkout"), project: name("default"), namespace: None }
}

pub(crate) fn in_namespace() -> ArgoApplication {
    let name = |text| KubeName::parse(text).unwrap();
    ArgoApplication { name: name("checkout"), project: name("shop"), namespace: Some(name("shop-apps")) }
}

pub(crate) fn commit() -> CommitSha {
    CommitSha::parse(SHA).unwrap()
}

pub(crate) fn id() -> DeploymentId {
    DeploymentId::parse(ID).unwrap()
}

pub(crate) fn error_body(code: i64, message: &str) -> String {
    json!({ "error": message, "code": code, "message": message }).to_string()
}
