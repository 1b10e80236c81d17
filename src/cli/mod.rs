//! The commands: one small file each, with its arguments and what it does.
//!
//! This one holds the list and turns an error into one chain on standard error and an exit status: 0 well, 1 failed,
//! 2 wrong usage or configuration.

pub mod budgets;
pub mod ca;
pub mod check;
pub mod demo;
pub mod doctor;
mod dumps;
pub mod env;
pub mod environment;
pub mod export;
pub mod filter;
pub mod generate;
pub mod log;
pub mod money;
pub mod prices;
pub mod progress;
pub mod quoting;
pub mod roots;
pub mod run;
pub mod serve;
mod service_manager;
pub mod show;
pub mod spreadsheet;
pub mod stats;
pub mod table;
pub mod terminal;
pub mod user;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::terminal::ReportError;
use crate::app::StartError;
use crate::config::{ConfigError, HomeOption, LogFormat, Options};
use crate::telemetry::panics;

/// HTTPS forward proxy for AWS Bedrock Runtime: every token counted, no signed byte changed.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Start the gate; prints the addresses and the lines to paste
    Serve(ServeArgs),
    /// Try everything without an AWS account: serve with a built-in Bedrock simulator that verifies every signature
    Demo(demo::DemoArgs),
    /// Run a command, or your shell, through the gate, and sum up its calls, tokens and cost at the end
    Run {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: run::RunArgs,
    },
    /// Print the variables that lead programs to the gate: eval "$(tollgate env)"
    Env {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: env::EnvArgs,
    },
    /// Print the records, newest last
    Log {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: log::LogArgs,
    },
    /// Sum calls, tokens and cost by model, caller, day and more
    Stats {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: stats::StatsArgs,
    },
    /// What is spent, reserved and left of each budget, and when it resets
    Budgets {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: budgets::BudgetsArgs,
    },
    /// Write the records as JSON lines, CSV or HAR
    Export {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: export::ExportArgs,
    },
    /// Print one exchange: heads, bodies or decoded events, usage, cost, timing
    Show {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: show::ShowArgs,
    },
    /// What models cost: list the prices, check them for oddities, explain how one is found
    Prices(prices::PricesArgs),
    /// Print the completion script for a shell
    Completions(generate::CompletionsArgs),
    /// Write the man pages
    Man(generate::ManArgs),
    /// The certificate that clients must trust: show, export, install, rotate it, and check who trusts it
    Ca(ca::CaArgs),
    /// Who may pass a gate that asks for user and password: add, list and remove them
    User(user::UserArgs),
    /// Validate a configuration: says file, line and what to do
    Check {
        #[command(flatten)]
        home: HomeOption,
        #[command(flatten)]
        args: check::CheckArgs,
    },
    /// Look at everything that usually goes wrong, and say what mends it
    Doctor(doctor::DoctorArgs),
}

/// What starting a gate takes.
#[derive(Args)]
pub struct ServeArgs {
    #[command(flatten)]
    home: HomeOption,
    #[command(flatten)]
    options: Options,
}

/// A command's failure: the message chain is in its sources.
type Failure = Box<dyn Error + Send + Sync>;

/// Parses the command line and runs it.
#[must_use]
pub fn main() -> ExitCode {
    panics::keep_messages_back();
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args.options, &args.home),
        Command::Demo(args) => demo::run(&args),
        Command::Run { home, args } => match run::run(&args, &home) {
            Ok(status) => return status,
            Err(error) => Err(error),
        },
        Command::Env { home, args } => env::run(&args, &home),
        Command::Log { home, args } => {
            with_home(&home, |home| log::run(&args, home).map_err(Into::into))
        }
        Command::Stats { home, args } => {
            with_home(&home, |home| stats::run(&args, home).map_err(Into::into))
        }
        Command::Budgets { home, args } => budgets::run(&args, &home),
        Command::Export { home, args } => {
            with_home(&home, |home| export::run(&args, home).map_err(Into::into))
        }
        Command::Show { home, args } => {
            with_home(&home, |home| show::run(&args, home).map_err(Into::into))
        }
        Command::Prices(args) => prices::run(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
        Command::Ca(args) => ca::run(&args),
        Command::User(args) => user::run(&args),
        Command::Check { home, args } => check::run(&args, &home),
        Command::Doctor(args) => doctor::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::from(if is_configuration(error.as_ref()) {
                WRONG_USAGE
            } else {
                FAILED
            })
        }
    }
}

/// Whether what was asked for is wrong, rather than something that went wrong.
fn is_configuration(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let start = error.downcast_ref::<StartError>();
    let report = error.downcast_ref::<ReportError>();
    error.is::<ConfigError>()
        || error.is::<clap::Error>()
        || start.is_some_and(StartError::is_configuration)
        || report.is_some_and(ReportError::is_wrong_usage)
        || ca::is_wrong_usage(error)
        || error.is::<user::UserError>()
}

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn with_home(
    home: &HomeOption,
    run: impl FnOnce(&std::path::Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    run(&crate::config::load::home_of(home)?)
}

/// One error chain, in one place.
fn report(error: &(dyn Error + 'static)) {
    let mut text = format!("tollgate: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    say_to(&mut std::io::stderr().lock(), &text);
}

/// Writes a line for the person who started us; a closed output is not worth failing for.
pub(crate) fn say_to(out: &mut impl Write, line: &str) {
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads the output");
    }
}

/// Writes what the person who started a gate is to read: on standard output, unless that carries JSON.
pub(crate) fn say(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => say_to(&mut std::io::stdout().lock(), text),
        LogFormat::Json => say_to(&mut std::io::stderr().lock(), text),
    }
}
