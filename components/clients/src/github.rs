//! GitHub. One query reads everything at one moment, one mutation writes a commit, and a later query says
//! whether the commit landed. Besides, two versions are compared for people to read, and GitHub gets reports
//! of the deploy.
//!
//! GitHub reports errors with HTTP 200, so no data is believed before `errors` was looked at. A part that
//! does not exist is null with a `NOT_FOUND` that names its path, and that is an ordinary answer; every other
//! error is a fault.
//!
//! **Invariant:** text from outside travels in variables; a query's text is made of our own words and
//! counters only.

mod answer;
mod api;
mod builds;
mod checks;
mod choices;
mod commit;
mod compare;
mod deployments;
mod files;
mod history;
mod push;
mod reviews;
#[cfg(test)]
mod samples;
mod snapshot;

pub use answer::ReadError;
pub use api::GitHub;
pub use builds::Build;
pub use choices::*;
pub use commit::*;
pub use compare::*;
pub use deployments::*;
pub use files::{
    CatalogPlaces, FileAtHead, FileState, Found, catalog, catalog_request, included, included_request, raw_blob,
    raw_blob_request, read_catalog, read_included, read_raw_blob, read_texts, texts, texts_request,
};
pub use history::*;
pub use push::{Push, PushedCommit, Repository};
pub use snapshot::*;
