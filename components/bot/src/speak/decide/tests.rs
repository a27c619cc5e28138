//! Tables: what is known of the message goes in, what is done next comes out.

use super::*;
use domain::fault::{Cause, Changed, Fault, System};
use domain::names::{MessageTs, SlackChannel};

const OLD: u64 = 1;
const NEW: u64 = 2;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn place(ts: &str) -> Place {
    Place { channel: SlackChannel::parse("C0DEPLOYS").unwrap(), ts: MessageTs::parse(ts).unwrap(), thread: None }
}

/// For the whole test: a case borrows its channels.
fn channel(id: &str) -> &'static SlackChannel {
    Box::leak(Box::new(SlackChannel::parse(id).unwrap()))
}

fn post() -> Way {
    Way::Post(channel("C0DEPLOYS").clone(), None)
}

fn ours() -> Place {
    place("1503435956.000247")
}

fn theirs() -> Place {
    place("1503435957.000248")
}

fn told(words: u64, at: Timestamp) -> Option<Told> {
    Some(Told { words, at })
}

/// New words, in the second 100, of which nothing is sent yet.
fn case(last: bool) -> Case<'static> {
    Case {
        ours: Voice::default(),
        theirs: Voice::default(),
        before: None,
        home: None,
        typed: channel("C0DEPLOYS"),
        thread: None,
        words: NEW,
        last,
        private: false,
        calls: false,
        gap_left: Duration::ZERO,
        posting: seconds(10),
        asked: at(80),
        ended: at(90),
        now: at(100),
    }
}

fn with_message(last: bool) -> Case<'static> {
    let ours = Voice { place: Some(ours()), told: told(OLD, at(80)), ..Voice::default() };
    Case { ours, ..case(last) }
}

fn lost(lost: Lost) -> Voice {
    Voice { lost: Some(lost), ..Voice::default() }
}

fn used(response_url_uses: u8) -> Voice {
    Voice { response_url_uses, ..lost(Lost::Refused) }
}

fn speaking(since: u64) -> Voice {
    Voice { speaking: Some(at(since)), ..Voice::default() }
}

fn check(name: &str, case: &Case<'_>, expected: Next) {
    check_after(name, case, &Tried::default(), expected);
}

fn check_after(name: &str, case: &Case<'_>, tried: &Tried, expected: Next) {
    assert_eq!(case.next(tried), expected, "{name}");
}

#[test]
fn the_way_to_people() {
    let (edit, post, whisper) = (Next::Speak(Way::Edit(ours())), Next::Speak(post()), Next::Speak(Way::Whisper));
    for last in [false, true] {
        check("no message yet", &case(last), post.clone());
        check("a message of ours", &with_message(last), edit.clone());
        let taken = Voice { place: Some(theirs()), ..Voice::default() };
        let case_theirs = Case { theirs: taken, ..case(last) };
        check("a message of the other role", &case_theirs, Next::Speak(Way::Edit(theirs())));
        check("ours outranks theirs", &Case { theirs: case_theirs.theirs, ..with_message(last) }, edit.clone());
        let before = theirs();
        check("approved in a message", &Case { before: Some(&before), ..case(last) }, Next::Speak(Way::Edit(theirs())));
        for why in [Lost::Refused, Lost::Gone("is_archived".to_owned())] {
            check("our posts are refused", &Case { ours: lost(why.clone()), ..case(last) }, whisper.clone());
            check("their posts are refused", &Case { theirs: lost(why.clone()), ..case(last) }, whisper.clone());
            let own = Case { theirs: lost(why), ..with_message(last) };
            check("theirs are refused, ours is there", &own, edit.clone());
        }
        let no_answer = Case { ours: lost(Lost::NoAnswer), ..case(last) };
        check("posts had no answer", &no_answer, whisper.clone());
        let edited = Case { ours: Voice { lost: Some(Lost::NoAnswer), ..with_message(last).ours }, ..case(last) };
        check(
            "posts had no answer, but a message is there",
            &edited,
            if last { edit.clone() } else { whisper.clone() },
        );
    }
    let url_gone = Tried { url_gone: true, ..Tried::default() };
    let no_answer = Case { ours: lost(Lost::NoAnswer), ..case(true) };
    check_after("posts had no answer, and the asker cannot be told", &no_answer, &url_gone, post.clone());
    let no_answer = Case { ours: lost(Lost::NoAnswer), ..case(false) };
    check_after("the same before the end", &no_answer, &url_gone, Next::GiveUp);
}

