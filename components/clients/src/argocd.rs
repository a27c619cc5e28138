//! Argo CD: relay a webhook, ask for a sync of one commit, look at an application, follow it on a stream.
//!
//! Easy to miss: a 200 for the webhook proves nothing. `status.sync.revision` may be a later
//! commit than ours. During a retry `finishedAt` is set although the phase is `Running`. A stream cuts its
//! error line down to nothing unless `fields` has `error`.

mod account;
mod api;
mod events;
mod look;
#[cfg(test)]
mod samples;
mod sync;
mod tree;
mod version;
mod webhook;
mod wire;

pub use account::{Right, is_signed_in, may, may_request, read_may, read_signed_in, signed_in_request};
pub use api::{ArgoCd, ArgoError, Refresh, get, get_request, read_application, refresh, refresh_request};
pub use events::{Event, EventStream, events, events_request};
pub use look::{look, look_request, read_look, read_selected, select, select_request};
pub use sync::{Revision, SyncOutcome, read_sync, sync, sync_request, terminate, terminate_request, which_sources};
pub use tree::{pods, pods_request, read_pods};
pub use version::{pins_sources, read_version, version, version_request};
pub use webhook::{RelayHeaders, read_webhook, webhook, webhook_request};
