//! The soak: `cargo bench --bench soak -- --minutes 10`.
//!
//! Mixed load over every door, faults on both sides, a gate that is killed and one that is told to stop; afterwards the
//! ledger against the books, descriptors against those before, and a line through the memory. Exits 1 when a promise is
//! broken and says where to look. What it does and what its figures mean: docs/reliability.md.

#[cfg(target_os = "linux")]
mod harness;

use std::error::Error;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    Err("the soak watches the gate by /proc, which only Linux has".into())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::ExitCode;
    use std::time::Duration;

    use clap::Parser;

    use crate::harness::{Plan, run};

    #[derive(Parser)]
    struct Arguments {
        /// How long the load lasts
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// Clients at a time, 250 at most
        #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u8).range(1..=250))]
        clients: u8,
        /// Pause of a client between visits, in milliseconds, on average
        #[arg(long, default_value_t = 40)]
        pause: u64,
        /// What the clients' dice begin with
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How long the load lasts before and after the gate is killed, in seconds; 0 kills none
        #[arg(long, default_value_t = 10)]
        around_kill: u64,
        /// Where the report, the gate's diagnostics and its ledger are put [default: soak below the target directory]
        #[arg(long)]
        directory: Option<PathBuf>,
        /// Another gate than the one built along
        #[arg(long, default_value = env!("CARGO_BIN_EXE_tollgate"))]
        gate: PathBuf,
        /// Cargo adds it
        #[arg(long, hide = true)]
        bench: bool,
    }

    pub(super) fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
        let arguments = Arguments::parse();
        let default = PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/soak"));
        let directory = std::path::absolute(arguments.directory.unwrap_or(default))?;
        // What an earlier run has left would be taken for this one's.
        if directory.join("home").exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        let plan = Plan {
            gate: arguments.gate.canonicalize()?,
            directory: directory.clone(),
            load: Duration::try_from_secs_f64(arguments.minutes * 60.0)?,
            clients: arguments.clients,
            pause: Duration::from_millis(arguments.pause),
            seed: arguments.seed,
            around_kill: Duration::from_secs(arguments.around_kill),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let report = runtime.block_on(run(&plan))?;
        runtime.shutdown_background();
        let text = report.markdown();
        std::fs::write(directory.join("soak.md"), &text)?;
        std::fs::write(directory.join("soak.json"), report.json()?)?;
        writeln!(std::io::stdout().lock(), "{text}")?;
        Ok(if report.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