#[test]
fn what_concerns_the_asker_alone_is_never_posted_while_the_asker_can_be_told() {
    let private = |last| Case { private: true, ..case(last) };
    let whisper = Next::Speak(Way::Whisper);
    let soon = Case { asked: at(99), ..private(false) };
    check("just asked for", &soon, Next::Wait(seconds(3)));
    check("asked for a while ago", &private(false), whisper.clone());
    check("the end does not wait", &Case { last: true, ..soon }, whisper.clone());
    let url_gone = Tried { url_gone: true, ..Tried::default() };
    check_after("the asker cannot be told of progress", &private(false), &url_gone, Next::GiveUp);
    check_after("the asker cannot be told of the end", &private(true), &url_gone, Next::Speak(post()));
    for last in [false, true] {
        check("a message is there", &Case { private: true, ..with_message(last) }, Next::Speak(Way::Edit(ours())));
        let before = theirs();
        let from_message = Case { before: Some(&before), ..private(last) };
        check("approved in a message", &from_message, Next::Speak(Way::Edit(theirs())));
    }
    let (ways, next, voice) = play(private(true), &[Ok(None)]);
    assert_eq!((ways, next, voice.told_end), (vec![Way::Whisper], Next::Done, true));
    // Everybody is concerned from here on: a message is posted.
    let (_, _, voice) = play(private(false), &[Ok(None)]);
    check("the gates are passed", &Case { ours: voice, words: OLD, ..case(false) }, Next::Speak(post()));
}

#[test]
fn what_was_asked_for_in_a_thread_stands_in_the_thread_unless_that_takes_none() {
    let thread: &'static MessageTs = Box::leak(Box::new(MessageTs::parse("1503435900.000100").unwrap()));
    let in_thread = |last| Case { thread: Some(thread), ..case(last) };
    let reply = Way::Post(channel("C0DEPLOYS").clone(), Some(thread.clone()));
    let home = Way::Post(channel("C0HOME").clone(), None);
    for last in [false, true] {
        check("in the thread", &in_thread(last), Next::Speak(reply.clone()));
        check("at home", &Case { home: Some(channel("C0HOME")), ..in_thread(last) }, Next::Speak(home.clone()));
        let (ways, next, voice) = play(in_thread(last), &[Err(gone()), Ok(Some(ours()))]);
        assert_eq!((ways, next), (vec![reply.clone(), post()], Next::Done), "the thread is gone");
        assert_eq!((voice.thread_closed, voice.lost), (true, None));
    }
}

#[test]
fn the_message_stands_in_its_home_unless_that_takes_none() {
    let at_home = |last| Case { home: Some(channel("C0HOME")), ..case(last) };
    let home = Way::Post(channel("C0HOME").clone(), None);
    for last in [false, true] {
        check("at home", &at_home(last), Next::Speak(home.clone()));
        let (ways, next, voice) = play(at_home(last), &[Err(gone()), Ok(Some(ours()))]);
        assert_eq!((ways, next), (vec![home.clone(), post()], Next::Done), "the bot was not invited");
        assert_eq!((voice.home_closed, voice.lost), (true, None));
        let closed = Voice { home_closed: true, ..Voice::default() };
        check("the other role knows", &Case { theirs: closed, ..at_home(last) }, Next::Speak(post()));
    }
}

#[test]
fn a_message_that_is_gone_is_replaced() {
    let gone = Tried { message_gone: true, ..Tried::default() };
    for last in [false, true] {
        check_after("once", &with_message(last), &gone, Next::Speak(post()));
        let again = Case { ours: Voice { replaced: true, ..with_message(last).ours }, ..case(last) };
        check_after("twice", &again, &gone, if last { Next::Speak(post()) } else { Next::GiveUp });
    }
}

