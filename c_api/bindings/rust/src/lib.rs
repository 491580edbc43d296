//! Junto: language models on the CPU, inside this process.
//!
//! ```no_run
//! # fn main() -> Result<(), junto::Error> {
//! let runtime = junto::Runtime::new()?;
//! let model = runtime.load("model.gguf")?;
//! let mut session = model.session(&Default::default())?;
//! let mut prompt = model.prompt()?;
//! prompt.turn("user", "Why is the sky blue?")?;
//! session.prefill(&prompt)?;
//! for text in session.stream() {
//!     print!("{}", text?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `Runtime` and `Model` belong to all threads, `Session` and `Prompt` to one at a time, as their
//! `Send` and `Sync` say. Everything may be dropped in any order. `junto.h` has the whole contract.
mod batch;
mod error;
mod host;
mod model;
mod prompt;
mod runtime;
mod session;

/// What bindgen made of `junto.h`.
#[allow(non_camel_case_types, missing_docs, clippy::all)]
pub mod ffi {
    include!(concat!(env!("OUT_DIR"), "/ffi.rs"));
}

pub use batch::Batch;
pub use error::{Error, Result};
pub use host::{Allocator, Executor, File, Files, Log, Tag, Tasks};
pub use model::{Model, SessionOptions};
pub use prompt::Prompt;
pub use runtime::{Options, Runtime};
pub use session::{Canceller, Chunk, Outcome, Sampling, Session, Stream};

/// Major, minor and patch of the library that is loaded.
pub fn version() -> (u32, u32, u32) {
    let number = unsafe { ffi::junto_version() };
    (number >> 16, number >> 8 & 255, number & 255)
}
