//! How one person is told something alone.

use crate::world::World;
use clients::slack::{self, Audience, Slack, SlackError};
use domain::deployment::{RequestFact, Thread};
use domain::message::Message;
use domain::names::{ResponseUrl, SlackChannel, SlackUser};

/// The person, where they asked, and the address to answer to, if Slack gave one: of a mention it gives none.
pub(crate) struct Aside<'a> {
    pub(crate) user: &'a SlackUser,
    pub(crate) channel: &'a SlackChannel,
    pub(crate) thread: Option<&'a Thread>,
    pub(crate) url: Option<&'a ResponseUrl>,
}

impl<'a> Aside<'a> {
    pub(crate) fn of(request: &'a RequestFact, url: Option<&'a ResponseUrl>) -> Self {
        Self { user: &request.user, channel: &request.channel, thread: request.thread.as_ref(), url }
    }

    /// Says it, where the person looks: in the thread, if there is one that shows such words.
    pub(crate) async fn say<W: World>(&self, world: &W, slack: &Slack, words: &Message) -> Result<(), SlackError> {
        let thread = self.thread.filter(|thread| thread.begun).map(|thread| &thread.ts);
        match self.url {
            Some(url) => slack::respond(world, url, words, Audience::Asker, thread).await,
            None if self.thread.is_some() => {
                slack::post_alone(world, slack, (self.channel, self.user), words, thread).await
            }
            None => Err(SlackError::Gone("response_url_not_kept".to_owned())),
        }
    }

    /// Says it to everybody there.
    pub(crate) async fn say_aloud<W: World>(
        &self,
        world: &W,
        slack: &Slack,
        words: &Message,
    ) -> Result<(), SlackError> {
        let thread = self.thread.map(|thread| &thread.ts);
        match self.url {
            Some(url) => slack::respond(world, url, words, Audience::Channel, thread).await,
            None => slack::post(world, slack, self.channel, words, thread).await.map(drop),
        }
    }
}
