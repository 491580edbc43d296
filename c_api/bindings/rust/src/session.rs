use std::any::Any;
use std::ffi::c_void;
use std::ops::ControlFlow;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;
use std::{ptr, slice, str};

use crate::error::{bytes, call, create, sized};
use crate::host::Services;
use crate::{ffi, Error, Prompt, Result};

/// How tokens are chosen; see `junto_sampling`. All zeros: always the likeliest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling {
    pub seed: u64,
    pub temperature: f32,
    pub top_p: f32,
    pub min_p: f32,
    pub top_k: u32,
    pub repeat_penalty: f32,
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    pub penalty_window: u32,
    pub max_new_tokens: u32,
}

/// Why work stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The time is used up, or text must be read: step again.
    Yielded,
    /// The generation ended; `usage().stop` says why.
    Done,
    Cancelled,
}

impl Outcome {
    pub(crate) fn of(status: ffi::junto_status) -> Outcome {
        match status {
            ffi::JUNTO_YIELDED => Outcome::Yielded,
            ffi::JUNTO_CANCELLED => Outcome::Cancelled,
            _ => Outcome::Done,
        }
    }
}

/// A piece of what a model says.
pub struct Chunk<'a> {
    pub text: &'a str,
    pub tokens: &'a [i32],
    /// One of `ffi::JUNTO_CHANNEL_*`.
    pub channel: ffi::junto_channel,
    /// Which of the tool calls of this answer, from 0 on.
    pub call: u32,
}

/// The one reference that a session and its cancellers share.
struct Handle {
    raw: *mut ffi::junto_session,
    _services: Arc<Services>, // dropped after the reference to raw
}

// Cancellers do nothing but cancel, which any thread may; all else takes `&mut Session`.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        unsafe { ffi::junto_session_release(self.raw) }
    }
}

/// Cancels a session from any thread.
#[derive(Clone)]
pub struct Canceller(Arc<Handle>);

impl Canceller {
    /// The step that runs, or the next, answers [`Outcome::Cancelled`].
    pub fn cancel(&self) {
        unsafe { ffi::junto_session_cancel(self.0.raw) }
    }
}

/// One conversation: keys and values, sampler, pending text.
pub struct Session {
    pub(crate) raw: *mut ffi::junto_session,
    handle: Arc<Handle>,
}

unsafe impl Send for Session {}

impl Session {
    pub(crate) fn new(raw: *mut ffi::junto_session, services: Arc<Services>) -> Session {
        Session { raw, handle: Arc::new(Handle { raw, _services: services }) }
    }

    pub fn canceller(&self) -> Canceller {
        Canceller(self.handle.clone())
    }

    pub fn set_sampling(&mut self, sampling: &Sampling) -> Result<()> {
        let mut raw: ffi::junto_sampling = sized();
        raw.seed = sampling.seed;
        raw.temperature = sampling.temperature;
        raw.top_p = sampling.top_p;
        raw.min_p = sampling.min_p;
        raw.top_k = sampling.top_k;
        raw.repeat_penalty = sampling.repeat_penalty;
        raw.presence_penalty = sampling.presence_penalty;
        raw.frequency_penalty = sampling.frequency_penalty;
        raw.penalty_window = sampling.penalty_window;
        raw.max_new_tokens = sampling.max_new_tokens;
        call(|error| unsafe { ffi::junto_session_set_sampling(self.raw, &raw, error) })?;
        Ok(())
    }

    pub fn add_stop(&mut self, text: &str) -> Result<()> {
        let (text, size) = (text.as_ptr().cast(), text.len());
        call(|error| unsafe { ffi::junto_session_add_stop(self.raw, text, size, error) })?;
        Ok(())
    }

    /// What the logits of tokens gain, instead of what was set before.
    pub fn set_bias(&mut self, biases: &[(i32, f32)]) -> Result<()> {
        let (tokens, values): (Vec<i32>, Vec<f32>) = biases.iter().copied().unzip();
        let count = biases.len();
        call(|error| unsafe {
            ffi::junto_session_set_bias(self.raw, tokens.as_ptr(), values.as_ptr(), count, error)
        })?;
        Ok(())
    }

    /// What [`generate`] hears besides the answer: `ffi::JUNTO_OUTPUT_*`, from the next prefill on.
    ///
    /// [`generate`]: Session::generate
    pub fn set_output(&mut self, flags: u32) -> Result<()> {
        call(|error| unsafe { ffi::junto_session_set_output(self.raw, flags, error) })?;
        Ok(())
    }

    /// Queues a prompt, less what the session holds of it already.
    pub fn prefill(&mut self, prompt: &Prompt) -> Result<()> {
        call(|error| unsafe { ffi::junto_session_prefill(self.raw, prompt.raw, error) })?;
        Ok(())
    }

