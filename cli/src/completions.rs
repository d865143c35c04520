//! `lath completions`: the script by which a shell completes commands and flags. No network: names of apps and hosts
//! are not completed.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::failure::{Exit, Failure};
use crate::output::Output;

const AFTER_HELP: &str = "\
    bash: lath completions bash > ~/.local/share/bash-completion/completions/lath
    zsh:  lath completions zsh > DIR/_lath, with DIR in $fpath
    fish: lath completions fish > ~/.config/fish/completions/lath.fish";

/// Arguments of `lath completions`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script for the tree of commands `cli`.
pub(crate) fn completions(args: &CompletionsArgs, mut cli: Command, out: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut cli, "lath", &mut script);
    out.write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            generate(*shell, &mut crate::Cli::command(), "lath", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["rollout", "promote", "max-surge"] {
                assert!(script.contains(word), "{shell}: `{word}` is missing");
            }
        }
    }
}
