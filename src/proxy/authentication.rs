//! Whether a client of the gate is who it says it is: `Proxy-Authorization: Basic` against the users file. RFC 9110 §11.7,
//! RFC 7617.
//!
//! A password is hashed once: a pair that was right is remembered, by a digest under a key that only this process has, as
//! long as the users are the same. Hashing happens off the workers and in bounded number. A name that nobody has costs the
//! same, and who is wrong too often is not listened to for a while (`throttle`). When somebody is asked, and what they are
//! told, is left to `access`.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::load::counted_as;
use super::throttle::Throttle;
use crate::aws::inert::Line;
use crate::aws::mask;
use crate::config::Users;
use crate::config::password::{MAX_PASSWORD, PasswordHash};
use crate::config::users::{MAX_USER, check_name, is_run};
use crate::net::ca::{CaError, IssuanceError};
use crate::net::certificates::crypto_provider;
use crate::telemetry::Seldom;
use crate::wire::http1::RequestHead;

/// What is remembered of passwords that were right and wrong.
pub struct Authentication {
    /// Under a key of this process alone.
    mac: Hmac<Sha256>,
    right: Mutex<Right>,
    wrong: Mutex<Wrong>,
    hashing: Arc<Semaphore>,
    to_tell: Seldom,
}

type Digest = [u8; 32];

/// Pairs that were right. Bounded: the oldest are forgotten.
#[derive(Default)]
struct Right {
    users: Option<Arc<Users>>,
    pairs: HashSet<Digest>,
    oldest_first: VecDeque<Digest>,
}

/// Failures: of an address as some user, of an address, of a user.
struct Wrong {
    pairs: Throttle<(IpAddr, Digest)>,
    clients: Throttle<IpAddr>,
    users: Throttle<Digest>,
}

/// Pairs remembered.
const MAX_PAIRS: usize = 4096;
/// Failures within a minute of one address as one user: somebody mistypes, or a program has an old password.
const PAIR_PATIENCE: u32 = 10;
/// Of one address, or as one user from anywhere.
const PATIENCE: u32 = 50;
/// How long somebody waits for others to be hashed.
const QUEUE: Duration = Duration::from_secs(10);

/// What a request offers.
#[derive(PartialEq, Eq)]
pub(super) enum Offered {
    /// Nothing.
    Nothing,
    /// Something that is not Basic, or broken.
    Unreadable(&'static str),
    /// A name and a password.
    Basic {
        user: String,
        password: Zeroizing<Vec<u8>>,
    },
}

/// Why somebody is not who they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrongly {
    /// Nobody has this name with this password.
    Mistaken,
    /// Wrong too often; not listened to for so long.
    Shut(Duration),
    /// Too many are being hashed.
    Busy,
}