#[test]
fn two_uses_of_the_response_url_are_kept_for_the_end() {
    for (ours, theirs) in [(0, 0), (2, 0), (1, 1)] {
        let few = Case { ours: used(ours), theirs: used(theirs), ..case(false) };
        check("less than three", &few, Next::Speak(Way::Whisper));
    }
    for (ours, theirs) in [(3, 0), (0, 3), (1, 2), (u8::MAX, 9)] {
        let many = Case { ours: used(ours), theirs: used(theirs), ..case(false) };
        check("three or more", &many, Next::GiveUp);
        check("the end", &Case { last: true, ..many.clone() }, Next::Speak(Way::Whisper));
        let url_gone = Tried { url_gone: true, ..Tried::default() };
        check_after("the end, and Slack takes no more", &Case { last: true, ..many }, &url_gone, Next::GiveUp);
    }
}

#[test]
fn a_call_of_the_other_role_is_waited_for() {
    for last in [false, true] {
        check("it is on its way", &Case { theirs: speaking(95), ..case(last) }, Next::LetArrive);
        check("its caller died", &Case { theirs: speaking(90), ..case(last) }, Next::Speak(post()));
        let own = Case { theirs: speaking(95), ..with_message(last) };
        check("our own message is there", &own, Next::Speak(Way::Edit(ours())));
    }
}

#[test]
fn the_same_words_are_told_once() {
    let same = Case { words: OLD, ..with_message(false) };
    check("they stand", &same, Next::Done);
    let ended = Voice { told_end: true, ..with_message(true).ours };
    check("the end is told", &Case { ours: ended.clone(), ..case(true) }, Next::Done);
    check("words after the end", &Case { ours: ended, ..case(false) }, Next::Done);
    let soon = Case { gap_left: Duration::from_millis(300), ..with_message(false) };
    check("edited just now", &soon, Next::Wait(Duration::from_millis(300)));
    check("the end does not wait for that", &Case { last: true, ..soon }, Next::Speak(Way::Edit(ours())));
}

#[test]
fn what_follows_the_final_words() {
    let stand = |told_at: u64, calls: bool, unsure: Option<u64>| {
        let voice = Voice { told: told(NEW, at(told_at)), unsure_edit: unsure.map(at), ..with_message(true).ours };
        Case { ours: voice, calls, ..case(true) }
    };
    let edit = Next::Speak(Way::Edit(ours()));
    let table = [
        ("nothing", stand(99, false, None), Next::End),
        ("a call", stand(99, true, None), Next::Call(ours())),
        ("an older edit may come over them", stand(99, true, Some(97)), Next::Wait(seconds(7))),
        ("it may have come over them", stand(95, true, Some(89)), edit.clone()),
        ("they were told again since", stand(100, true, Some(89)), Next::Call(ours())),
        ("it had landed before them", stand(95, false, Some(85)), Next::End),
    ];
    for (name, case, expected) in table {
        check(name, &case, expected);
    }
    let theirs = Voice { unsure_edit: Some(at(97)), ..Voice::default() };
    check("the other role's edit", &Case { theirs, ..stand(99, false, None) }, Next::Wait(seconds(7)));
}

#[test]
fn what_fails_is_tried_for_a_day() {
    let failed = Tried { failed: Some(seconds(3)), has_turn: true, ..Tried::default() };
    let day = Case { ended: Timestamp(0), now: at(24 * 3600), ..with_message(true) };
    let stand = Case { ours: Voice { told: told(NEW, at(1)), ..day.ours.clone() }, calls: true, ..day.clone() };
    check_after("just now", &with_message(true), &failed, Next::Wait(seconds(3)));
    check_after("after a day", &day, &failed, Next::GiveUp);
    check_after("after a day, and only the call failed", &stand, &failed, Next::End);
    check_after("a progress of the sync", &Case { last: false, ..day.clone() }, &failed, Next::Wait(seconds(3)));
    check("after a day, not tried yet", &day, Next::Speak(Way::Edit(ours())));
}

fn unreachable(changed: Changed) -> SlackError {
    SlackError::Unreachable(Fault::new(System::Slack, "post", Cause::TimedOut).changed(changed))
}

fn refused() -> SlackError {
    SlackError::Refused(Fault::new(System::Slack, "post", Cause::Unauthorized))
}

fn gone() -> SlackError {
    SlackError::Gone("is_archived".to_owned())
}

/// Gives Slack's answers one after the other. Returns the calls that were made, what is next, and what our
/// voice knows then.
fn play(mut case: Case<'static>, answers: &[Answer]) -> (Vec<Way>, Next, Voice) {
    let (mut tried, mut ways) = (Tried::default(), Vec::new());
    for answer in answers {
        let Next::Speak(way) = case.next(&tried) else { break };
        case.ours = case.clone().learn(&tried, &way, answer, case.now);
        tried.learn(&way, answer.clone());
        ways.push(way);
    }
    (ways, case.next(&tried), case.ours)
}

