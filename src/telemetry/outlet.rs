//! An output that never keeps its writers waiting: a bounded queue with a thread behind it.
//!
//! Whoever reads our standard output or standard error may stop reading (a paused pager, a stuck log collector). What
//! finds no room in the queue is dropped and counted.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// The way to an output. Clones share one queue.
#[derive(Clone)]
pub(super) struct Outlet {
    /// Has memory for what is in it only; what bounds it is the count.
    queue: Sender<Item>,
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

enum Item {
    Bytes(Vec<u8>),
    /// Everything before this has been written when the sender learns of it.
    Flush(SyncSender<()>),
}

/// Pieces that wait for a slow reader.
const QUEUE: usize = 8192;
/// Bytes written at once.
const BUFFER: usize = 64 * 1024;
/// How long lines of a burst wait for company: whoever ends an exchange need not wake a thread for its line.
const GATHER: Duration = Duration::from_millis(5);
/// How long a reader may hold the process's end up.
const FLUSH: Duration = Duration::from_secs(2);

impl Outlet {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(name: &str, out: impl Write + Send + 'static) -> Self {
        let (queue, items) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let items = Items(items, Arc::clone(&waiting));
        let spawned = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write(&items, out));
        if let Err(error) = spawned {
            tracing::error!(%error, name, "no thread for this output; what is sent there is lost");
        }
        Self {
            queue,
            waiting,
            lost: Arc::default(),
        }
    }

    /// Sends one piece, or counts it as lost.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        if !self.offer(Item::Bytes(bytes)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there was room, which there is not when the reader is slow, and somebody to take it, who is gone when the
    /// reader is.
    fn offer(&self, item: Item) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE {
            return self.queue.send(item).is_ok();
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// A writer whose bytes are sent as one piece when it is dropped.
    pub(super) fn writer(&self) -> Piece {
        Piece {
            outlet: self.clone(),
            bytes: Vec::new(),
        }
    }

    /// Waits until everything sent so far is written, for [`FLUSH`] at most.
    pub(super) fn flush(&self) {
        let (written, done) = sync_channel(1);
        let asked = self.offer(Item::Flush(written));
        if asked && done.recv_timeout(FLUSH).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many pieces were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// What waits, for the thread that writes it.
struct Items(Receiver<Item>, Arc<AtomicUsize>);

impl Items {
    fn wait(&self) -> Option<Item> {
        self.0.recv().ok().inspect(|_| self.taken())
    }

    fn next(&self) -> Option<Item> {
        self.0.try_recv().ok().inspect(|_| self.taken())
    }

    fn taken(&self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One piece being written.
pub(super) struct Piece {
    outlet: Outlet,
    bytes: Vec<u8>,
}

impl Write for Piece {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.outlet.send(std::mem::take(&mut self.bytes));
        }
    }
}

/// Flushes when nothing more waits, so that a burst costs one write, and rests after that: what comes first is written at
/// once. Ends when nobody reads any more.
fn write(items: &Items, out: impl Write) {
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let mut next = items.wait();
    while let Some(item) = next {
        let written = match item {
            Item::Bytes(bytes) => out.write_all(&bytes),
            Item::Flush(written) => {
                let flushed = out.flush();
                // Whoever asked may have given up waiting.
                written.try_send(()).ok();
                flushed
            }
        };
        if written.is_err() {
            return;
        }
        next = match items.next() {
            Some(item) => Some(item),
            None if out.flush().is_err() => return,
            None => {
                std::thread::sleep(GATHER);
                items.wait()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes nothing until it is let go.
    struct Stuck(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_pieces_and_no_time() {
        let (go, wait) = sync_channel(8);
        let (seen, written) = sync_channel(1024);
        let outlet = Outlet::start("test", Stuck(wait, seen));
        for _ in 0..3 * QUEUE {
            outlet.send(b"line\n".to_vec());
        }
        assert!(outlet.lost() >= QUEUE as u64, "{}", outlet.lost());
        go.send(()).unwrap();
        assert!(written.recv().unwrap().starts_with(b"line\n"));
    }

    #[test]
    fn what_is_sent_to_a_reader_that_is_gone_is_lost() {
        let (go, wait) = sync_channel(8);
        let (seen, written) = sync_channel(8);
        let outlet = Outlet::start("test", Stuck(wait, seen));
        drop(go);
        outlet.send(b"line\n".to_vec());
        // The reader is dropped with its thread.
        assert!(written.recv().is_err());
        // Too few to fill the queue: what is lost is lost for want of a reader.
        for _ in 0..QUEUE / 2 {
            outlet.send(b"line\n".to_vec());
            if outlet.lost() > 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("nothing was lost");
    }

    #[test]
    fn a_flush_means_written() {
        let (go, wait) = sync_channel(8);
        let (seen, written) = sync_channel(8);
        let outlet = Outlet::start("test", Stuck(wait, seen));
        go.send(()).unwrap();
        outlet.writer().write_all(b"one 1").unwrap();
        outlet.flush();
        assert_eq!(written.try_recv().unwrap(), b"one 1");
    }
}
