use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::call;
use crate::host::Services;
use crate::{ffi, Error, Outcome, Result, Session};

/// Sessions of one model that share each pass; each says what it would say alone.
pub struct Batch {
    raw: *mut ffi::junto_batch,
    sessions: Vec<(usize, Session)>,
    added: usize,
    _services: Arc<Services>, // dropped after the reference to raw
}

unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new(raw: *mut ffi::junto_batch, services: Arc<Services>) -> Batch {
        Batch { raw, sessions: Vec::new(), added: 0, _services: services }
    }

    /// At any time, also while others are in the middle of their answers. The number tells sessions
    /// of a batch apart; one that is refused comes back.
    pub fn add(&mut self, session: Session) -> std::result::Result<usize, (Error, Session)> {
        match call(|error| unsafe { ffi::junto_batch_add(self.raw, session.raw, error) }) {
            Err(error) => Err((error, session)),
            Ok(_) => {
                self.added += 1;
                self.sessions.push((self.added, session));
                Ok(self.added)
            }
        }
    }

    /// The session of a number, which is no more of the batch.
    pub fn remove(&mut self, number: usize) -> Option<Session> {
        let at = self.sessions.iter().position(|(n, _)| *n == number)?;
        let (_, session) = self.sessions.remove(at);
        call(|error| unsafe { ffi::junto_batch_remove(self.raw, session.raw, error) }).ok()?;
        Some(session)
    }

    /// Works for about so long: `Yielded`, or `Done` when no session has work. Text waits in the
    /// sessions.
    pub fn step(&mut self, budget: Duration) -> Result<Outcome> {
        let budget = budget.as_nanos().min(u64::MAX.into()) as u64;
        call(|error| unsafe {
            ffi::junto_batch_step(self.raw, budget, None, ptr::null_mut(), error)
        })
        .map(Outcome::of)
    }

    /// Those that are in it, with their numbers.
    pub fn sessions(&mut self) -> impl Iterator<Item = (usize, &mut Session)> + '_ {
        self.sessions.iter_mut().map(|(number, session)| (*number, session))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        unsafe { ffi::junto_batch_release(self.raw) }
    }
}
