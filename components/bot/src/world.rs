//! All the seams together: what a story needs of the world.

use crate::log::Line;
use clients::http::Http;
use store::{Clock, KeyValue, Redis};

/// Where the log lines go.
pub trait Log {
    /// Writes one line.
    fn log(&self, line: Line);
}

/// All the seams together.
pub trait World: Http + KeyValue + Redis + Clock + Log {}

impl<T: Http + KeyValue + Redis + Clock + Log> World for T {}