    /// Works for about so long, in the middle of a token if need be. Text waits for [`read`].
    ///
    /// [`read`]: Session::read
    pub fn step(&mut self, budget: Duration) -> Result<Outcome> {
        let budget = budget.as_nanos().min(u64::MAX.into()) as u64;
        call(|error| unsafe {
            ffi::junto_session_step(self.raw, budget, None, ptr::null_mut(), error)
        })
        .map(Outcome::of)
    }

    /// Takes the text that is pending.
    pub fn read(&mut self) -> Result<String> {
        let mut text = Vec::new();
        let mut buffer = [0u8; 256];
        loop {
            let mut size = 0;
            let (dst, capacity) = (buffer.as_mut_ptr().cast(), buffer.len());
            let status = unsafe { ffi::junto_session_read(self.raw, dst, capacity, &mut size) };
            if status < 0 {
                return Err(Error::of(status));
            }
            if size == 0 {
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            text.extend_from_slice(&buffer[..size]);
        }
    }

    /// Hands the answer to `f` as it comes, on this thread, until it ends or `f` breaks.
    pub fn generate<F>(&mut self, f: F) -> Result<Outcome>
    where
        F: FnMut(&Chunk) -> ControlFlow<()>,
    {
        let mut listener = Listener { f, panic: None };
        let user = &mut listener as *mut Listener<F> as *mut c_void;
        let outcome = call(|error| unsafe {
            ffi::junto_session_generate(self.raw, Some(on_chunk::<F>), user, error)
        });
        if let Some(panic) = listener.panic {
            resume_unwind(panic); // on this side of C again
        }
        outcome.map(Outcome::of)
    }

    /// The text to come, piece by piece, of all channels that are wanted. May be dropped and taken up again.
    pub fn stream(&mut self) -> Stream<'_> {
        Stream { session: self, ended: false }
    }

    /// Another session that goes on from here; `SessionOptions::max_forks` makes room for it.
    pub fn fork(&mut self) -> Result<Session> {
        let raw = create(|out, error| unsafe { ffi::junto_session_fork(self.raw, out, error) })?;
        Ok(Session::new(raw, self.handle._services.clone()))
    }

    /// All of the session as bytes.
    pub fn snapshot(&mut self) -> Result<Vec<u8>> {
        bytes(|dst, capacity, size, error| unsafe {
            ffi::junto_session_snapshot(self.raw, dst, capacity, size, error)
        })
    }

    pub fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        let (data, size) = (snapshot.as_ptr().cast(), snapshot.len());
        call(|error| unsafe { ffi::junto_session_restore(self.raw, data, size, error) })?;
        Ok(())
    }

    /// Makes the first `position` tokens the context.
    pub fn rewind(&mut self, position: u64) -> Result<()> {
        call(|error| unsafe { ffi::junto_session_rewind(self.raw, position, error) })?;
        Ok(())
    }

    pub fn usage(&mut self) -> Result<ffi::junto_usage> {
        let mut usage: ffi::junto_usage = sized();
        match unsafe { ffi::junto_session_get_usage(self.raw, &mut usage) } {
            status if status < 0 => Err(Error::of(status)),
            _ => Ok(usage),
        }
    }
}

struct Listener<F> {
    f: F,
    panic: Option<Box<dyn Any + Send>>,
}

unsafe extern "C" fn on_chunk<F>(
    user: *mut c_void,
    chunk: *const ffi::junto_chunk,
) -> ffi::junto_status
where
    F: FnMut(&Chunk) -> ControlFlow<()>,
{
    let listener = &mut *(user as *mut Listener<F>);
    let text = piece((*chunk).text.cast::<u8>(), (*chunk).text_size );
    let chunk = Chunk {
        text: str::from_utf8(text).unwrap_or_default(), // always UTF-8, the library says
        tokens: piece((*chunk).tokens, (*chunk).token_count),
        channel: (*chunk).channel,
        call: (*chunk).call,
    };
    let f = &mut listener.f;
    match catch_unwind(AssertUnwindSafe(|| f(&chunk))) {
        Ok(ControlFlow::Continue(())) => ffi::JUNTO_OK,
        Ok(ControlFlow::Break(())) => ffi::JUNTO_DONE,
        Err(panic) => {
            listener.panic = Some(panic);
            ffi::JUNTO_E_CALLBACK
        }
    }
}

/// The library may say "none" with a null pointer, a slice may not.
unsafe fn piece<'a, T>(data: *const T, count: usize) -> &'a [T] {
    match count {
        0 => &[],
        _ => slice::from_raw_parts(data, count),
    }
}

/// See [`Session::stream`].
pub struct Stream<'a> {
    session: &'a mut Session,
    ended: bool,
}

impl Iterator for Stream<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        while !self.ended {
            let step = self.session.step(Duration::from_millis(10));
            self.ended = !matches!(step, Ok(Outcome::Yielded));
            match step.and_then(|_| self.session.read()) {
                Ok(text) if text.is_empty() => {}
                text_or_error => return Some(text_or_error),
            }
        }
        None
    }
}
