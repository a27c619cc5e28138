//! The prompt: lines that begin with `/deploy` are typed into Slack as alice, and the message that follows is redrawn
//! in place until the deploy is over.
//!
//! Easy to miss: redrawing counts lines, so a line that is wider than the terminal is broken here first.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use fakes::slack::{Edit, Message};
use fakes::{Fault, Millis};
use sandbox::{Sandbox, now, world};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const HELP: &str = "\
  /deploy checkout 42       type it into Slack as alice, in #deploys; `/deploy help` asks the bot itself
  /press Roll back          press the newest button that you see with these words
  /as bob                   from now on you are bob (alice, bob, carol)
  /push bob payments        bob himself pushes a change to the GitOps repository
  /break argocd             the next 5 calls to it fail (slack, github, registry, argocd)
  /mend                     nothing fails any more
  /restart                  the bot dies and comes back
  /values checkout          what stands in its values.yaml
  /calls                    what was asked since you typed last
  /log                      what the bot wrote to its log
  help, quit
While a deploy runs, Enter gives you the prompt back.
";

/// Whether the bot has said its last word in this state of a message.
pub(crate) fn is_final(edit: &Edit) -> bool {
    let words = edit.blocks.first().map(ToString::to_string).unwrap_or_default();
    ![":hourglass_flowing_sand:", ":arrows_counterclockwise:"].iter().any(|mark| words.contains(mark))
}

