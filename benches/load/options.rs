//! The benchmark's command line, and what it selects.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::Failure;
use crate::contenders::{Contender, Program, peers, pump::PumpArgs};
use crate::scenarios::{self, Scenario, Sizes};
use crate::target::Way;

/// Load benchmark of tollgate and others
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub role: Option<Role>,

    /// Two minutes instead of a quarter of an hour
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,

    /// A few requests in every scenario, to see that the benchmark works; figures mean nothing
    #[arg(long)]
    smoke: bool,

    /// Print scenarios and contenders, and run nothing
    #[arg(long)]
    pub list: bool,

    /// Run these scenarios only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    scenario: Vec<String>,

    /// Run these contenders only, in every scenario that is run
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    contender: Vec<String>,

    /// Another tollgate to run beside this one, as contender NAME with its defaults
    #[arg(long, value_name = "NAME=PROGRAM")]
    also: Vec<String>,

    /// A tollgate with options of its own, as in 'relaxed=--durability relaxed'
    #[arg(long, value_name = "NAME=OPTIONS")]
    mode: Vec<String>,

    /// Program of the hudsucker contender [default: peers/hudsucker's, if it is built]
    #[arg(long, value_name = "PROGRAM")]
    hudsucker: Option<PathBuf>,

    /// Program of the mitmproxy contender [default: mitmdump, if it is found]
    #[arg(long, value_name = "PROGRAM")]
    mitmdump: Option<PathBuf>,

    /// How often each contender runs [default: 5, or 1 with --quick]
    #[arg(long, value_name = "COUNT")]
    rounds: Option<u32>,

    /// How long each run is measured
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// Also measure with a ledger of so many rows; it is made once and kept below the target directory
    #[arg(long, value_name = "COUNT")]
    ledger_rows: Option<u64>,

    /// Put this in front of contenders' command lines, as in 'perf record -g -o /tmp/perf.data --'
    #[arg(long, value_name = "COMMAND")]
    wrap: Option<String>,

    #[command(flatten)]
    pub outputs: Outputs,

    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where results go.
#[derive(Args, Debug)]
pub(crate) struct Outputs {
    /// Every sample, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// The tables, as Markdown [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// A chart
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Put the tables between the markers of this document, and the chart beside it
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

/// What this program is when it is a process of the benchmark.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// A byte pump with TLS on both sides.
    #[command(hide = true)]
    Pump(PumpArgs),
}

impl Arguments {
    /// What is to be run.
    pub(crate) fn scenarios(&self) -> Result<Vec<Scenario>, Failure> {
        let all = scenarios::all(self.sizes(), self.ledger_rows);
        if self.scenario.is_empty() {
            return Ok(all);
        }
        self.scenario
            .iter()
            .map(|name| {
                all.iter()
                    .find(|scenario| scenario.name == *name)
                    .cloned()
                    .ok_or_else(|| format!("there is no scenario {name}; see --list").into())
            })
            .collect()
    }

    /// Everybody who is there.
    pub(crate) fn contenders(&self) -> Result<Vec<Contender>, Failure> {
        let mut all = known();
        for (name, program) in pairs(&self.also)? {
            all.push(tollgate(name, PathBuf::from(program), &[], Way::Connect));
        }
        for (name, options) in pairs(&self.mode)? {
            let options: Vec<&str> = options.split_whitespace().collect();
            all.push(tollgate(name, ours(), &options, Way::Connect));
        }
        // Other programs are not ours to test.
        if !self.smoke {
            all.extend(self.peers());
        }
        let Some(unknown) = self
            .contender
            .iter()
            .find(|name| !all.iter().any(|contender| contender.name == **name))
        else {
            return Ok(all);
        };
        Err(format!("there is no contender {unknown}, or it is not installed; see --list").into())
    }

    fn peers(&self) -> Vec<Contender> {
        let transparent = |name: &str, program| Contender {
            name: name.to_owned(),
            program,
            way: Way::Tls,
        };
        let connect = |name: &str, program| Contender {
            name: name.to_owned(),
            program,
            way: Way::Connect,
        };
        let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("benches/load/peers/hudsucker/target/release/hudsucker-peer");
        let hudsucker = self.hudsucker.clone().or(Some(built));
        let mitmdump = self.mitmdump.clone().or_else(|| peers::find("mitmdump"));
        [
            peers::find("haproxy").map(|_| transparent("haproxy", Program::Haproxy)),
            peers::find("nginx").map(|_| transparent("nginx", Program::Nginx)),
            hudsucker
                .filter(|program| program.is_file())
                .map(|program| connect("hudsucker", Program::Hudsucker(program))),
            mitmdump
                .filter(|program| program.is_file())
                .map(|program| connect("mitmproxy", Program::Mitmproxy(program))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether this contender runs in this scenario.
    pub(crate) fn takes_part(&self, scenario: &Scenario, contender: &Contender) -> bool {
        if !self.contender.is_empty() {
            return self.contender.contains(&contender.name);
        }
        let asked_for = pairs(&self.also)
            .into_iter()
            .chain(pairs(&self.mode))
            .flatten()
            .any(|(name, _)| name == contender.name);
        asked_for || scenario.contenders.contains(&contender.name.as_str())
    }

    /// How often each contender runs.
    pub(crate) fn rounds(&self) -> u32 {
        let usual = if self.smoke || self.quick { 1 } else { 5 };
        self.rounds.unwrap_or(usual)
    }

    /// How long a run is measured.
    pub(crate) fn measured(&self) -> Duration {
        let usual = match (self.smoke, self.quick) {
            (true, _) => 0.05,
            (_, true) => 0.7,
            _ => 2.0,
        };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual).clamp(0.01, 600.0))
    }

    /// How long its traffic runs before.
    pub(crate) const fn warm_up(&self) -> Duration {
        if self.smoke {
            Duration::from_millis(10)
        } else {
            Duration::from_millis(500)
        }
    }

    const fn sizes(&self) -> Sizes {
        if self.smoke {
            Sizes::SMOKE
        } else {
            Sizes::USUAL
        }
    }

    /// What stands in front of a contender's command line.
    pub(crate) fn wrap(&self) -> Vec<String> {
        let words = self.wrap.as_deref().unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect()
    }

    /// The command that makes this report again.
    pub(crate) fn command(&self) -> String {
        let given = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench");
        let mut command = "cargo bench --bench load".to_owned();
        for (number, argument) in given.enumerate() {
            command += if number == 0 { " -- " } else { " " };
            command += &argument;
        }
        command
    }
}

/// The tollgate of this build.
fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tollgate"))
}

fn known() -> Vec<Contender> {
    let none = &["--payload", "none"][..];
    vec![
        Contender {
            name: "direct".to_owned(),
            program: Program::Direct,
            way: Way::Tls,
        },
        Contender {
            name: "pump".to_owned(),
            program: Program::Pump,
            way: Way::Connect,
        },
        tollgate("tollgate", ours(), &[], Way::Connect),
        tollgate("tollgate-none", ours(), none, Way::Connect),
        tollgate("tollgate-transparent", ours(), &[], Way::Tls),
        tollgate("tollgate-none-transparent", ours(), none, Way::Tls),
    ]
}

fn tollgate(name: &str, program: PathBuf, options: &[&str], way: Way) -> Contender {
    Contender {
        name: name.to_owned(),
        program: Program::Tollgate {
            program,
            options: options.iter().map(|&option| option.to_owned()).collect(),
        },
        way,
    }
}

fn pairs(given: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    given
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .ok_or_else(|| format!("{pair} should be NAME=…").into())
        })
        .collect()
}
