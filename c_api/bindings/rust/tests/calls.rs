//! What the examples do not call. The models: JUNTO_TEST_MODEL, and JUNTO_TEST_CALLS,
//! which always calls the same tool.
use std::collections::HashMap;
use std::env;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use junto::{ffi, Batch, Executor, File, Files, Model, Options, Outcome, Prompt, Runtime, Sampling, Session};
use junto::{SessionOptions, Tag, Tasks};

fn model() -> Model {
    let options = Options { max_threads: 2, ..Options::default() };
    let path = env::var("JUNTO_TEST_MODEL").unwrap();
    Runtime::with(options).unwrap().load(path).unwrap() // the runtime ends first: it is kept alive
}

fn conversation(model: &Model) -> (Session, Prompt) {
    let shape = SessionOptions { context_tokens: 256, max_forks: 1, ..Default::default() };
    let mut session = model.session(&shape).unwrap();
    let sampling =
        Sampling { temperature: 0.8, seed: 7, max_new_tokens: 12, ..Sampling::default() };
    session.set_sampling(&sampling).unwrap();
    let mut prompt = model.prompt().unwrap();
    prompt.turn("user", "Tell me of the sea.").unwrap();
    session.prefill(&prompt).unwrap();
    (session, prompt)
}

fn text_of(session: &mut Session) -> String {
    session.stream().map(|text| text.unwrap()).collect()
}

#[test]
fn sessions() {
    let model = model();
    assert_eq!(model.info().unwrap().layers, 30);
    let tokens = model.tokenize("Straße 🙂", 0).unwrap();
    assert_eq!(model.detokenize(&tokens, 0).unwrap(), "Straße 🙂".as_bytes());

    let (mut session, prompt) = conversation(&model);
    assert!(prompt.render().unwrap().contains("Tell me of the sea."));
    assert_eq!(session.step(Duration::from_nanos(1)).unwrap(), Outcome::Yielded);
    let mut fork = session.fork().unwrap();
    let snapshot = session.snapshot().unwrap();
    let expected = text_of(&mut session);
    assert!(!expected.is_empty());
    assert_eq!(session.usage().unwrap().stop, ffi::JUNTO_STOP_LENGTH);
    let on_its_own = thread::spawn(move || text_of(&mut fork));
    assert_eq!(on_its_own.join().unwrap(), expected);

    let (mut other, _) = conversation(&model);
    other.restore(&snapshot).unwrap();
    drop(model);
    assert_eq!(text_of(&mut other), expected);
    assert_eq!(other.restore(&snapshot[1..]).unwrap_err().status, ffi::JUNTO_E_FORMAT);

    session.canceller().cancel();
    session.prefill(&prompt).unwrap();
    assert_eq!(session.generate(|_| ControlFlow::Continue(())).unwrap(), Outcome::Cancelled);
    let prompt_tokens = other.usage().unwrap().prompt_tokens;
    other.rewind(prompt_tokens).unwrap();
    assert_eq!(text_of(&mut other), expected);
}

#[test]
fn listeners() {
    let (mut session, prompt) = conversation(&model());
    let panic = catch_unwind(AssertUnwindSafe(|| session.generate(|_| panic!("enough"))));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"enough"));
    session.prefill(&prompt).unwrap();
    let mut tokens = 0;
    let outcome = session.generate(|chunk| {
        tokens += chunk.tokens.len();
        ControlFlow::Break(())
    });
    assert_eq!((outcome.unwrap(), tokens), (Outcome::Done, 1));
    assert_eq!(session.usage().unwrap().stop, ffi::JUNTO_STOP_CALLBACK);
}

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}={{ m.content }};\
    {% if m.tool_calls %}{{ m.tool_calls[0].function.name }};{% endif %}\
    {{ m.reasoning_content }}{% endfor %}{{ tools | length }}";

