//! Pipelines are kept running: one that panics, or ends without being told to, is started again after a while, an alarm is raised that
//! people put away, and `/health` says so.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::{Move, Statement};
use tokio::sync::watch;
use types::Moment;

use super::watch::PIPELINE;
use super::{Custody, now};

/// How long a pipeline that fell waits before it is started again; twice that after each further time.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_LONGEST: Duration = Duration::from_secs(60);
/// Whoever ran for so long is taken to be well.
const CALM: Duration = Duration::from_secs(120);
/// A pipeline of which nothing was heard for so long hangs. Signers that hang hold one up for less.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// What a pipeline does until it is told to stop.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One of the loops that drive this system.
pub struct Pipeline {
    /// What people call it.
    pub name: &'static str,
    /// Begins it, anew after it fell.
    pub begin: Box<dyn Fn(Arc<Custody>, watch::Receiver<bool>) -> Running + Send + Sync>,
}

impl Pipeline {
    /// A pipeline that this function drives.
    pub fn new<F>(
        name: &'static str,
        begin: impl Fn(Arc<Custody>, watch::Receiver<bool>) -> F + Send + Sync + 'static,
    ) -> Pipeline
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Pipeline { name, begin: Box::new(move |custody, stop| Box::pin(begin(custody, stop))) }
    }
}

/// What is known of one pipeline.
#[derive(Clone, Copy, Debug)]
struct Beat {
    running: bool,
    heard: Instant,
    falls: u32,
    fell: Option<Moment>,
}

/// How every pipeline is.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<BTreeMap<&'static str, Beat>>);

/// How one pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineHealth {
    /// Which.
    pub name: &'static str,
    /// Whether it runs, and was heard of lately.
    pub well: bool,
    /// How often it fell since this process began.
    pub falls: u32,
    /// When it fell last.
    pub fell: Option<Moment>,
}

impl Pulse {
    fn change(&self, name: &'static str, change: impl FnOnce(&mut Beat)) {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Beat { running: false, heard: Instant::now(), falls: 0, fell: None };
        change(beats.entry(name).or_insert(fresh));
    }

    /// A pipeline begins another round.
    pub fn beat(&self, name: &'static str) {
        self.change(name, |beat| beat.heard = Instant::now());
    }

    /// How they all are.
    pub fn health(&self) -> Vec<PipelineHealth> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let health = |(name, beat): (&&'static str, &Beat)| PipelineHealth {
            name,
            well: beat.running && beat.heard.elapsed() < SILENCE_MAX,
            falls: beat.falls,
            fell: beat.fell,
        };
        beats.iter().map(health).collect()
    }
}

/// Keeps a pipeline running until `stop` says so.
pub async fn supervise(pipeline: Pipeline, custody: Arc<Custody>, stop: watch::Receiver<bool>) {
    let name = pipeline.name;
    let begin = || (pipeline.begin)(Arc::clone(&custody), stop.clone());
    let told = Arc::clone(&custody);
    let fell = move |how: &'static str, falls: u32| -> Running {
        let custody = Arc::clone(&told);
        Box::pin(async move { custody.note_fall(name, how, falls).await })
    };
    run_again(name, &custody.pulse, WAIT_FIRST, stop.clone(), begin, fell).await;
}

impl Custody {
    async fn note_fall(&self, name: &'static str, how: &'static str, falls: u32) {
        let at = now();
        let message = format!(
            "the pipeline {name} {how}, {falls} times since this process began; it is started again by itself. Why stands on standard error"
        );
        eprintln!("claviger: {PIPELINE} {name}: {message}");
        let step = Move::new(at).run(Statement::raise_alarm(PIPELINE, name, &message, at)).audit(
            "system",
            &format!("alarm.{PIPELINE}"),
            name,
            message,
        );
        // It is started again, and `/health` says so, whether or not it can be written down.
        let _ = self.store.commit(step).await;
    }
}

async fn run_again(
    name: &'static str,
    pulse: &Pulse,
    first: Duration,
    mut stop: watch::Receiver<bool>,
    begin: impl Fn() -> Running,
    fell: impl Fn(&'static str, u32) -> Running,
) {
    let mut wait = first;
    loop {
        pulse.change(name, |beat| (beat.running, beat.heard) = (true, Instant::now()));
        let begun = Instant::now();
        // A task of its own: what panics there ends there.
        let ended = tokio::spawn(begin()).await;
        if *stop.borrow() {
            return;
        }
        let how = if ended.is_err() { "panicked" } else { "ended without being told to" };
        let mut falls = 0;
        pulse.change(name, |beat| {
            beat.falls = beat.falls.saturating_add(1);
            (beat.running, beat.fell) = (false, Some(now()));
            falls = beat.falls;
        });
        fell(how, falls).await;
        if begun.elapsed() >= CALM {
            wait = first;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = wait.saturating_mul(2).min(WAIT_LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_panics_or_ends_is_noticed_and_begun_again_until_it_is_told_to_stop() {
        let (pulse, begun) = (Pulse::default(), Arc::new(AtomicU32::new(0)));
        let (tell, stop) = watch::channel(false);
        let (counted, told) = (Arc::clone(&begun), stop.clone());
        let begin = || -> Running {
            let (turn, mut told) = (counted.fetch_add(1, Ordering::SeqCst), told.clone());
            Box::pin(async move {
                match turn {
                    0 => {
                        let nothing: Option<u8> = None;
                        assert!(nothing.is_some(), "by the test");
                    }
                    1 => {}
                    _ => drop(told.wait_for(|stop| *stop).await),
                }
            })
        };
        let heard = Mutex::new(Vec::new());
        let fell = |how: &'static str, falls: u32| -> Running {
            heard.lock().unwrap().push((how, falls));
            Box::pin(async {})
        };
        let running = run_again("p", &pulse, Duration::from_millis(1), stop.clone(), begin, fell);
        let end = async {
            while begun.load(Ordering::SeqCst) < 3 {
                tokio::task::yield_now().await;
            }
            let health = pulse.health();
            tell.send(true).unwrap();
            health
        };
        let ((), health) = tokio::join!(running, end);
        assert_eq!(*heard.lock().unwrap(), [("panicked", 1), ("ended without being told to", 2)]);
        assert!(health.iter().all(|one| one.well && one.falls == 2 && one.fell.is_some()), "{health:?}");
        assert_eq!(begun.load(Ordering::SeqCst), 3, "what ends as it was told is not begun again");
    }
}