#[test]
fn a_call_that_succeeds_ends_it() {
    let (edit, post, whisper) = (Way::Edit(ours()), post(), Way::Whisper);
    let refused = |last| Case { ours: lost(Lost::Refused), ..case(last) };
    for last in [false, true] {
        for (case, way, answer) in [
            (with_message(last), &edit, Some(ours())),
            (case(last), &post, Some(ours())),
            (refused(last), &whisper, None),
        ] {
            let (ways, next, voice) = play(case, &[Ok(answer.clone())]);
            assert_eq!((ways, next), (vec![way.clone()], Next::Done));
            assert_eq!((voice.told, voice.told_end, voice.place), (told(NEW, at(100)), last, answer));
        }
    }
    let calls = Case { calls: true, ..with_message(true) };
    assert_eq!(play(calls, &[Ok(Some(ours()))]).1, Next::Call(ours()), "people are called to the message");
    let alone = Case { calls: true, ..refused(true) };
    assert_eq!(play(alone, &[Ok(None)]).1, Next::Done, "an asker who was told alone needs no call");
    let unsure = Case { theirs: Voice { unsure_edit: Some(at(95)), ..Voice::default() }, ..with_message(true) };
    let (_, next, voice) = play(unsure, &[Ok(Some(ours()))]);
    assert_eq!((next, voice.told_end), (Next::Wait(seconds(5)), false), "an older edit may come over it");
}

#[test]
fn another_way_is_tried_where_one_is_closed() {
    let (edit, post, whisper) = (Way::Edit(ours()), post(), Way::Whisper);
    for last in [false, true] {
        let (ways, next, voice) = play(with_message(last), &[Err(gone()), Ok(Some(theirs()))]);
        assert_eq!((ways, next), (vec![edit.clone(), post.clone()], Next::Done), "the message was deleted");
        assert_eq!((voice.place, voice.replaced), (Some(theirs()), true));

        let (ways, next, voice) = play(with_message(last), &[Err(gone()), Err(gone()), Ok(None)]);
        assert_eq!((ways, next), (vec![edit.clone(), post.clone(), whisper.clone()], Next::Done), "so was the channel");
        assert_eq!((voice.lost, voice.replaced), (Some(Lost::Gone("is_archived".to_owned())), false));

        for url in [gone(), refused()] {
            let (ways, next, voice) = play(with_message(last), &[Err(refused()), Err(url)]);
            assert_eq!((ways, next), (vec![edit.clone(), whisper.clone()], Next::GiveUp), "the token was revoked");
            assert_eq!((voice.lost, voice.told_end), (Some(Lost::Refused), false));
        }
    }
}

#[test]
fn what_may_pass_is_tried_again_later() {
    let limited = |wait| Err(SlackError::RateLimited(seconds(wait)));
    let nothing = || Err(unreachable(Changed::Nothing));
    for last in [false, true] {
        for case in [with_message(last), case(last), Case { ours: lost(Lost::Refused), ..case(last) }] {
            let before = case.ours.clone();
            for (answer, wait) in [(limited(0), 1), (limited(30), 30), (nothing(), 1)] {
                let (_, next, voice) = play(case.clone(), &[answer]);
                assert_eq!((next, &voice), (Next::Wait(seconds(wait)), &before));
            }
        }
    }
}

#[test]
fn calls_without_an_answer_are_remembered() {
    let unsure = || Err(unreachable(Changed::Unknown));
    let (_, next, voice) = play(with_message(false), &[unsure()]);
    assert_eq!((next, voice.unsure_edit), (Next::Wait(seconds(1)), Some(at(100))));
    let (_, _, once) = play(case(false), &[unsure()]);
    assert_eq!((once.unsure_posts, &once.lost), (1, &None));
    let (_, _, twice) = play(Case { ours: once, ..case(false) }, &[unsure()]);
    assert_eq!((twice.unsure_posts, &twice.lost), (2, &Some(Lost::NoAnswer)));
    let (_, _, whispered) = play(Case { ours: twice.clone(), ..case(true) }, &[unsure()]);
    assert_eq!(whispered, twice);
}