/// Reads lines until `quit` or the end.
pub(crate) async fn talk(sandbox: Sandbox, at_terminal: bool) -> anyhow::Result<ExitCode> {
    let mut prompt = Prompt {
        user: world::ALICE,
        typed_at: 0,
        lines: read_lines(),
        screen: Screen { at_terminal, drawn: 0 },
        sandbox,
    };
    println!("\nType `/deploy checkout 42` as if in Slack, or `help`.");
    while let Some(line) = prompt.next().await {
        if matches!(line.as_str(), "quit" | "exit") {
            break;
        }
        prompt.obey(&line).await?;
    }
    prompt.sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// A thread reads: waiting for a person must not keep anything from ending.
fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (send, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

struct Prompt {
    sandbox: Sandbox,
    user: &'static str,
    typed_at: usize,
    lines: mpsc::UnboundedReceiver<String>,
    screen: Screen,
}

impl Prompt {
    async fn next(&mut self) -> Option<String> {
        print!("you> ");
        let _ = std::io::stdout().flush();
        let line = self.lines.recv().await;
        match &line {
            Some(line) if !self.screen.at_terminal => println!("{line}"),
            None => println!(),
            Some(_) => {}
        }
        line
    }

    async fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["help"] => print!("{HELP}"),
            ["/deploy"] => {
                println!("Slack opens a form here, which this prompt cannot show. `/deploy help` lists the commands.")
            }
            ["/deploy", ..] => self.deploy(line.trim_start_matches("/deploy")).await,
            ["/press", label @ ..] if !label.is_empty() => self.press(&label.join(" ")).await,
            ["/as", name] => match person(name) {
                Some(user) => self.user = user,
                None => println!("There is alice, bob and carol."),
            },
            ["/push", name, app] if person(name).is_some() => self.push(name, app),
            ["/break", system] => self.break_calls(system),
            ["/mend"] => {
                self.sandbox.slack.mend();
                self.sandbox.github.mend();
                self.sandbox.registry.mend();
                self.sandbox.argocd.mend();
            }
            ["/restart"] => {
                self.sandbox.restart_bot().await?;
                println!("The bot is back. GET /healthz, which a probe does, makes it go on with what it left.");
                self.sandbox.bot.request(http::Request::get("/healthz").body(Vec::new())?).await;
            }
            ["/values", app] => {
                let path = format!("{app}/values.yaml");
                let bytes = self.sandbox.github.lock().file_at(world::GITOPS, "main", &path);
                println!("{}", String::from_utf8_lossy(&bytes.unwrap_or_default()).trim_end());
            }
            ["/calls"] => {
                let entries = self.sandbox.journal.entries();
                entries.iter().skip(self.typed_at).for_each(|entry| println!("{entry}"));
            }
            ["/log"] => println!("{}", self.sandbox.log()),
            _ => println!("I do not know that; `help` says what there is."),
        }
        Ok(())
    }

    fn push(&self, name: &str, app: &str) {
        let path = format!("{app}/values.yaml");
        let mut github = self.sandbox.github.lock();
        let Some(bytes) = github.file_at(world::GITOPS, "main", &path) else {
            return println!("There is no {path}.");
        };
        let text = format!("# {name} was here\n{}", String::from_utf8_lossy(&bytes));
        let sha = github.person_pushes(world::GITOPS, "main", name, &[(&path, &text)], "Say that I was here");
        println!("{name} pushed {} to {path}. The bot does not pass it on.", sha.get(..7).unwrap_or_default());
    }

    fn break_calls(&self, system: &str) {
        let (pattern, times) = (format!("{system}.*"), 5);
        match system {
            "slack" => self.sandbox.slack.fault(&pattern, Fault::DropBefore, times),
            "github" => self.sandbox.github.fault(&pattern, Fault::DropBefore, times),
            "registry" => self.sandbox.registry.fault(&pattern, Fault::DropBefore, times),
            "argocd" => self.sandbox.argocd.fault(&pattern, Fault::DropBefore, times),
            _ => println!("There is slack, github, registry and argocd."),
        }
    }

    /// Types the command and shows what people see of it, until the last word or until Enter.
    async fn deploy(&mut self, text: &str) {
        let before = self.sandbox.slack.lock().messages(world::DEPLOYS).len();
        self.typed_at = self.sandbox.journal.entries().len();
        let whispers = self.sandbox.slack.lock().ephemerals(self.user).len();
        let begun = now();
        let answer = self.sandbox.command(self.user, world::DEPLOYS, text).await;
        // An answer without words: they come later, when the bot has found them out.
        let goes_on = answer.is_accepted();
        self.follow(before, whispers, begun, goes_on).await;
    }

    /// Presses the newest button with that label, of a message or of what only this person sees, and shows
    /// the result.
    async fn press(&mut self, label: &str) {
        let action = label.to_lowercase().replace(' ', "_");
        let (found, before, whispers) = {
            let slack = self.sandbox.slack.lock();
            let channel = slack.messages(world::DEPLOYS);
            let own = slack.ephemerals(self.user);
            let has = |message: &&Message| message.deleted.is_none() && message.buttons().contains(&action.as_str());
            let newest = channel.iter().chain(own.iter().copied()).filter(has).max_by_key(|message| message.now().at);
            let place = |found: &Message| channel.iter().position(|message| message.ts == found.ts);
            let before = newest.and_then(place).unwrap_or(channel.len());
            (newest.cloned(), before, own.len())
        };
        let Some(message) = found else { return println!("You see no button `{label}`.") };
        self.typed_at = self.sandbox.journal.entries().len();
        let begun = now();
        self.sandbox.press(self.user, &message, &action).await;
        self.follow(before, whispers, begun, true).await;
    }

    /// Shows the messages from that one on and what only this person reads, until all is said or until Enter. `goes_on`: something is
    /// still to come.
    async fn follow(&mut self, before: usize, mut whispers: usize, since: Millis, goes_on: bool) {
        let begun = Instant::now();
        self.screen.drawn = 0;
        let mut shown = BTreeMap::new();
        let mut heard = false;
        loop {
            let (news, view, is_over) = self.look(before, whispers);
            whispers += news.len();
            for whisper in &news {
                self.screen.say(whisper);
            }
            self.screen.show(&mut shown, &view);
            heard |= !news.is_empty();
            heard |= self.has_changed(before, since);
            let is_silent = !heard && begun.elapsed() > Duration::from_secs(30);
            if !goes_on || (heard && is_over) || is_silent {
                return;
            }
            tokio::select! {
                () = sleep(Duration::from_millis(50)) => {}
                Some(_) = self.lines.recv(), if self.screen.at_terminal => return,
            }
        }
    }

    fn has_changed(&self, before: usize, since: Millis) -> bool {
        let slack = self.sandbox.slack.lock();
        slack.messages(world::DEPLOYS)[before..].iter().any(|message: &Message| message.now().at > since)
    }

    /// New words for this person alone, the messages since, and whether all of those are final.
    fn look(&self, before: usize, whispers: usize) -> (Vec<String>, Vec<String>, bool) {
        let slack = self.sandbox.slack.lock();
        let new_whispers = slack.ephemerals(self.user).into_iter().skip(whispers);
        let news: Vec<String> = new_whispers.map(|message| slack.render(message)).collect();
        let messages = &slack.messages(world::DEPLOYS)[before..];
        let view: Vec<String> = messages.iter().map(|message| slack.render(message)).collect();
        // A word later than the last edit may still come for what is final only by its looks.
        let is_quiet = messages.iter().all(|message| is_final(message.now()) && now() > message.now().at + 200);
        (news, view, is_quiet)
    }
}

