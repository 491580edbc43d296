//! An answer in memory and on threads of the program's own: nothing is taken behind its back.
//! Usage: guest MODEL.gguf QUESTION [TOKENS]
use std::alloc::{alloc, dealloc, Layout};
use std::env;
use std::error::Error;
use std::io::{stdout, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use junto::{Allocator, Executor, Options, Runtime, Sampling, Tag, Tasks};

/// Rust's own heap, counted.
#[derive(Default)]
struct Counting {
    bytes: AtomicUsize,
    calls: AtomicUsize,
}

struct Memory(Arc<Counting>);

unsafe impl Allocator for Memory {
    fn allocate(&self, layout: Layout, _: Tag) -> *mut u8 {
        let memory = unsafe { alloc(layout) };
        if !memory.is_null() {
            self.0.bytes.fetch_add(layout.size(), SeqCst);
            self.0.calls.fetch_add(1, SeqCst);
        }
        memory
    }

    unsafe fn deallocate(&self, memory: *mut u8, layout: Layout, _: Tag) {
        self.0.bytes.fetch_sub(layout.size(), SeqCst);
        dealloc(memory, layout);
    }
}

/// A loop that is under way, on the stack of the thread that waits for it.
struct Loop {
    tasks: *const Tasks,
    next: AtomicU32,
}

impl Loop {
    fn take_turns(&self, worker: u32) {
        let tasks = unsafe { &*self.tasks };
        loop {
            let index = self.next.fetch_add(1, SeqCst);
            if index >= tasks.count() {
                return;
            }
            unsafe { tasks.run(index, worker) };
        }
    }
}

#[derive(Clone, Copy)]
struct Open(*const Loop);
unsafe impl Send for Open {}

#[derive(Default)]
struct Board {
    open: Option<Open>,
    helpers: u32,
    quit: bool,
}

#[derive(Default)]
struct Shared {
    board: Mutex<Board>,
    changed: Condvar,
}

/// Threads that take turns in one loop at a time. Worker 0 is the thread that brings it.
struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    loops: Arc<AtomicUsize>,
}

impl Pool {
    fn new(workers: u32, loops: Arc<AtomicUsize>) -> Pool {
        let shared = Arc::new(Shared::default());
        let help = |worker| {
            let shared = shared.clone();
            thread::spawn(move || shared.help(worker))
        };
        let threads = (1..workers).map(help).collect();
        Pool { shared, threads, loops }
    }
}

impl Shared {
    fn help(&self, worker: u32) {
        let mut board = self.board.lock().unwrap();
        while !board.quit {
            let open = match board.open {
                Some(open) => open,
                None => {
                    board = self.changed.wait(board).unwrap();
                    continue;
                }
            };
            board.helpers += 1;
            drop(board);
            unsafe { (*open.0).take_turns(worker) };
            board = self.board.lock().unwrap();
            board.open = None; // nothing is left of it to take
            board.helpers -= 1;
            self.changed.notify_all();
        }
    }
}

unsafe impl Executor for Pool {
    fn worker_count(&self) -> u32 {
        self.threads.len() as u32 + 1
    }

    fn run(&self, tasks: &Tasks) {
        self.loops.fetch_add(1, SeqCst);
        let turns = Loop { tasks, next: AtomicU32::new(0) };
        self.shared.board.lock().unwrap().open = Some(Open(&turns));
        self.shared.changed.notify_all();
        turns.take_turns(0);
        let mut board = self.shared.board.lock().unwrap();
        board.open = None;
        while board.helpers > 0 {
            board = self.shared.changed.wait(board).unwrap();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.board.lock().unwrap().quit = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn answer(options: Options, arguments: &[String], calls: &AtomicUsize) -> Result<(), Box<dyn Error>> {
    let model = Runtime::with(options)?.load(&arguments[1])?;
    let max_new_tokens = arguments.get(3).map_or(Ok(0), |tokens| tokens.parse())?;
    let mut session = model.session(&Default::default())?;
    session.set_sampling(&Sampling { max_new_tokens, ..Sampling::default() })?;
    let mut prompt = model.prompt()?;
    prompt.turn("user", &arguments[2])?;
    session.prefill(&prompt)?;
    let before = calls.load(SeqCst);
    session.generate(|chunk| {
        print!("{}", chunk.text);
        match stdout().flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    println!();
    eprintln!("{} allocations while it answered", calls.load(SeqCst) - before);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    if arguments.len() < 3 {
        return Err("usage: guest MODEL.gguf QUESTION [TOKENS]".into());
    }
    let counting = Arc::new(Counting::default());
    let loops = Arc::new(AtomicUsize::new(0));
    let options = Options {
        allocator: Some(Box::new(Memory(counting.clone()))),
        executor: Some(Box::new(Pool::new(2, loops.clone()))),
        strict_memory: true,
        ..Options::default()
    };
    answer(options, &arguments, &counting.calls)?;
    eprintln!("{} loops on threads of our own", loops.load(SeqCst));
    eprintln!("{} bytes left", counting.bytes.load(SeqCst));
    Ok(())
}
