use std::ptr;
use std::sync::Arc;

use crate::error::{bytes, call, create, sized};
use crate::host::Services;
use crate::{ffi, Batch, Error, Prompt, Result, Session, Tag};

/// The shape of a session; see `junto_session_desc`. Zeros are its defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionOptions {
    pub context_tokens: u32,
    pub prefill_chunk: u32,
    pub kv_dtype: ffi::junto_dtype,
    pub checkpoint_bytes: u64,
    pub max_forks: u32,
    pub fork_tokens: u32,
}

impl SessionOptions {
    fn desc(&self) -> ffi::junto_session_desc {
        let mut desc: ffi::junto_session_desc = sized();
        desc.context_tokens = self.context_tokens;
        desc.prefill_chunk = self.prefill_chunk;
        desc.kv_dtype = self.kv_dtype;
        desc.checkpoint_bytes = self.checkpoint_bytes;
        desc.max_forks = self.max_forks;
        desc.fork_tokens = self.fork_tokens;
        desc
    }
}

/// Weights and tokenizer. A clone is another reference to the same.
pub struct Model {
    pub(crate) raw: *mut ffi::junto_model,
    pub(crate) services: Arc<Services>, // dropped after the reference to raw
}

unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    pub fn info(&self) -> Result<ffi::junto_model_info> {
        let mut info: ffi::junto_model_info = sized();
        match unsafe { ffi::junto_model_get_info(self.raw, &mut info) } {
            status if status < 0 => Err(Error::of(status)),
            _ => Ok(info),
        }
    }

    /// `flags`: `ffi::JUNTO_TOKENIZE_*`.
    pub fn tokenize(&self, text: &str, flags: u32) -> Result<Vec<i32>> {
        let size = text.len();
        let text = text.as_ptr().cast();
        let mut count = 0;
        call(|error| unsafe {
            let dst = ptr::null_mut();
            ffi::junto_tokenize(self.raw, text, size, flags, dst, 0, &mut count, error)
        })?;
        let mut tokens = vec![0; count];
        call(|error| unsafe {
            let dst = tokens.as_mut_ptr();
            ffi::junto_tokenize(self.raw, text, size, flags, dst, count, &mut count, error)
        })?;
        Ok(tokens)
    }

    /// Bytes, as tokens may begin or end inside a character. `flags`: `ffi::JUNTO_DETOKENIZE_*`.
    pub fn detokenize(&self, tokens: &[i32], flags: u32) -> Result<Vec<u8>> {
        let (data, count) = (tokens.as_ptr(), tokens.len());
        bytes(|dst, capacity, size, error| unsafe {
            let (dst, capacity) = (dst.cast(), capacity);
            ffi::junto_detokenize(self.raw, data, count, flags, dst, capacity, size, error)
        })
    }

    /// The bytes that a session of this shape will take.
    pub fn plan(&self, options: &SessionOptions, tag: Tag) -> Result<u64> {
        let desc = options.desc();
        let mut size = 0;
        call(|error| unsafe {
            ffi::junto_session_plan(self.raw, &desc, tag.0, &mut size, error)
        })?;
        Ok(size)
    }

    pub fn session(&self, options: &SessionOptions) -> Result<Session> {
        let desc = options.desc();
        let raw = create(|out, error| unsafe {
            ffi::junto_session_create(self.raw, &desc, out, error)
        })?;
        Ok(Session::new(raw, self.services.clone()))
    }

    /// 0 tokens ask for the default.
    pub fn batch(&self, max_sessions: u32, max_tokens_per_pass: u32) -> Result<Batch> {
        let raw = create(|out, error| unsafe {
            ffi::junto_batch_create(self.raw, max_sessions, max_tokens_per_pass, out, error)
        })?;
        Ok(Batch::new(raw, self.services.clone()))
    }

    pub fn prompt(&self) -> Result<Prompt> {
        let raw =
            create(|out, error| unsafe { ffi::junto_prompt_create(self.raw, out, error) })?;
        Ok(Prompt { raw, _services: self.services.clone() })
    }
}

impl Clone for Model {
    fn clone(&self) -> Model {
        unsafe { ffi::junto_model_retain(self.raw) };
        Model { raw: self.raw, services: self.services.clone() }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        unsafe { ffi::junto_model_release(self.raw) }
    }
}
