use std::sync::Arc;

use crate::error::{bytes, call};
use crate::host::Services;
use crate::{ffi, Result};

/// A whole context: turns, or text and tokens outside of turns.
pub struct Prompt {
    pub(crate) raw: *mut ffi::junto_prompt,
    pub(crate) _services: Arc<Services>, // dropped after the reference to raw
}

unsafe impl Send for Prompt {}

impl Prompt {
    /// A template variable.
    pub fn set_variable(&mut self, key: &str, value: &str) -> Result<()> {
        let (key, key_size) = (key.as_ptr().cast(), key.len());
        let (value, size) = (value.as_ptr().cast(), value.len());
        call(|error| unsafe {
            ffi::junto_prompt_set_variable(self.raw, key, key_size, value, size, error)
        })?;
        Ok(())
    }

    /// A whole turn of the system, the user or the assistant.
    pub fn turn(&mut self, role: &str, text: &str) -> Result<()> {
        let (role, size) = (role.as_ptr().cast(), role.len());
        call(|error| unsafe { ffi::junto_prompt_begin_turn(self.raw, role, size, error) })?;
        let added = self.add_text(text);
        call(|error| unsafe { ffi::junto_prompt_end_turn(self.raw, error) })?;
        added
    }

    pub fn add_text(&mut self, text: &str) -> Result<()> {
        let (text, size) = (text.as_ptr().cast(), text.len());
        call(|error| unsafe { ffi::junto_prompt_add_text(self.raw, text, size, error) })?;
        Ok(())
    }

    pub fn add_tokens(&mut self, tokens: &[i32]) -> Result<()> {
        let (data, count) = (tokens.as_ptr(), tokens.len());
        call(|error| unsafe { ffi::junto_prompt_add_tokens(self.raw, data, count, error) })?;
        Ok(())
    }

    /// The text that prefill would feed.
    pub fn render(&self) -> Result<String> {
        let text = bytes(|dst, capacity, size, error| unsafe {
            ffi::junto_prompt_render(self.raw, dst.cast(), capacity, size, error)
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        unsafe { ffi::junto_prompt_release(self.raw) }
    }
}
