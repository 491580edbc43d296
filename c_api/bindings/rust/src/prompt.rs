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

    /// What the model may call, before the first turn: a JSON array.
    pub fn set_tools(&mut self, json: &str) -> Result<()> {
        let (json, size) = (json.as_ptr().cast(), json.len());
        call(|error| unsafe { ffi::junto_prompt_set_tools(self.raw, json, size, error) })?;
        Ok(())
    }

    /// A Jinja chat template instead of the model's own, before the first turn.
    pub fn set_template(&mut self, source: &str) -> Result<()> {
        let (source, size) = (source.as_ptr().cast(), source.len());
        call(|error| unsafe { ffi::junto_prompt_set_template(self.raw, source, size, error) })?;
        Ok(())
    }

    /// A whole turn.
    pub fn turn(&mut self, role: &str, text: &str) -> Result<()> {
        self.begin(role)?;
        let added = self.add_text(text);
        self.end(added)
    }

    /// A whole turn of the assistant, with what it thought before its text, and its calls: names
    /// and arguments, which are JSON objects.
    pub fn assistant_turn(
        &mut self,
        reasoning: &str,
        text: &str,
        calls: &[(&str, &str)],
    ) -> Result<()> {
        self.begin("assistant")?;
        let added = self.add_parts(reasoning, text, calls);
        self.end(added)
    }

    /// The result of a tool's call.
    pub fn tool_turn(&mut self, name: &str, text: &str) -> Result<()> {
        let (name, size) = (name.as_ptr().cast(), name.len());
        call(|error| unsafe { ffi::junto_prompt_begin_tool_turn(self.raw, name, size, error) })?;
        let added = self.add_text(text);
        self.end(added)
    }

    fn begin(&mut self, role: &str) -> Result<()> {
        let (role, size) = (role.as_ptr().cast(), role.len());
        call(|error| unsafe { ffi::junto_prompt_begin_turn(self.raw, role, size, error) })?;
        Ok(())
    }

    /// Ends a turn even if it lacks something: left open it would refuse every later one.
    fn end(&mut self, added: Result<()>) -> Result<()> {
        let ended = call(|error| unsafe { ffi::junto_prompt_end_turn(self.raw, error) });
        added?;
        ended.map(|_| ())
    }

    fn add_parts(&mut self, reasoning: &str, text: &str, calls: &[(&str, &str)]) -> Result<()> {
        if !reasoning.is_empty() {
            let (text, size) = (reasoning.as_ptr().cast(), reasoning.len());
            call(|error| unsafe { ffi::junto_prompt_add_reasoning(self.raw, text, size, error) })?;
        }
        self.add_text(text)?;
        for (name, arguments) in calls {
            let (name, size) = (name.as_ptr().cast(), name.len());
            let (data, length) = (arguments.as_ptr().cast(), arguments.len());
            call(|error| unsafe {
                ffi::junto_prompt_add_tool_call(self.raw, name, size, data, length, error)
            })?;
        }
        Ok(())
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