#[test]
fn tools() {
    let model = Runtime::new().unwrap().load(env::var("JUNTO_TEST_CALLS").unwrap()).unwrap();
    let mut session = model.session(&Default::default()).unwrap();
    let mut prompt = model.prompt().unwrap();
    prompt.turn("user", "Find it").unwrap();
    session.set_output(ffi::JUNTO_OUTPUT_REASONING | ffi::JUNTO_OUTPUT_TOOL_CALLS).unwrap();
    session.prefill(&prompt).unwrap();
    let (mut name, mut arguments) = (String::new(), String::new());
    let outcome = session.generate(|chunk| {
        match chunk.channel {
            ffi::JUNTO_CHANNEL_TOOL_NAME => name += chunk.text,
            ffi::JUNTO_CHANNEL_TOOL_ARGUMENTS => arguments += chunk.text,
            _ => assert_eq!(chunk.text, ""),
        }
        assert_eq!(chunk.call, 0);
        ControlFlow::Continue(())
    });
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert_eq!((name.as_str(), arguments.as_str()), ("find", r#"{"a": 1}"#));
    assert_eq!(session.usage().unwrap().stop, ffi::JUNTO_STOP_TOOL_CALL);

    let mut prompt = model.prompt().unwrap();
    prompt.set_template(TEMPLATE).unwrap();
    prompt
        .set_tools(r#"[{"name": "find", "description": "d", "parameters": {"type": "object"}}]"#)
        .unwrap();
    prompt.turn("user", "x").unwrap();
    prompt.assistant_turn("hm", "y", &[("find", r#"{"a": 1}"#)]).unwrap();
    prompt.tool_turn("find", "7").unwrap();
    assert_eq!(prompt.render().unwrap(), "user=x;assistant=y;find;hmtool=7;1");
}

struct Panics;

unsafe impl Executor for Panics {
    fn worker_count(&self) -> u32 {
        1
    }
    fn run(&self, _: &Tasks) {
        panic!("no work today")
    }
}

#[test]
fn failures() {
    let error = Runtime::new().unwrap().load("none.gguf").map(|_| ()).unwrap_err();
    assert_eq!(error.status, ffi::JUNTO_E_IO);
    assert_ne!(error.os_error, 0);
    assert!(error.to_string().contains("none.gguf"));

    let options = Options { executor: Some(Box::new(Panics)), ..Options::default() };
    let failed = Runtime::with(options).unwrap().load(env::var("JUNTO_TEST_MODEL").unwrap());
    assert_eq!(failed.map(|_| ()).unwrap_err().status, ffi::JUNTO_E_CALLBACK);

    let model = model();
    let (mut session, mut prompt) = conversation(&model);
    assert_eq!(session.rewind(1 << 40).unwrap_err().status, ffi::JUNTO_E_INVALID);
    assert_eq!(prompt.add_tokens(&[1 << 30]).unwrap_err().status, ffi::JUNTO_E_INVALID);
    let tag = Tag(ffi::JUNTO_TAG_KV);
    assert!(model.plan(&SessionOptions::default(), tag).unwrap() > 0);
    let tiny = Options { memory_limit: 1, ..Options::default() };
    let error = Runtime::with(tiny).map(|_| ()).unwrap_err();
    assert_eq!(error.status, ffi::JUNTO_E_MEMORY);
}

#[test]
fn batches() {
    let model = model();
    let begin = |seed: u64| {
        let (mut session, _) = conversation(&model);
        let sampling =
            Sampling { temperature: 0.8, seed, max_new_tokens: 12, ..Sampling::default() };
        session.set_sampling(&sampling).unwrap();
        session
    };
    let expected: Vec<String> = (0..3).map(|seed| text_of(&mut begin(seed))).collect();
    let mut batch = model.batch(2, 0).unwrap();
    let first = batch.add(begin(0)).ok().unwrap();
    assert_eq!(batch.step(Duration::from_nanos(1)).unwrap(), Outcome::Yielded);
    let second = batch.add(begin(1)).ok().unwrap(); // while the first is at its prompt
    let (error, third) = batch.add(begin(2)).err().unwrap();
    assert_eq!(error.status, ffi::JUNTO_E_INVALID);
    let mut said: HashMap<usize, String> = HashMap::new();
    finish(&mut batch, &mut said);
    assert!(batch.remove(first).is_some());
    assert!(batch.remove(first).is_none());
    let third = batch.add(third).ok().unwrap();
    finish(&mut batch, &mut said);
    assert_eq!([&said[&first], &said[&second], &said[&third]], [&expected[0], &expected[1], &expected[2]]);
}

fn finish(batch: &mut Batch, said: &mut HashMap<usize, String>) {
    let mut outcome = Outcome::Yielded;
    while outcome == Outcome::Yielded {
        outcome = batch.step(Duration::from_millis(10)).unwrap();
        for (number, session) in batch.sessions() {
            *said.entry(number).or_default() += &session.read().unwrap();
        }
    }
}

struct OneFile(Arc<Mutex<Vec<String>>>);

impl Files for OneFile {
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.0.lock().unwrap().push(name.to_string());
        match name {
            "a model" => Ok(Box::new(OnDisk(fs::File::open(env::var("JUNTO_TEST_CALLS").unwrap())?))),
            "panic" => panic!("no such file"),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

struct OnDisk(fs::File);

impl File for OnDisk {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }
    fn read_at(&self, dst: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(dst, offset)
    }
}

#[test]
fn files_and_log() {
    let (asked, lines) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let heard = lines.clone();
    let options = Options {
        files: Some(Box::new(OneFile(asked.clone()))),
        log: Some(Box::new(move |level, text| heard.lock().unwrap().push((level, text.to_string())))),
        log_level: ffi::JUNTO_LOG_INFO,
        ..Options::default()
    };
    let runtime = Runtime::with(options).unwrap();
    let model = runtime.load("a model").unwrap();
    assert!(model.info().unwrap().layers > 0);
    for name in ["another", "panic"] {
        assert_eq!(runtime.load(name).map(|_| ()).unwrap_err().status, ffi::JUNTO_E_IO);
    }
    assert_eq!(asked.lock().unwrap()[0], "a model");
    let lines = lines.lock().unwrap();
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|(level, text)| *level == ffi::JUNTO_LOG_INFO && !text.is_empty()));
}