fn person(name: &str) -> Option<&'static str> {
    match name {
        "alice" => Some(world::ALICE),
        "bob" => Some(world::BOB),
        "carol" => Some(world::CAROL),
        _ => None,
    }
}

/// The bottom of the terminal, where messages are redrawn.
struct Screen {
    at_terminal: bool,
    /// How many lines may be drawn over.
    drawn: usize,
}

impl Screen {
    /// Only this person sees it.
    fn say(&mut self, text: &str) {
        self.erase();
        for line in wrap(text) {
            println!("  (only you) {line}");
        }
    }

    /// The channel as it is now; without a terminal, only what changed in it.
    fn show(&mut self, shown: &mut BTreeMap<usize, String>, messages: &[String]) {
        let changed: Vec<usize> = (0..messages.len()).filter(|nth| shown.get(nth) != Some(&messages[*nth])).collect();
        if changed.is_empty() && (self.drawn > 0 || !self.at_terminal) {
            return;
        }
        self.erase();
        for (nth, message) in messages.iter().enumerate() {
            if self.at_terminal || changed.contains(&nth) {
                for line in wrap(message) {
                    println!("  #deploys | {line}");
                    self.drawn += usize::from(self.at_terminal);
                }
            }
            shown.insert(nth, message.clone());
        }
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            // Up that many lines, then clear to the end of the screen.
            print!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }
}

const WIDTH: usize = 64;

/// Lines of at most [`WIDTH`] characters, broken at spaces where there are some; emoji as people see them.
fn wrap(text: &str) -> Vec<String> {
    let emoji = [
        (":hourglass_flowing_sand:", "…"),
        (":arrows_counterclockwise:", "↻"),
        (":white_check_mark:", "✔"),
        (":x:", "✘"),
        (":no_entry:", "⊘"),
        (":raised_hand:", "✋"),
        (":rotating_light:", "‼"),
        (":lock:", "🔒"),
        (":unlock:", "🔓"),
        (":mag:", "🔍"),
    ];
    let text = emoji.iter().fold(text.to_owned(), |text, (name, sign)| text.replace(name, sign));
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            let fits = line.chars().count() + word.trim_end().chars().count() <= WIDTH;
            if !fits && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(word);
            while line.chars().count() > WIDTH + 1 {
                let rest = line.chars().skip(WIDTH).collect();
                lines.push(line.chars().take(WIDTH).collect());
                line = rest;
            }
        }
        lines.push(line);
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let long = "x".repeat(150);
        let lines = wrap(&format!("a {long} b\n:x: short"));
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH + 1), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "✘ short");
        assert_eq!(lines.concat().matches('x').count(), 150);
        assert_eq!(wrap("one two"), ["one two"]);
    }

    #[test]
    fn the_mark_says_whether_it_is_the_last_word() {
        for (mark, expected) in
            [(":hourglass_flowing_sand:", false), (":arrows_counterclockwise:", false), (":x:", true)]
        {
            let section =
                json!({"type": "section", "text": {"type": "mrkdwn", "text": format!("{mark} *checkout 42*")}});
            let edit = Edit { at: 0, text: String::new(), blocks: vec![section] };
            assert_eq!(is_final(&edit), expected, "{mark}");
        }
    }
}