impl Authentication {
    /// Nothing remembered yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, CaError> {
        let mut key = Zeroizing::new([0; 32]);
        crypto_provider()
            .secure_random
            .fill(&mut *key)
            .map_err(IssuanceError::from)?;
        let mac = Hmac::new_from_slice(&*key)
            .map_err(|_| IssuanceError::from(rustls::crypto::GetRandomFailed))?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            mac,
            right: Mutex::default(),
            wrong: Mutex::new(Wrong {
                pairs: Throttle::new(PAIR_PATIENCE),
                clients: Throttle::new(PATIENCE),
                users: Throttle::new(PATIENCE),
            }),
            // Others go on being served meanwhile.
            hashing: Arc::new(Semaphore::new(cores.div_ceil(2))),
            to_tell: Seldom::default(),
        })
    }

    /// What the password of `user` is kept as in `users`, if `password` is right.
    pub(super) async fn verify(
        &self,
        users: &Arc<Users>,
        client: IpAddr,
        user: &str,
        password: Zeroizing<Vec<u8>>,
    ) -> Result<PasswordHash, Wrongly> {
        let client = counted_as(client);
        let name = self.digest(user, b"");
        if let Some(left) = self.wrong().pairs.shut_for(&(client, name), Instant::now()) {
            return Err(self.not_heard(client, user, left));
        }
        let pair = self.digest(user, &password);
        let hash = users.hash(user);
        if let Some(hash) = hash.filter(|_| self.right().knows(users, &pair)) {
            return Ok(hash.clone());
        }
        self.may_be_hashed(client, name)
            .map_err(|left| self.not_heard(client, user, left))?;
        let room = timeout(QUEUE, Arc::clone(&self.hashing).acquire_owned()).await;
        let Ok(Ok(room)) = room else {
            return Err(Wrongly::Busy);
        };
        // Whoever asked many times at once has had their answers meanwhile.
        self.may_be_hashed(client, name)
            .map_err(|left| self.not_heard(client, user, left))?;
        let [a, b, c, d, e, f, g, h, ..] = name;
        let which = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let against = hash.or_else(|| users.stand_in(which)).cloned();
        let hashed = tokio::task::spawn_blocking(move || {
            let same = against.is_some_and(|hash| hash.verifies(&password));
            drop(room);
            same
        });
        let same = hashed.await.unwrap_or(false);
        match hash.filter(|_| same) {
            Some(hash) => {
                self.right().learn(users, pair);
                self.wrong().pairs.succeeded(&(client, name));
                Ok(hash.clone())
            }
            None => {
                self.failed(client, name, user);
                Err(Wrongly::Mistaken)
            }
        }
    }

    fn may_be_hashed(&self, client: IpAddr, name: Digest) -> Result<(), Duration> {
        let now = Instant::now();
        let wrong = self.wrong();
        let shut = [
            wrong.pairs.shut_for(&(client, name), now),
            wrong.clients.shut_for(&client, now),
            wrong.users.shut_for(&name, now),
        ];
        shut.into_iter().flatten().max().map_or(Ok(()), Err)
    }

    fn failed(&self, client: IpAddr, name: Digest, user: &str) {
        let now = Instant::now();
        let mut wrong = self.wrong();
        wrong.pairs.failed((client, name), now);
        wrong.clients.failed(client, now);
        wrong.users.failed(name, now);
        drop(wrong);
        self.tell(client, user, "a client gave a wrong user or password");
    }

    fn not_heard(&self, client: IpAddr, user: &str, left: Duration) -> Wrongly {
        let why = "a client was wrong about its password too often, and is not listened to";
        self.tell(client, user, why);
        Wrongly::Shut(left)
    }

    /// At most one line in ten seconds, with the number of those it stands for.
    fn tell(&self, client: IpAddr, user: &str, why: &'static str) {
        if let Some(times) = self.to_tell.note(Instant::now()) {
            let user = Line(&mask::word(user)).to_string();
            tracing::warn!(%client, user, times, "{why}");
        }
    }

    fn digest(&self, user: &str, password: &[u8]) -> Digest {
        let mut mac = self.mac.clone();
        mac.update(&user.len().to_le_bytes());
        mac.update(user.as_bytes());
        mac.update(password);
        mac.finalize().into_bytes().into()
    }

    fn right(&self) -> MutexGuard<'_, Right> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication").finish_non_exhaustive()
    }
}

impl Right {
    fn knows(&self, users: &Arc<Users>, pair: &Digest) -> bool {
        self.is_of(users) && self.pairs.contains(pair)
    }

    fn learn(&mut self, users: &Arc<Users>, pair: Digest) {
        if !self.is_of(users) {
            *self = Self {
                users: Some(Arc::clone(users)),
                ..Self::default()
            };
        }
        if self.pairs.insert(pair) {
            self.oldest_first.push_back(pair);
        }
        if self.oldest_first.len() > MAX_PAIRS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.pairs.remove(&oldest);
        }
    }

    fn is_of(&self, users: &Arc<Users>) -> bool {
        self.users
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, users))
    }
}

impl Offered {
    /// Reads `Proxy-Authorization`.
    pub(super) fn by(head: &RequestHead) -> Self {
        let mut values = head.fields().all("proxy-authorization");
        let Some(value) = values.next() else {
            return Self::Nothing;
        };
        if values.next().is_some() {
            return Self::Unreadable("Proxy-Authorization stands more than once");
        }
        Self::read(value)
    }

    fn read(value: &[u8]) -> Self {
        let basic = value
            .split_at_checked(b"Basic ".len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Basic "));
        let Some((_, encoded)) = basic else {
            return Self::Unreadable("Basic is the only scheme of Proxy-Authorization here");
        };
        if encoded.len() > MAX_ENCODED {
            return Self::Unreadable("the credentials are longer than any name and password");
        }
        let broken = Self::Unreadable("the credentials are not base64 of user, colon and password");
        let Ok(decoded) = STANDARD.decode(encoded.trim_ascii()) else {
            return broken;
        };
        let decoded = Zeroizing::new(decoded);
        let Some(colon) = memchr::memchr(b':', &decoded) else {
            return broken;
        };
        let (user, password) = decoded.split_at(colon);
        let password = password.get(1..).unwrap_or_default();
        // RFC 7617 §2: neither has control characters. bcrypt would take what follows a NUL for another round of the key.
        match std::str::from_utf8(user) {
            Ok(user) if is_run(user) => Self::Unreadable(
                "the user is the name of a run, which proves nothing: give a user and password of this gate",
            ),
            Ok(user) if check_name(user).is_ok() && !password.iter().any(u8::is_ascii_control) => {
                Self::Basic {
                    user: user.to_owned(),
                    password: Zeroizing::new(password.to_vec()),
                }
            }
            _ => broken,
        }
    }
}

/// Base64 of the longest name and password.
const MAX_ENCODED: usize = (MAX_USER + 1 + MAX_PASSWORD).div_ceil(3) * 4 + 8;

#[cfg(test)]
#[path = "authentication_tests.rs"]
mod tests;
