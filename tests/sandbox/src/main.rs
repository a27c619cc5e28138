//! `cargo run`: the bot and everything around it on this machine, and a prompt to type into Slack.
//! `cargo run -- demo` plays one deploy without anybody at the keyboard and says whether the app went live.

mod demo;
mod prompt;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sandbox::chart::deployment;
use sandbox::real::RealArgoCd;
use sandbox::redis::{Install, on_path};
use sandbox::{Options, Runner, Sandbox};

/// How long a Pod takes on the real Argo CD.
const PODS_TAKE: Duration = Duration::from_secs(2);

const USAGE: &str = "\
usage: cargo run [-- [demo] [--host spin] [--argocd real] [--no-install]]

  demo           deploy pull request 42 of checkout, print the timeline, exit 0 only if it went live
  --host spin    run the components with the `spin` on the PATH, as in production
  --argocd real  a real Argo CD with its Kubernetes instead of the stand-in; `tests/argocd/build` makes it first
  --no-install   never install anything
";

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    demo: bool,
    spin: bool,
    real_argocd: bool,
    no_install: bool,
    help: bool,
}

fn parse(arguments: &[&str]) -> anyhow::Result<Arguments> {
    let mut parsed = Arguments::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "demo" => parsed.demo = true,
            "--no-install" => parsed.no_install = true,
            "--help" | "-h" => parsed.help = true,
            "--host" => match rest.next() {
                Some(&"spin") => parsed.spin = true,
                _ => bail!("the only other host is spin: --host spin"),
            },
            "--argocd" => match rest.next() {
                Some(&"real") => parsed.real_argocd = true,
                _ => bail!("the only other Argo CD is a real one: --argocd real"),
            },
            other => bail!("unknown argument {other:?}"),
        }
    }
    if parsed.demo && parsed.real_argocd {
        bail!("the demo looks into the stand-in: type `/deploy checkout 42` at the prompt instead");
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments = match parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(arguments) if arguments.help => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(arguments) => arguments,
        Err(error) => {
            eprint!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runner = match arguments.spin {
        false => Runner::from_environment(),
        true => Runner::Spin(spin()?),
    };
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let install = match (arguments.no_install, at_terminal && !arguments.demo) {
        (true, _) => Install::Forbidden,
        (false, true) => Install::Ask,
        (false, false) => Install::Unattended,
    };
    // Before anything takes time: whether it can work at all, and questions to a person.
    tokio::task::spawn_blocking(move || sandbox::redis::find(install)).await??;
    println!("1/2  Building the three components for WebAssembly: a minute or two the first time, then nothing.");
    tokio::task::spawn_blocking(move || sandbox::wasm::build(install)).await??;
    println!("2/2  Compiling them to machine code and starting everything: some seconds.\n");

    // Nothing that was started may outlive an interrupted sandbox: whatever is dropped here ends its processes.
    let work = async {
        let variables = [("github_deployments".to_owned(), "on".to_owned())].into();
        let argocd = match arguments.real_argocd {
            true => Some(RealArgoCd::start(PODS_TAKE).await?),
            false => None,
        };
        let options = Options { runner: runner.clone(), install, variables, argocd, ..Options::default() };
        let sandbox = Sandbox::start(options).await?;
        if arguments.real_argocd {
            for app in ["checkout", "payments"] {
                sandbox.deploys_chart(app, &[deployment(app)]).await?;
            }
        }
        introduce(&sandbox, &runner);
        if !arguments.demo {
            return prompt::talk(sandbox, at_terminal).await;
        }
        let code = demo::play(&sandbox).await?;
        sandbox.stop().await;
        Ok(code)
    };
    tokio::select! {
        result = work => result,
        () = asked_to_end() => {
            println!();
            Ok(ExitCode::from(130))
        }
    }
}

fn spin() -> anyhow::Result<PathBuf> {
    let from_environment = match Runner::from_environment() {
        Runner::Spin(path) => Some(path),
        Runner::BuiltIn => None,
    };
    from_environment.or_else(|| on_path("spin")).context("there is no `spin` on the PATH; SPIN=<path> names one")
}

/// SIGINT, SIGTERM.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn introduce(sandbox: &Sandbox, runner: &Runner) {
    let by = match runner {
        Runner::BuiltIn => "in the built-in host; production is Spin".to_owned(),
        Runner::Spin(path) => format!("under {}", path.display()),
    };
    let bot = sandbox.bot.address().map(|address| format!("http://{address}")).unwrap_or_default();
    println!("  bot        {bot}, {by}");
    let stand_ins = [
        ("Slack", sandbox.slack.origin()),
        ("GitHub", sandbox.github.origin()),
        ("registry", sandbox.registry.origin()),
        ("Argo CD", sandbox.argocd.origin()),
    ];
    for (name, origin) in stand_ins {
        match (name, &sandbox.real) {
            ("Argo CD", Some(real)) => println!("  {name:10} http://{}, a real one", real.address),
            _ => println!("  {name:10} {origin}, a stand-in"),
        }
    }
    println!("  Redis      {} (leases, wake-ups), {} (key-value store)", sandbox.redis.url(), sandbox.store.url());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_understood_or_refused() {
        let all = Arguments { demo: true, spin: true, real_argocd: false, no_install: true, help: false };
        assert_eq!(parse(&["demo", "--host", "spin", "--no-install"]).unwrap(), all);
        assert_eq!(parse(&["--argocd", "real"]).unwrap(), Arguments { real_argocd: true, ..Arguments::default() });
        assert_eq!(parse(&[]).unwrap(), Arguments::default());
        for (wrong, why) in [
            (&["--demo"][..], "unknown argument \"--demo\""),
            (&["--host"], "the only other host is spin: --host spin"),
            (
                &["demo", "--argocd", "real"],
                "the demo looks into the stand-in: type `/deploy checkout 42` at the prompt instead",
            ),
            (&["--argocd"], "the only other Argo CD is a real one: --argocd real"),
            (&["--host", "docker"], "the only other host is spin: --host spin"),
        ] {
            assert_eq!(parse(wrong).unwrap_err().to_string(), why);
        }
    }
}
