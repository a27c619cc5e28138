//! The end-to-end tests, one binary. Read `one_deploy` first.

mod argocd;
mod faults;
mod one_deploy;
mod resume;
