//! One thread, one clock: tasks go on when the simulated time has come. What may go on at the same
//! moment goes on in an order that the seed decides.
//!
//! A task belongs to a process. One that is killed loses its tasks where they wait; the tasks of one that
//! is paused are put by until it goes on.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::random::Random;

/// Microseconds of simulated time.
pub(crate) type Micros = u64;

/// A millisecond.
pub(crate) const MS: Micros = 1_000;
/// A second.
pub(crate) const SECOND: Micros = 1_000 * MS;

/// What tasks belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) usize);

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Paused,
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct TaskId {
    slot: u32,
    generation: u32,
}

type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

#[derive(Default)]
struct Slot {
    generation: u32,
    future: Option<Future>,
    process: usize,
    is_queued: bool,
}

struct Process {
    state: State,
    held: Vec<TaskId>,
}

/// See the module.
pub(crate) struct Executor {
    now: Cell<Micros>,
    current: Cell<TaskId>,
    order: Cell<u64>,
    timers: RefCell<BinaryHeap<Reverse<(Micros, u64, TaskId)>>>,
    ready: RefCell<Vec<TaskId>>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    processes: RefCell<Vec<Process>>,
    random: RefCell<Random>,
    polls: Cell<u64>,
}

impl Executor {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            now: Cell::new(0),
            current: Cell::default(),
            order: Cell::new(0),
            timers: RefCell::default(),
            ready: RefCell::default(),
            slots: RefCell::default(),
            free: RefCell::default(),
            processes: RefCell::default(),
            random: RefCell::new(random),
            polls: Cell::new(0),
        }
    }

    pub(crate) fn now(&self) -> Micros {
        self.now.get()
    }

    /// How often a task went on.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    pub(crate) fn process(&self) -> ProcessId {
        let mut processes = self.processes.borrow_mut();
        processes.push(Process {
            state: State::Running,
            held: Vec::new(),
        });
        ProcessId(processes.len() - 1)
    }

    pub(crate) fn state(&self, process: ProcessId) -> State {
        self.processes.borrow()[process.0].state
    }

    /// One that is dead takes no task.
    pub(crate) fn spawn(
        &self,
        process: ProcessId,
        future: impl std::future::Future<Output = ()> + 'static,
    ) {
        if self.state(process) == State::Dead {
            return;
        }
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            (slots.len() - 1) as u32
        });
        let place = &mut slots[slot as usize];
        place.future = Some(Box::pin(future));
        place.process = process.0;
        place.is_queued = false;
        let task = TaskId {
            slot,
            generation: place.generation,
        };
        drop(slots);
        self.wake(task);
    }

    fn wake(&self, task: TaskId) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(task.slot as usize) else {
            return;
        };
        if slot.generation != task.generation || slot.is_queued {
            return;
        }
        slot.is_queued = true;
        let process = &mut self.processes.borrow_mut()[slot.process];
        match process.state {
            State::Paused => process.held.push(task),
            State::Running | State::Dead => self.ready.borrow_mut().push(task),
        }
    }

    pub(crate) fn pause(&self, process: ProcessId) {
        let mut processes = self.processes.borrow_mut();
        if processes[process.0].state == State::Running {
            processes[process.0].state = State::Paused;
        }
    }

    pub(crate) fn resume(&self, process: ProcessId) {
        let mut processes = self.processes.borrow_mut();
        let process = &mut processes[process.0];
        if process.state == State::Paused {
            process.state = State::Running;
            self.ready.borrow_mut().append(&mut process.held);
        }
    }

    pub(crate) fn kill(&self, process: ProcessId) {
        self.processes.borrow_mut()[process.0].state = State::Dead;
        self.processes.borrow_mut()[process.0].held.clear();
        let mut dropped = Vec::new();
        let mut slots = self.slots.borrow_mut();
        for (number, slot) in slots.iter_mut().enumerate() {
            if slot.process == process.0 && slot.future.is_some() {
                dropped.extend(slot.future.take());
                slot.generation += 1;
                self.free.borrow_mut().push(number as u32);
            }
        }
        drop(slots);
        // What they hold may wake others.
        drop(dropped);
    }

    pub(crate) fn revive(&self, process: ProcessId) {
        self.processes.borrow_mut()[process.0].state = State::Running;
    }

    /// Lets time pass.
    pub(crate) fn run_until(&self, end: Micros, mut goes_on: impl FnMut() -> bool) {
        while goes_on() {
            if let Some(task) = self.next_ready() {
                self.poll(task);
                continue;
            }
            let Some(Reverse((at, _, task))) = self.timers.borrow_mut().pop() else {
                break;
            };
            if at > end {
                break;
            }
            self.now.set(at.max(self.now()));
            self.wake(task);
        }
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        let count = self.processes.borrow().len();
        for number in 0..count {
            self.kill(ProcessId(number));
        }
    }

    fn next_ready(&self) -> Option<TaskId> {
        let mut ready = self.ready.borrow_mut();
        if ready.len() > 1 {
            let index = self.random.borrow_mut().index(ready.len());
            return Some(ready.swap_remove(index));
        }
        ready.pop()
    }

    fn poll(&self, task: TaskId) {
        let future = {
            let mut slots = self.slots.borrow_mut();
            let slot = &mut slots[task.slot as usize];
            if slot.generation != task.generation {
                return;
            }
            // Paused since it was woken.
            let process = &mut self.processes.borrow_mut()[slot.process];
            if process.state == State::Paused {
                process.held.push(task);
                return;
            }
            slot.is_queued = false;
            slot.future.take()
        };
        let Some(mut future) = future else {
            return;
        };
        self.polls.set(self.polls.get() + 1);
        self.current.set(task);
        let done = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready();
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[task.slot as usize];
        let is_dead = self.processes.borrow()[slot.process].state == State::Dead;
        if done || is_dead {
            slot.generation += 1;
            self.free.borrow_mut().push(task.slot);
            drop(slots);
            drop(future);
        } else {
            slot.future = Some(future);
        }
    }

    fn wake_current_at(&self, at: Micros) {
        let order = self.order.get();
        self.order.set(order + 1);
        let timer = Reverse((at, order, self.current.get()));
        self.timers.borrow_mut().push(timer);
    }

    /// Until that moment.
    pub(crate) async fn until(&self, at: Micros) {
        let mut is_armed = false;
        poll_fn(|_| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            if !is_armed {
                self.wake_current_at(at);
                is_armed = true;
            }
            Poll::Pending
        })
        .await;
    }

    pub(crate) async fn sleep(&self, time: Micros) {
        self.until(self.now() + time).await;
    }

    /// What comes of `future`, if that is within `limit`. What is begun is given up.
    pub(crate) async fn timeout<T>(
        &self,
        limit: Micros,
        future: impl std::future::Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        let mut end = pin!(self.sleep(limit));
        poll_fn(|context| {
            if let Poll::Ready(done) = future.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            end.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

/// Something that happens again and again, and that tasks wait for.
#[derive(Default)]
pub(crate) struct Signal {
    count: Cell<u64>,
    waiting: RefCell<Vec<TaskId>>,
}

impl Signal {
    /// How often it happened.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    pub(crate) fn happen(&self, executor: &Executor) {
        self.count.set(self.count.get() + 1);
        for task in self.waiting.take() {
            executor.wake(task);
        }
    }

    /// Until it has happened more than `seen` times.
    pub(crate) async fn after(&self, executor: &Executor, seen: u64) {
        poll_fn(|_| {
            if self.count.get() > seen {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(executor.current.get());
            Poll::Pending
        })
        .await;
    }
}

struct Letter<T> {
    value: RefCell<Option<T>>,
    is_closed: Cell<bool>,
    arrives: Signal,
}

/// Where an answer is put.
pub(crate) struct Sender<T> {
    letter: Rc<Letter<T>>,
    executor: Rc<Executor>,
}

/// Where it is waited for.
pub(crate) struct Receiver<T> {
    letter: Rc<Letter<T>>,
    executor: Rc<Executor>,
}

/// One answer, or none if who owes it is gone.
pub(crate) fn letter<T>(executor: &Rc<Executor>) -> (Sender<T>, Receiver<T>) {
    let letter = Rc::new(Letter {
        value: RefCell::new(None),
        is_closed: Cell::new(false),
        arrives: Signal::default(),
    });
    let sender = Sender {
        letter: Rc::clone(&letter),
        executor: Rc::clone(executor),
    };
    let executor = Rc::clone(executor);
    (sender, Receiver { letter, executor })
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        *self.letter.value.borrow_mut() = Some(value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.letter.is_closed.set(true);
        self.letter.arrives.happen(&self.executor);
    }
}

impl<T> Receiver<T> {
    pub(crate) async fn receive(self) -> Option<T> {
        while !self.letter.is_closed.get() {
            self.letter.arrives.after(&self.executor, 0).await;
        }
        self.letter.value.take()
    }
}
