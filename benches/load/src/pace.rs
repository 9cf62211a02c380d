//! When requests are sent: one after the other, as fast as possible, or at a rate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::connection::Connection;
use crate::{Answer, Request};

/// Each once, each after the answer to the one before.
pub(crate) async fn in_order(requests: &[Request]) -> Vec<Answer> {
    let mut connections = HashMap::new();
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let connection = connections
            .entry(request.to.as_str())
            .or_insert_with(|| Connection::new(&request.to));
        let began = Instant::now();
        let status = connection.send(&request.text).await;
        answers.push(Answer::new(status, began));
    }
    answers
}

/// All of them again and again over each of so many connections.
pub(crate) async fn repeated(
    requests: Vec<Request>,
    length: Duration,
    connections: usize,
) -> Vec<Answer> {
    let (requests, until) = (Arc::new(requests), Instant::now() + length);
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let requests = Arc::clone(&requests);
        senders.spawn(async move {
            let mut connections = HashMap::new();
            let mut answers = Vec::new();
            for request in requests.iter().cycle() {
                let began = Instant::now();
                if began >= until {
                    break;
                }
                let connection = connections
                    .entry(request.to.as_str())
                    .or_insert_with(|| Connection::new(&request.to));
                let status = connection.send(&request.text).await;
                answers.push(Answer::new(status, began));
            }
            answers
        });
    }
    senders.join_all().await.into_iter().flatten().collect()
}

/// So many a second, over at most so many connections. A request that waits for a connection, or
/// for those before it, has begun when it was due; one that still waits at the end is not sent.
pub(crate) async fn at_rate(
    requests: Vec<Request>,
    per_second: f64,
    length: Duration,
    connections: usize,
) -> Vec<Answer> {
    let (requests, places) = (Arc::new(requests), Arc::new(Semaphore::new(connections)));
    let idle: Arc<Mutex<HashMap<String, Vec<Connection>>>> = Arc::default();
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for number in 0_u32.. {
        let due = began + Duration::from_secs_f64(f64::from(number) / per_second);
        if due >= began + length {
            break;
        }
        sleep_until(due.into()).await;
        let (requests, idle) = (Arc::clone(&requests), Arc::clone(&idle));
        let places = Arc::clone(&places);
        senders.spawn(async move {
            let _place = places.acquire_owned().await.ok()?;
            let request = &requests[number as usize % requests.len()];
            let kept = lock(&idle).get_mut(&request.to).and_then(Vec::pop);
            let mut connection = kept.unwrap_or_else(|| Connection::new(&request.to));
            let status = connection.send(&request.text).await;
            lock(&idle)
                .entry(request.to.clone())
                .or_default()
                .push(connection);
            Some(Answer::new(status, due))
        });
    }
    sleep_until((began + length).into()).await;
    places.close();
    senders.join_all().await.into_iter().flatten().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
