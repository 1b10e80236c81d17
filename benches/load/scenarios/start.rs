//! From the start of a program to the first connection that it accepts, and its memory then.

use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::contenders::Contender;
use crate::figures::{Figures, Summary, float};
use crate::lab::{Lab, Placement};
use crate::messages::Answer;
use crate::target::Target;
use crate::upstream::{Behaviour, Upstream};

use super::ANSWER;

/// Starts of one run; the middle one counts.
const STARTS: usize = 5;
/// How long a fresh program may take to settle before its memory is looked at.
const SETTLE: Duration = Duration::from_millis(100);

/// Starts the contender several times. An authority that it makes at its very first start is there already.
pub(crate) fn run(lab: &Lab, contender: &Contender) -> Result<Figures, Failure> {
    let upstream = lab.upstream(Behaviour::Answer(Answer::converse(ANSWER)), Placement::Free)?;
    let home = lab.directory(contender);
    std::fs::create_dir_all(&home)?;
    once(lab, contender, &upstream, &home)?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(once(lab, contender, &upstream, &home)?);
    }
    std::fs::remove_dir_all(&home)?;
    let names = ["accepted_ms", "tls_ms", "resident_mib"];
    let median = |name| Summary::of(starts.iter().filter_map(|start| start.get(name).copied()));
    Ok(names
        .into_iter()
        .filter_map(|name| Some((name, median(name)?.median)))
        .collect())
}

fn once(
    lab: &Lab,
    contender: &Contender,
    upstream: &Upstream,
    home: &Path,
) -> Result<Figures, Failure> {
    let cores = Placement::Free.contender();
    let (running, _cleanup) = lab.start(contender, upstream, &cores, Some(home.to_owned()))?;
    let Some(process) = &running.process else {
        return Ok(Figures::new());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let target = Target::new(running.port, running.way, false)?;
    let connection = runtime.block_on(target.open())?;
    let tls = process.started.elapsed();
    drop(connection);
    std::thread::sleep(SETTLE);
    Ok(Figures::from([
        ("accepted_ms", running.start.as_secs_f64() * 1000.0),
        ("tls_ms", tls.as_secs_f64() * 1000.0),
        ("resident_mib", float(process.memory().resident) / 1024.0),
    ]))
}
