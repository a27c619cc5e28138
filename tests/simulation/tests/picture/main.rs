//! The picture in the README and those in `docs/slack.md`: what people see in Slack, made from the bot's own messages.
//!
//! The simulation plays deploys. Slack's stand-in then holds the blocks of each state of each message.
//! `html` makes one HTML fragment of what one picture shows, and `docs/<name>.png` is the screenshot of the fragment.
//! `docs/<name>.sha256` is the hash of the fragment: the test fails when the bot says something else than the
//! picture shows.
//!
//!     UPDATE_PICTURE=1 cargo test -p simulation --test picture
//!
//! takes the picture again. On Debian, `apt-get install chromium pngquant fonts-lato fonts-noto-color-emoji`
//! installs what that needs. Look at the picture afterwards, also at the width of a phone.

mod html;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use fakes::slack::{Edit, Slack};
use html::{Html, blocks, clock, escape};
use sha2::{Digest, Sha256};
use simulation::{Scene, View, scene, views};

const CSS: &str = include_str!("picture.css");
/// In pixels of CSS. A phone shows the picture at four fifths of its size.
const WIDTH: u32 = 460;
/// How many pixels of the picture make one of CSS.
const SCALE: u32 = 2;
const LARGEST: usize = 150 * 1024;

const AVATAR: &str =
    r##"<svg class="avatar" viewBox="0 0 36 36"><path d="M18 8 28 19h-6v9h-8v-9H8z" fill="#fff"/></svg>"##;
const SEND: &str = r##"<span class="send"><svg width="16" height="16" viewBox="0 0 16 16"><path d="M1.5 2 15 8 1.5 14l1.8-5L9 8 3.3 7z" fill="#fff"/></svg></span>"##;

#[test]
fn the_pictures_show_what_the_bot_says() {
    shows("deploy", &fragment(&scene()).expect("a message that can be drawn"));
    let (views, slack) = views();
    for view in &views {
        shows(&format!("slack-{}", view.name), &seen(view, &slack).expect("a message that can be drawn"));
    }
}

/// Whether this picture is of this fragment.
fn shows(name: &str, fragment: &str) {
    let hash: String = Sha256::digest(fragment).iter().map(|byte| format!("{byte:02x}")).collect();
    let (picture, kept) = (docs(&format!("{name}.png")), docs(&format!("{name}.sha256")));
    if env::var_os("UPDATE_PICTURE").is_some() {
        take(fragment, &picture);
        fs::write(&kept, hash.clone() + "\n").expect("docs/ can be written");
    }
    let again = "take the picture again: UPDATE_PICTURE=1 cargo test -p simulation --test picture";
    assert_eq!(
        fs::read_to_string(&kept).unwrap_or_default().trim(),
        hash,
        "docs/{name}.png shows something else; {again}"
    );
    let picture = fs::read(&picture).unwrap_or_default();
    assert!(picture.starts_with(b"\x89PNG"), "docs/{name}.png is no picture; {again}");
    let width = u32::from_be_bytes(picture[16..20].try_into().expect("four bytes"));
    assert_eq!(width, WIDTH * SCALE, "docs/{name}.png has another width; {again}");
    assert!(picture.len() <= LARGEST, "docs/{name}.png has {} bytes", picture.len());
}

/// What somebody does, and what the bot says in the end.
fn seen(view: &View, slack: &Slack) -> Html {
    let typed = view.typed.map(|typed| format!("<div class=\"composer\"><span>{}</span>{SEND}</div>\n", escape(typed)));
    let alone = if view.alone { "<p class=\"when\">Only visible to you</p>\n" } else { "" };
    Ok(format!(
        "<div class=\"picture\"><style>\n{CSS}</style>\n\
        <div class=\"channel\"># deploys</div>\n\
        <p class=\"when\">{} at {}</p>\n{}\
        <p class=\"when\"></p>\n{alone}{}</div>\n",
        escape(view.does),
        clock(view.at),
        typed.unwrap_or_default(),
        message(slack, &view.said, view.said.at)?,
    ))
}

/// The message as it was then. `posted`: the time beside the name.
fn message(slack: &Slack, edit: &Edit, posted: u64) -> Html {
    let head = format!(
        "<div><span class=\"name\">deploy-bot</span> <span class=\"app\">APP</span> <span class=\"time\">{}</span></div>",
        clock(posted)
    );
    let blocks = blocks(slack, &edit.blocks)?;
    Ok(format!("<div class=\"message\">{AVATAR}<div class=\"said\">{head}\n{blocks}</div></div>\n"))
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// The command, the message while the app syncs, and the same message when the app is live.
fn fragment(scene: &Scene) -> Html {
    let message = scene.slack.messages(scene.channel).last().ok_or("no message")?;
    // In Argo CD's words, which do not change with ours.
    let syncing = message.edits.iter().rfind(|edit| edit.text.contains("healthy state")).ok_or("no sync")?;
    let live = message.edits.last().filter(|edit| edit.text.contains("live")).ok_or("the app is not live")?;
    // As the bot counts: from the second in which Slack says the command was typed.
    let after = |at: u64| at / 1000 - scene.at / 1000;
    let said = |edit: &Edit| self::message(&scene.slack, edit, message.edits[0].at);
    Ok(format!(
        "<div class=\"picture\"><style>\n{CSS}</style>\n\
        <div class=\"channel\"># deploys</div>\n\
        <p class=\"when\">{} types</p>\n\
        <div class=\"composer\"><span>{}</span>{SEND}</div>\n\
        <p class=\"when\">{} seconds later</p>\n{}\
        <p class=\"when\">The same message, {} seconds later</p>\n{}</div>\n",
        escape(scene.asker),
        escape(scene.typed),
        after(syncing.at),
        said(syncing)?,
        after(live.at) - after(syncing.at),
        said(live)?,
    ))
}

/// Takes the screenshot. The browser says first how high the fragment is.
fn take(fragment: &str, picture: &Path) {
    let folder = env::temp_dir().join(format!("deploy-bot-picture-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title></title><body style=\"margin: 0\">{fragment}\
        <script>document.title = Math.ceil(document.querySelector('.picture').getBoundingClientRect().height)</script>"
    );
    fs::write(folder.join("page.html"), page).expect("the temporary folder can be written");

    let page = chromium(&folder, WIDTH, &["--dump-dom"]);
    let title = page.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let height: u32 = title.and_then(|(title, _)| title.parse().ok()).expect("the height of the page");
    let shot = folder.join("shot.png");
    chromium(&folder, height, &[&format!("--screenshot={}", shot.display()), "--default-background-color=00000000"]);
    fs::create_dir_all(docs("")).expect("docs/ can be made");
    run(Command::new("pngquant").args(["--force", "--nofs", "--strip", "256", "--output"]).args([picture, &shot]));
    fs::remove_dir_all(&folder).expect("the temporary folder can be removed");
}

/// What the browser prints about the page in the folder.
fn chromium(folder: &Path, height: u32, arguments: &[&str]) -> String {
    let profile = folder.join("profile");
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg("--hide-scrollbars");
    command.args([format!("--window-size={WIDTH},{height}"), format!("--force-device-scale-factor={SCALE}")]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.args(arguments).arg(format!("file://{}", folder.join("page.html").display()));
    let printed = run(&mut command);
    // Each run has an empty profile.
    fs::remove_dir_all(&profile).expect("the profile can be removed");
    printed
}

fn run(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}; see the head of this file"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
