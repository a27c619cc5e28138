//! Seam: time. Nothing asks the operating system for the time: a [`Clock`] is given.

use domain::time::Timestamp;
use std::time::Duration;

/// What tells the time, and waits. In tests its hands are moved by the test.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, on a clock that does not jump: for leases and limits.
    fn elapsed(&self) -> Duration;

    /// Waits without blocking anything else.
    async fn sleep(&self, duration: Duration);
}
