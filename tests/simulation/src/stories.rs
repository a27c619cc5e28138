//! The components' own stories, compiled once more for this machine: a component is a cdylib only (beside an rlib LTO would be off), so
//! its source is included and not linked. Their doors exist in the wasm only; what a door does is repeated in `town`.

#[path = "../../../components/github-relay/src/lib.rs"]
pub(crate) mod github_relay;
#[path = "../../../components/slack-command/src/lib.rs"]
pub(crate) mod slack_command;
#[path = "../../../components/sync-poller/src/lib.rs"]
pub(crate) mod sync_poller;
