//! `lath login`: tries a login at a registry and keeps it where Docker would.
//!
//! The password comes from the terminal, unseen, or from standard input; never from an argument, which others can see.

use std::io::{IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;

use clap::Args;
use lath_artifacts::{Credential, Kept, LoginError, RegistryArgs, RegistryName};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::artifacts::registries;
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::output::{Document, can_ask};

/// Longest password, in bytes; tokens of registries have a few thousand.
const MAX_PASSWORD: u64 = 64 << 10;

/// Arguments of `lath login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Name of the registry, as references write it
    registry: RegistryName,
    /// Name of the user
    #[arg(short, long)]
    user: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    registries: RegistryArgs,
}

/// Logs in at a registry.
pub(crate) async fn login(args: LoginArgs, call: &Call) -> Result<Exit, Failure> {
    let (user, password) = ask(&args, call)?;
    let registries = registries(&args.registries)?;
    let credential = Credential::basic(&*user, password);
    let registry = &args.registry;
    let wanted = registries.check_login(registry, &credential).await?;
    let kept = if wanted {
        Some(registries.keep_login(registry, &credential).await.map_err(|error| unkept(&error))?)
    } else {
        None
    };
    let place = kept.as_ref().map(|kept| match kept {
        Kept::File(file) => file.display().to_string(),
        Kept::Helper(program) => program.clone(),
    });
    let body = serde_json::json!({ "registry": registry.as_str(), "user": user, "keptIn": place });
    let mark = call.out.glyphs.pick("✔", "OK");
    call.out.print(&Document::new("Login", &body).names([registry.to_string()]), |_wide| match &place {
        Some(place) => format!("{mark} Logged in to {registry} as {user}, kept in {place}\n"),
        None => format!("{mark} {registry} wants no login; nothing was kept\n"),
    })?;
    if let Some(Kept::File(_)) = kept {
        call.out.say("the file is readable for you alone and not encrypted; a credential helper of Docker's would encrypt it");
    }
    Ok(Exit::Done)
}

fn unkept(error: &LoginError) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("the login is good and cannot be kept: {error}"));
    match error {
        LoginError::NoPlace => failure.help("name a file: --registry-auth FILE"),
        LoginError::File { .. } => failure.help("mend the file, or name another: --registry-auth FILE"),
        LoginError::Helper(_) => failure.help("look at credsStore and credHelpers of Docker's configuration"),
    }
}

/// User and password, from wherever they are to come.
fn ask(args: &LoginArgs, call: &Call) -> Result<(String, String), Failure> {
    let may_ask = can_ask() && !call.global.no_input;
    let missing = |flag: &str| {
        Failure::new(Exit::Usage, format!("nobody can be asked for it, and {flag} is not given"))
            .help("lath login REGISTRY --user NAME --password-stdin < FILE")
    };
    let user = match &args.user {
        Some(user) => user.clone(),
        None if may_ask => line(&format!("User of {}: ", args.registry))?,
        None => return Err(missing("--user")),
    };
    let password = if args.password_stdin {
        let mut text = String::new();
        std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut text).map_err(|error| unread(&error))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else if may_ask {
        unseen(&format!("Password of {user}: "))?
    } else {
        return Err(missing("--password-stdin"));
    };
    if user.is_empty() || user.contains(':') || password.is_empty() {
        let message = "a login needs a user without `:` and a password, and neither may be empty";
        return Err(Failure::new(Exit::Invalid, message).help("give both again"));
    }
    Ok((user, password))
}

fn line(question: &str) -> Result<String, Failure> {
    anstream::eprint!("{question}");
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).map_err(|error| unread(&error))?;
    Ok(text.trim().to_owned())
}

/// A line that the terminal does not show.
fn unseen(question: &str) -> Result<String, Failure> {
    let input = std::io::stdin();
    let before = input.is_terminal().then(|| tcgetattr(input.as_fd())).and_then(Result::ok);
    if let Some(before) = &before {
        let mut dark = before.clone();
        dark.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(input.as_fd(), SetArg::TCSANOW, &dark).map_err(|error| {
            Failure::new(Exit::Failed, format!("the terminal cannot hide a password: {error}"))
        })?;
    }
    let answer = line(question);
    if let Some(before) = &before {
        // When the terminal is gone there is nothing to put back.
        _ = tcsetattr(input.as_fd(), SetArg::TCSANOW, before);
        anstream::eprintln!();
    }
    answer
}

fn unread(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot read standard input: {error}"))
}
