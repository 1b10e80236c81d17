//! Load benchmark: the same traffic direct, through a bare byte pump, through tollgate, and through other proxies.
//!
//! ```text
//! cargo bench --bench load                          everything, a quarter of an hour at most
//! cargo bench --bench load -- --quick               the same in two minutes, with more noise
//! cargo bench --bench load -- --scenario keepalive,latency --contender pump,tollgate
//! ```
//!
//! docs/performance.md says what each scenario measures and how to read the result. This file reads the command line and
//! runs the scenarios in turn; contenders alternate, so that what disturbs the machine disturbs all of them.

mod contenders;
mod figures;
mod identities;
mod intake;
mod interrupt;
mod lab;
mod ledger;
mod machine;
mod messages;
mod options;
mod process;
#[path = "../records.rs"]
mod records;
mod report;
mod scenarios;
mod target;
mod traffic;
mod upstream;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use contenders::{Contender, pump};
use figures::{Sample, Samples};
use lab::Lab;
use options::{Arguments, Role};
use report::Report;
use scenarios::{Rounds, Scenario};

/// Whatever goes wrong, as a sentence.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.role {
        Some(Role::Pump(args)) => pump::run(args).map(|()| true),
        None => measure(&arguments),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("load: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; false when a contender of ours failed.
fn measure(arguments: &Arguments) -> Result<bool, Failure> {
    let scenarios = arguments.scenarios()?;
    let contenders = arguments.contenders()?;
    if arguments.list {
        list(&scenarios, &contenders);
        return Ok(true);
    }
    machine::raise_file_limit();
    let load_before = machine::load_average();
    let lab = Lab::new(arguments.measured(), arguments.warm_up(), arguments.wrap())?;
    interrupt::watch(lab.path())?;
    let begun = Instant::now();
    let mut samples = Samples::default();
    let mut failures = Vec::new();
    for scenario in &scenarios {
        let taking_part: Vec<&Contender> = contenders
            .iter()
            .filter(|contender| arguments.takes_part(scenario, contender))
            .collect();
        let rounds = match scenario.rounds {
            Rounds::Usual => arguments.rounds(),
            Rounds::Once => 1,
        };
        for round in 1..=rounds {
            for contender in &taking_part {
                let label = format!(
                    "{:<16} {round}/{rounds} {:<26}",
                    scenario.name, contender.name
                );
                match scenario.run(&lab, contender) {
                    Ok(figures) => {
                        say(&format!("{label} {}", report::line(&figures)));
                        samples.0.push(Sample {
                            scenario: scenario.name.clone(),
                            contender: contender.name.clone(),
                            figures,
                        });
                    }
                    Err(error) => {
                        say(&format!("{label} FAILED: {error}"));
                        failures.push((scenario.name.clone(), contender.name.clone()));
                    }
                }
            }
        }
    }
    let report = Report {
        scenarios: &scenarios,
        samples: &samples,
        failures: &failures,
        took: begun.elapsed(),
        load_before,
        command: arguments.command(),
    };
    report.write(&arguments.outputs)?;
    let ours = |name: &String| {
        contenders
            .iter()
            .any(|contender| contender.name == *name && contender.is_ours())
    };
    Ok(!failures.iter().any(|(_, contender)| ours(contender)))
}

fn list(scenarios: &[Scenario], contenders: &[Contender]) {
    for scenario in scenarios {
        say(&format!("{:<16} {}", scenario.name, scenario.title));
    }
    let names: Vec<&str> = contenders
        .iter()
        .map(|contender| contender.name.as_str())
        .collect();
    say(&format!("contenders: {}", names.join(", ")));
}

/// Progress and failures go to standard error; the report has standard output for itself.
fn say(line: &str) {
    // Nobody may be reading.
    drop(writeln!(io::stderr().lock(), "{line}"));
}
