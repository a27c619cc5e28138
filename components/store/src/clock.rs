//! Seam: time. Nothing else asks the operating system for the time: every caller is given a [`Clock`].

use domain::time::Timestamp;
use std::time::Duration;

/// Tells the time, and waits. A test moves the hands of its own clock.
pub trait Clock {
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, on a clock that does not jump: for leases and limits.
    fn elapsed(&self) -> Duration;

    /// Waits without blocking anything else.
    async fn sleep(&self, duration: Duration);
}
