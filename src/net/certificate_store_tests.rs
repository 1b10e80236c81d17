//! What a store of leaves costs whoever asks: one mint for a name, a few at a time, on nobody's thread, in bounded number.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::timeout;

use super::super::test_certificates::*;
use super::*;

fn store(certificates: usize, mints: usize) -> (tempfile::TempDir, CertificateStore) {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let limits = Limits {
        certificates,
        mints,
        ..Limits::default()
    };
    let store = CertificateStore::new(authority, None, HashMap::new(), &limits);
    (home, store.unwrap())
}

/// A name that anybody may ask for.
fn endpoint(number: usize) -> String {
    format!("vpce-{number}.{BEDROCK}")
}

/// Whether `event` is over the first time it is looked at.
fn is_over_at_once<T>(event: impl Future<Output = T>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(pin!(event).poll(&mut context), Poll::Ready(_))
}

/// More than a mint takes by far.
const WHILE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_first_requests_mint_once() {
    let (_home, store) = store(512, 4);
    let store = Arc::new(store);
    let now = SystemTime::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(&store);
        asking.spawn(async move { store.for_host(BEDROCK, now).await.unwrap() });
    }
    let leaves = asking.join_all().await;
    assert!(leaves.iter().all(|leaf| Arc::ptr_eq(leaf, &leaves[0])));
    let spelled_otherwise = format!("{}.", BEDROCK.to_uppercase());
    let leaf = store.for_host(&spelled_otherwise, now).await.unwrap();
    assert!(Arc::ptr_eq(&leaf, &leaves[0]));
    assert_eq!((store.mints(), store.kept()), (1, 1));
    assert!(store.lock().under_way.is_empty());
}

#[tokio::test]
async fn the_number_of_leaves_is_bounded_and_the_busy_ones_stay() {
    let (_home, store) = store(16, 1);
    let now = SystemTime::now();
    let busy = store.for_host(BEDROCK, now).await.unwrap();
    for number in 0..50 {
        store.for_host(&endpoint(number), now).await.unwrap();
        store.for_host(BEDROCK, now).await.unwrap();
        assert!(store.kept() <= 16);
    }
    assert_eq!((store.kept(), store.mints()), (16, 51));
    let again = store.for_host(BEDROCK, now).await.unwrap();
    assert!(Arc::ptr_eq(&busy, &again));
}

#[tokio::test]
async fn no_more_are_minted_at_a_time_than_may_be_and_what_is_known_does_not_wait() {
    let (_home, store) = store(512, 2);
    let now = SystemTime::now();
    let known = store.for_host(BEDROCK, now).await.unwrap();
    let busy = Arc::clone(&store.room).acquire_many_owned(2).await.unwrap();
    let new = endpoint(1);
    let mut asked = pin!(store.for_host(&new, now));
    assert!(timeout(WHILE, &mut asked).await.is_err(), "a third one");
    assert!(is_over_at_once(store.for_host(BEDROCK, now)));
    drop(busy);
    let minted = asked.await.unwrap();
    assert!(!Arc::ptr_eq(&known, &minted));
    assert_eq!(store.room.available_permits(), 2);
}

#[test]
fn the_thread_that_asks_does_not_mint() {
    let (_home, store) = store(512, 1);
    let now = SystemTime::now();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        // With the one thread for long work taken, a leaf at the first look could only come from the thread that asks.
        let (work, taken) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || taken.recv());
        assert!(!is_over_at_once(store.for_host(BEDROCK, now)));
        drop(work);
        busy.await.unwrap().unwrap_err();
        store.for_host(BEDROCK, now).await.unwrap();
        assert!(is_over_at_once(store.for_host(BEDROCK, now)));
    });
}

#[tokio::test]
async fn one_that_goes_while_it_waits_leaves_its_place_to_the_next() {
    let (_home, store) = store(512, 1);
    let now = SystemTime::now();
    let busy = Arc::clone(&store.room).acquire_owned().await.unwrap();
    {
        let mut first = Box::pin(store.for_host(BEDROCK, now));
        let mut second = Box::pin(store.for_host(BEDROCK, now));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert_eq!(store.lock().under_way.len(), 1, "the second still waits");
        drop(busy);
        second.await.unwrap();
    }
    assert_eq!(store.mints(), 1);
    let busy = Arc::clone(&store.room).acquire_owned().await.unwrap();
    for number in 0..100 {
        assert!(!is_over_at_once(store.for_host(&endpoint(number), now)));
    }
    assert!(store.lock().under_way.is_empty(), "nobody waits any more");
    drop(busy);
    assert_eq!(store.mints(), 1, "nothing is minted for those who left");
}

#[tokio::test]
async fn a_name_that_is_not_permitted_is_refused_without_waiting_and_costs_nothing() {
    let (_home, store) = store(512, 1);
    let now = SystemTime::now();
    let _busy = Arc::clone(&store.room).acquire_owned().await.unwrap();
    for name in ["example.com", "amazonaws.com.evil.test", "192.0.2.1", "a b"] {
        let refused = timeout(WHILE, store.for_host(name, now)).await;
        assert!(refused.unwrap().is_err(), "{name}");
    }
    assert_eq!((store.mints(), store.kept()), (0, 0));
    assert!(store.lock().under_way.is_empty());
}
