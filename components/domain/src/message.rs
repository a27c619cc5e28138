//! Nearly every word that people read: in Slack, in the commit and on a pull request. Elsewhere are:
//! help ([`crate::verb`]), problems of a command or of the catalog, a gate's short words, and what a
//! fault was doing.
//!
//! Outside text (branch names, titles, what Argo CD says) is escaped here and nowhere else: a branch may be
//! called `<!channel>`.

mod announcement;
mod answer;
mod blocks;
mod button;
mod commit;
mod deployment;
mod diff;
mod edit;
mod form;
mod news;
mod outcome;
mod parts;
mod preview;
mod progress;
mod pull_request;
mod remarks;
mod sentence;
mod text;
mod waits;
mod wording;

pub use announcement::{NOT_DEPLOYED, pushed};
pub use answer::{
    Found, Holds, TargetStatus, approval_over, approved_already, approved_by_you, approved_only, apps, cancelling,
    forgotten, found, help, history, locked, locked_already, may_not_approve, not_accepted, not_locked, noted,
    nothing_of_yours, nothing_to_cancel, nothing_to_terminate, notified, past, plain, pressed_before,
    refused_too_often, rejected_already, status_of, terminating, too_late_to_cancel, unknown_button, unlocked, why,
};
pub use blocks::Message;
pub use button::{Button, Offer, PushedOffer};
pub use commit::{commit_text, commit_text_of_several, deploy_id, deploy_ids};
pub use deployment::{Note, after_commit, call_approvers, call_asker, stands_elsewhere, tell_asker};
pub use diff::{Difference, Side, diff};
pub use form::{
    FORM_IS_NOT_FULL, FORM_IS_OVER, FORM_NOT_TAKEN, form, form_ended, form_loading, form_looks, form_refusal, options,
};
pub use news::{CatalogPlace, catalog_changed};
pub use parts::{before_commit, of_parts};
pub use preview::{Preview, preview, preview_in_form};
pub use pull_request::{of_deploy, on_pull_request};
pub use sentence::{declined, fault, refusal};
pub use text::{code_escape, escape, middle};
pub use wording::{Wording, worded};

#[cfg(test)]
pub(crate) mod tests;
