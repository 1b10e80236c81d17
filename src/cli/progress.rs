//! A sign of life for what takes longer than a second: on standard error, and only for a person.
//!
//! A thread of its own waits that second, so that a query which finds nothing for a minute still shows itself. Nothing is
//! drawn when standard error is no terminal, or when standard output is one that the rows themselves fill.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the sign of life moves.
const BEAT: Duration = Duration::from_millis(120);

/// After how many records the count is shown anew.
const STEP: u64 = 1024;

/// What is going on and how far it has come. Gone without a trace when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    done: u64,
    what: &'static str,
    waiting: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// `what` is being done to records, and standard output carries nothing meanwhile.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self::shown_if(what, io::stderr().is_terminal())
    }

    /// `what` is being done to records that are written to standard output one by one.
    #[must_use]
    pub fn beside_output(what: &'static str) -> Self {
        Self::shown_if(
            what,
            io::stderr().is_terminal() && !io::stdout().is_terminal(),
        )
    }

    fn shown_if(what: &'static str, shown: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
            .with_style(ProgressStyle::default_spinner())
            .with_message(what);
        let waiting = shown.then(|| {
            let (stop, stopped) = channel::<()>();
            let bar = bar.clone();
            let thread = std::thread::spawn(move || {
                if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(BEAT);
                }
            });
            (stop, thread)
        });
        Self {
            bar,
            done: 0,
            what,
            waiting,
        }
    }

    /// One more record.
    pub fn step(&mut self) {
        self.done += 1;
        if self.waiting.is_some() && self.done.is_multiple_of(STEP) {
            let message = format!("{}: {} records", self.what, HumanCount(self.done));
            self.bar.set_message(message);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.waiting.take() {
            drop(stop);
            // It ends at once; had it panicked, the bar would merely never have shown.
            thread.join().ok();
        }
        self.bar.finish_and_clear();
    }
}
