//! `tollgate completions` and `tollgate man`: what shells and `man` need, made from the command line as it is.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::terminal::{ReportError, to_stdout};
use super::{Cli, Failure};

/// What `tollgate completions` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// What `tollgate man` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// Where the pages go; it is created if it is not there
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Prints the completion script to standard output.
///
/// # Errors
/// When the output cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tollgate", &mut script);
    Ok(to_stdout(|out| {
        Ok(std::io::Write::write_all(out, &script)?)
    })?)
}

/// Writes one page for the program and one for each of its commands.
///
/// # Errors
/// When a page cannot be written.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| ReportError::File { path, source }
    };
    fs::create_dir_all(&args.directory).map_err(at(&args.directory))?;
    for (name, page) in pages()? {
        let path = args.directory.join(name);
        fs::write(&path, page).map_err(at(&path))?;
    }
    Ok(())
}

/// File names and contents.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let mut open = vec![program];
    while let Some(command) = open.pop() {
        open.extend(
            command
                .get_subcommands()
                .filter(|command| !command.is_hide_set())
                .cloned(),
        );
        let man = Man::new(command);
        let mut page = Vec::new();
        man.render(&mut page)?;
        pages.push((man.get_filename(), page));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tollgate", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["serve", "run", "env", "node-hook", "completions"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("man1");
        man(&ManArgs {
            directory: directory.clone(),
        })
        .unwrap();
        for name in [
            "tollgate",
            "tollgate-run",
            "tollgate-env",
            "tollgate-prices-list",
        ] {
            let page = fs::read_to_string(directory.join(format!("{name}.1"))).unwrap();
            assert!(page.contains(".TH"), "{name}");
        }
    }
}
