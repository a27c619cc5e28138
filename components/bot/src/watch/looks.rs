//! Looks at an application: from Argo CD's event stream, by polling where the stream fails, and by a GET when one is due.
//!
//! Easy to miss: a stream may be behind. Only an answer to a question of our own ([`Look::App::asked`]) is a reason to ask for
//! the sync again.

use super::observe::ApplicationFollower;
use crate::world::{World, within};
use clients::argocd::{self, ArgoError, Event, EventStream};
use clients::http::Chunks;
use domain::application::Application;
use domain::fault::{Cause, Changed, Fault, System};
use domain::limits;
use domain::time::Timestamp;
use futures::stream::{LocalBoxStream, StreamExt};
use std::time::Duration;

/// What is done when an application is followed, in faults.
pub(crate) const STREAM: &str = "follow the application";

/// What comes next.
pub(crate) enum Look {
    /// The application as it is.
    App { app: Box<Application>, asked: bool },
    /// Something else may have changed: the facts.
    Nudge,
    /// Argo CD does not show it.
    Failed(ArgoError),
    /// The watch closes, the deployment is over, or the deadline has passed.
    Over,
}

/// How Argo CD is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// By its stream, which has not shown anything yet.
    Stream,
    /// By its stream, which has worked: Argo CD may end a stream at any time.
    GoodStream,
    /// By a GET now and then, because the stream ended before its first event.
    Polls,
}

type Apps<'s> = LocalBoxStream<'s, Result<Box<Application>, ArgoError>>;

/// The looks at one application.
pub(crate) struct Looks<'s, W> {
    follower: &'s ApplicationFollower<'s, W>,
    source: Source,
    apps: Apps<'s>,
    /// When to ask by ourselves, unless something comes before. Never: only what comes counts.
    pub(crate) ask_at: Option<Timestamp>,
}

impl<'s, W: World> Looks<'s, W> {
    pub(crate) fn new(follower: &'s ApplicationFollower<'s, W>) -> Self {
        let apps = events(follower, Duration::ZERO);
        Self { follower, source: Source::Stream, apps, ask_at: None }
    }

    /// Looks anew: what lies in the stream is old now.
    pub(crate) fn begin_anew(&mut self) {
        self.apps = match self.source {
            Source::Polls => polls(self.follower),
            Source::Stream | Source::GoodStream => events(self.follower, Duration::ZERO),
        };
    }

    /// The next look.
    pub(crate) async fn next(&mut self) -> Look {
        let (follower, world) = (self.follower, self.follower.world);
        // Later, once Argo CD has taken the sync.
        let facts = follower.facts.borrow().clone();
        let deadline = facts.deadline_of(&follower.seen(), &follower.watch.settings.limits).unwrap_or_default();
        let until = self.ask_at.map_or(deadline, |ask_at| ask_at.min(deadline));
        let came = follower.wait_for(self.apps.next(), until).await;
        if follower.ends() || world.now() >= deadline {
            return Look::Over;
        }
        match came {
            Some(Some(Ok(app))) => {
                let asked = self.source == Source::Polls;
                if !asked {
                    self.source = Source::GoodStream;
                }
                Look::App { app, asked }
            }
            Some(Some(Err(ArgoError::NoApplication))) if self.source != Source::Polls => self.is_deleted().await,
            Some(Some(Err(error))) => self.failed(error),
            Some(None) => self.failed(stream_fault(Cause::Broken)),
            None if self.ask_at.is_some_and(|ask_at| world.now() >= ask_at) => self.ask().await,
            None => Look::Nudge,
        }
    }

    async fn ask(&mut self) -> Look {
        let world = self.follower.world;
        match argocd::get(world, &self.follower.watch.settings.argocd, self.follower.application).await {
            Ok(app) => Look::App { app: Box::new(app), asked: true },
            Err(error) => {
                self.ask_at = Some(self.follower.soon());
                Look::Failed(error)
            }
        }
    }

    fn failed(&mut self, error: ArgoError) -> Look {
        match self.source {
            // The next poll comes after a while.
            Source::Polls => {}
            Source::Stream => (self.source, self.apps) = (Source::Polls, polls(self.follower)),
            Source::GoodStream => {
                (self.source, self.apps) = (Source::Stream, events(self.follower, limits::REOPEN));
            }
        }
        Look::Failed(error)
    }

    /// The stream says that the application was deleted. An application that is replaced is deleted and made again at once. So the
    /// deletion counts only if Argo CD has no application when it is asked.
    async fn is_deleted(&mut self) -> Look {
        self.source = Source::Stream;
        self.apps = events(self.follower, limits::REOPEN);
        self.ask().await
    }
}

/// A GET now and then.
fn polls<'s, W: World>(follower: &'s ApplicationFollower<'s, W>) -> Apps<'s> {
    let (world, settings) = (follower.world, follower.watch.settings);
    futures::stream::unfold(false, move |waited| async move {
        if waited {
            world.sleep(settings.limits.poll).await;
        }
        Some((argocd::get(world, &settings.argocd, follower.application).await.map(Box::new), true))
    })
    .boxed_local()
}

/// Argo CD's event stream, after a pause. It counts as failed without a first event in time, because it stays silent where a right is missing.
fn events<'s, W: World>(follower: &'s ApplicationFollower<'s, W>, pause: Duration) -> Apps<'s> {
    let (world, settings) = (follower.world, follower.watch.settings);
    let next = move |stream: Option<EventStream<W::Body>>| async move {
        if let Some(mut stream) = stream {
            return Ok((next_app(&mut stream).await?, Some(stream)));
        }
        world.sleep(pause).await;
        let first = async {
            let mut stream = argocd::events(world, &settings.argocd, follower.application).await?;
            Ok((next_app(&mut stream).await?, Some(stream)))
        };
        // For the first event, not since the last sign of life: those may come often.
        within(world, settings.limits.first_event, first).await.unwrap_or(Err(stream_fault(Cause::TimedOut)))
    };
    // At first there is no stream, and after an error no more.
    futures::stream::unfold(Some(None), move |stream| async move {
        match next(stream?).await {
            Ok((app, stream)) => Some((Ok(app), Some(stream))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed_local()
}

async fn next_app(stream: &mut EventStream<impl Chunks>) -> Result<Box<Application>, ArgoError> {
    loop {
        match stream.next().await {
            Ok(Some(Event::App(snapshot))) => return Ok(snapshot),
            Ok(Some(Event::Deleted)) => return Err(ArgoError::NoApplication),
            Ok(Some(Event::KeepAlive)) => {}
            Ok(Some(Event::Error(said))) => return Err(stream_fault(Cause::Said { said })),
            Ok(None) => return Err(stream_fault(Cause::Broken)),
            Err(error) => return Err(stream_fault(error.into())),
        }
    }
}

fn stream_fault(cause: Cause) -> ArgoError {
    ArgoError::Fault(Fault::new(System::ArgoCd, STREAM, cause).changed(Changed::Yes))
}
