//! The few commands of Redis that the bot uses, in memory and on virtual time, as Redis documents them; any other is a panic. The scripts are
//! known by what they contain. Whether a real Redis takes them is for the end-to-end tests.

use std::collections::{BTreeMap, BTreeSet};

use store::Reply;

/// What a key holds.
enum Value {
    Text(String),
    /// By score, then by member.
    Sorted(BTreeMap<String, u64>),
    Set(BTreeSet<String>),
}

#[derive(Default)]
pub(crate) struct Redis {
    keys: BTreeMap<String, (Value, Option<u64>)>,
}

impl Redis {
    /// Loses everything, as after FLUSHALL or a restart without a file.
    pub(crate) fn flush(&mut self) {
        self.keys.clear();
    }

    /// All keys that are there now.
    pub(crate) fn keys(&mut self, now: u64) -> Vec<String> {
        self.expire(now);
        self.keys.keys().cloned().collect()
    }

    pub(crate) fn text(&mut self, now: u64, key: &str) -> Option<String> {
        self.expire(now);
        match self.keys.get(key) {
            Some((Value::Text(text), _)) => Some(text.clone()),
            _ => None,
        }
    }

    /// The members of a sorted set, in order.
    pub(crate) fn members(&mut self, key: &str) -> Vec<String> {
        let sorted = self.sorted(key).clone();
        let mut members: Vec<(u64, String)> = sorted.into_iter().map(|(member, score)| (score, member)).collect();
        members.sort();
        members.into_iter().map(|(_, member)| member).collect()
    }

    fn expire(&mut self, now: u64) {
        self.keys.retain(|_, (_, ends)| ends.is_none_or(|ends| ends > now));
    }

    fn sorted(&mut self, key: &str) -> &mut BTreeMap<String, u64> {
        let entry = self.keys.entry(key.to_owned()).or_insert((Value::Sorted(BTreeMap::new()), None));
        match &mut entry.0 {
            Value::Sorted(sorted) => sorted,
            _ => panic!("WRONGTYPE {key}"),
        }
    }

    /// Runs a command at a time in milliseconds. `PUBLISH` is the caller's.
    pub(crate) fn run(&mut self, now: u64, command: &str, arguments: &[String]) -> Vec<Reply> {
        self.expire(now);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let int = |number: usize| vec![Reply::Int(i64::try_from(number).unwrap_or(i64::MAX))];
        let ends = |ms: &str| Some(now + ms.parse::<u64>().expect("milliseconds"));
        match (command, arguments.as_slice()) {
            ("SET", [key, value, rest @ ..]) => {
                let life = match rest {
                    ["NX", "PX", life] if self.keys.contains_key(*key) => {
                        let _ = life;
                        return vec![Reply::Nil];
                    }
                    ["NX", "PX", life] | ["PX", life] => ends(life),
                    [] => None,
                    other => panic!("SET with {other:?}"),
                };
                self.keys.insert((*key).to_owned(), (Value::Text((*value).to_owned()), life));
                vec![Reply::Status("OK".to_owned())]
            }
            ("GET", [key]) => vec![self.text(now, key).map_or(Reply::Nil, Reply::Text)],
            ("EXISTS", [key]) => int(usize::from(self.keys.contains_key(*key))),
            ("PEXPIRE", [key, life]) => {
                let there = self.keys.get_mut(*key);
                let found = there.is_some();
                if let Some((_, end)) = there {
                    *end = ends(life);
                }
                int(usize::from(found))
            }
            ("EVAL", [script, "1", key, token, rest @ ..]) => {
                let ours = matches!(self.keys.get(*key), Some((Value::Text(text), _)) if text == token);
                match rest {
                    [life] if script.contains("PEXPIRE") => {
                        if let Some((_, end)) = self.keys.get_mut(*key).filter(|_| ours) {
                            *end = ends(life);
                        }
                    }
                    [] if script.contains("'DEL'") => {
                        if ours {
                            self.keys.remove(*key);
                        }
                    }
                    _ => panic!("an unknown script: {script}"),
                }
                int(usize::from(ours))
            }
            ("EVAL", [script, "2", pace, quiet, step, at_once]) if script.contains("'TIME'") => {
                let due = self.text(now, pace).and_then(|text| text.parse().ok()).unwrap_or(now).max(now);
                let step: u64 = step.parse().expect("milliseconds");
                let at_once: u64 = at_once.parse().expect("a number");
                let quiet = self.keys.get(*quiet).and_then(|(_, ends)| *ends).map_or(0, |ends| ends - now);
                let early = (due - now).saturating_sub(step * (at_once - 1));
                if quiet > 0 || early > 0 {
                    return vec![Reply::Int(if quiet > 0 { quiet } else { early } as i64)];
                }
                let value = (Value::Text((due + step).to_string()), Some(now + 120_000));
                self.keys.insert((*pace).to_owned(), value);
                int(0)
            }
            ("DEL", [key]) => int(usize::from(self.keys.remove(*key).is_some())),
            ("ZADD", [key, pairs @ ..]) if !pairs.is_empty() && pairs.len().is_multiple_of(2) => {
                let mut added = 0;
                for pair in pairs.chunks(2) {
                    let score = pair[0].parse().expect("a score");
                    added += usize::from(self.sorted(key).insert(pair[1].to_owned(), score).is_none());
                }
                int(added)
            }
            ("ZREM", [key, member]) => {
                let sorted = self.sorted(key);
                let found = sorted.remove(*member).is_some();
                if sorted.is_empty() {
                    self.keys.remove(*key);
                }
                int(usize::from(found))
            }
            ("ZRANGE", [key, "0", "-1"]) => {
                let members = self.members(key);
                if members.is_empty() {
                    self.keys.remove(*key);
                }
                members.into_iter().map(Reply::Text).collect()
            }
            ("ZRANK", [key, member]) => match self.members(key).iter().position(|other| other == member) {
                Some(rank) => int(rank),
                None => vec![Reply::Nil],
            },
            ("SADD", [key, member]) => {
                let entry = self.keys.entry((*key).to_owned()).or_insert((Value::Set(BTreeSet::new()), None));
                let Value::Set(set) = &mut entry.0 else { panic!("WRONGTYPE {key}") };
                int(usize::from(set.insert((*member).to_owned())))
            }
            ("SPOP", [key, _]) => match self.keys.remove(*key) {
                Some((Value::Set(set), _)) => set.into_iter().map(Reply::Text).collect(),
                Some(_) => panic!("WRONGTYPE {key}"),
                None => Vec::new(),
            },
            (command, arguments) => panic!("a command that this Redis does not know: {command} {arguments:?}"),
        }
    }
}
