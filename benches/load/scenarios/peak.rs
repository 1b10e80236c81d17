//! How much memory many large bodies take at once.

use crate::Failure;
use crate::contenders::Contender;
use crate::figures::{Figures, float};
use crate::lab::{Lab, Placement};
use crate::ledger::Expected;
use crate::messages::{Answer, Request, Tokens};
use crate::target::Target;
use crate::traffic::{Kind, Traffic};
use crate::upstream::Behaviour;

use super::load::{greet, patience};

/// So many at once.
const EXCHANGES: usize = 32;

/// Every exchange sends `bytes` and receives as many.
pub(crate) fn run(lab: &Lab, contender: &Contender, bytes: usize) -> Result<Figures, Failure> {
    let answer = Answer::image(bytes);
    let body = answer.body;
    let upstream = lab.upstream(Behaviour::Answer(answer), Placement::Free)?;
    let (running, _cleanup) =
        lab.start(contender, &upstream, &Placement::Free.contender(), None)?;
    let greetings = greet(&running, Request::Invoke(512))?;
    let traffic = Traffic {
        kind: Kind::AllAtOnce,
        request: Request::Invoke(bytes),
        connections: EXCHANGES,
        answer: Some(body),
        epoch: lab.epoch,
    };
    let target = Target::new(running.port, running.way, false)?;
    let (calls, _) = traffic.start(target, &Placement::Free.load())?.wait()?;
    let mut figures = Figures::new();
    if let Some(process) = &running.process {
        figures.insert("peak_mib", float(process.memory().peak) / 1024.0);
        figures.insert("resident_mib", float(process.memory().resident) / 1024.0);
    }
    if let Some(books) = &running.books {
        let expected = Expected {
            calls: calls + greetings,
            each: Tokens::default(),
            model: Request::Invoke(bytes).model(),
        };
        books.check(expected, patience(contender))?;
    }
    Ok(figures)
}
